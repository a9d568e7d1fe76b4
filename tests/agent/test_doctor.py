"""The agent's doctor beside a real collector, a dead one and none."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agent.main import main
from agent.versions import Failed, Kept, Versions
from config.diagnosis import certificate_of, clock_against, private, worst


def examined(tmp_path: Path, url: str) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text("t" * 43)
    token.chmod(0o600)
    (tmp_path / "agent.yaml").write_text(
        f"school: {{id: s1}}\nstate_directory: {tmp_path}\n"
        f"collector: {{url: {url}, token_file: {token}}}\nprobes: {{}}\n"
    )
    done = CliRunner().invoke(main, ["doctor", "--json", "--config", str(tmp_path / "agent.yaml")])
    return {each["subject"]: each["state"] for each in msgspec.json.decode(done.stdout)["findings"]}


def test_a_collector_that_is_away_is_told_from_one_that_is_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    away = examined(tmp_path, f"http://127.0.0.1:{port}")
    assert (away["port"], away["credential"], away["disk"], away["dns"]) == ("wrong", "well", "well", "well")


@pytest.mark.parametrize(
    ("seconds", "state"), [(-11, "wrong"), (-9, "well"), (0, "well"), (9, "well"), (11, "wrong")]
)
def test_a_clock_that_is_off_is_wrong(seconds: int, state: str) -> None:
    now = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC).replace(second=30 + seconds)
    assert clock_against("Sun, 22 Nov 2026 10:00:30 GMT", now, 10).state == state


def test_without_a_date_the_clock_is_unknown() -> None:
    assert clock_against(None, datetime.now(UTC), 10).state == "unknown"


def test_a_certificate_that_ends_soon_is_to_be_renewed() -> None:
    ends, now = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)
    assert certificate_of(ends, now, "x").advice == "renew the certificate"


def test_a_token_that_others_may_read_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    assert private(file).state == "well"
    file.chmod(0o640)
    assert worst([private(file), private(tmp_path / "none")]) == "wrong"


def test_it_says_which_version_of_the_store_runs_and_which_was_left(tmp_path: Path) -> None:
    kept = Kept(packaged="1.0", good="2.0", failed=Failed("3.0", "o", "ended 3 times while on trial"))
    Versions(tmp_path, ()).keep(kept)
    (tmp_path / "agent.yaml").write_text(f"school: {{id: s1}}\nstate_directory: {tmp_path}\nprobes: {{}}\n")
    words = ["doctor", "--config", str(tmp_path / "agent.yaml"), "--lang", "en"]
    said = CliRunner().invoke(main, words).stdout
    assert "✓ version: 2.0 of the county's store runs; 1.0 is installed here" in said
    assert "✗ version: 3.0 was left: ended 3 times while on trial → the county was told" in said
    Versions(tmp_path, ()).keep(
        msgspec.structs.replace(kept, failed=Failed("3.0", "o", "silent", again=True))
    )
    said = CliRunner().invoke(main, words).stdout
    assert "? version: 3.0 was left: silent → perhaps it was the line; it is tried once more" in said
