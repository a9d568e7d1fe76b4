"""Every secret of access is a canary: looked for in logs, answers, files and the list of processes."""

from __future__ import annotations

import logging
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.access.permissions import Role
from collector.main import main
from tests.collector.access.visitor import Visitor, add_user
from tests.collector.running import Running, running, settings_in

PASSWORD, TYPO = "canary-password-7f3a", "canary-typo-91bd"


def secrets_of(collector: Running, folder: Path) -> dict[str, str]:
    """Do everything that a secret is part of, and give the secrets."""
    add_user(collector, "wang", Role.COUNTY_ADMIN, password=PASSWORD)
    visitor = Visitor(collector.port)
    visitor.log_in("wang", TYPO)
    visitor.log_in(TYPO, PASSWORD)
    visitor.log_in("wang", PASSWORD)
    page = visitor.post("/account/tokens", name="canary", scope="full", days="30").body.decode()
    token = re.search(r"xtu_[\w-]{43}", page)
    page = visitor.post("/users", name="li", role="display").body.decode()
    link = re.search(r"link=([\w-]{43})", page)
    assert token
    assert link
    visitor.post("/password", link=link[1], password="short", again="short")
    return {
        "password": PASSWORD,
        "typed wrongly": TYPO,
        "session": visitor.cookies["xiaotong_session"],
        "device": visitor.cookies["xiaotong_device"],
        "token": token[0],
        "link": link[1],
        "agent's token": collector.tokens["a1"],
    }


def everything_shown(collector: Running, token: str) -> str:
    """What every place answers that a full token may read, and what errors say."""
    bearer = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    visitor = Visitor(collector.port)
    paths = [
        "tokens",
        "users",
        "audit",
        "agents",
        "schools",
        "plans",
        "schools/s1",
        "nothing",
        "users?limit=x",
    ]
    answers = [visitor.ask("GET", f"/api/v1/{path}", "", bearer).body for path in paths]
    answers += [
        visitor.ask("GET", page, "", bearer).body for page in ("/users", "/account", "/audit", "/audit.csv")
    ]
    answers.append(visitor.ask("POST", "/api/v1/users", '{"name": "li", "role": "display"}', bearer).body)
    answers.append(visitor.get("/metrics").body)
    return b"\n".join(answers).decode()


@pytest.mark.fault(20)
def test_no_secret_is_shown_or_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = {"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1}}
    with running(settings_in(tmp_path, access=access)) as collector:
        secrets = secrets_of(collector, tmp_path)
        shown = everything_shown(collector, secrets["token"])
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert "wang" in shown
    assert b"wang" in kept
    for name, secret in secrets.items():
        assert secret not in shown, name
        assert secret not in caplog.text, name
        assert secret not in processes, name
        assert secret.encode() not in kept, name


@pytest.mark.fault(20)
def test_a_command_writes_a_token_into_its_file_alone(tmp_path: Path) -> None:
    config = tmp_path / "collector.yaml"
    config.write_text(f"data_directory: {tmp_path / 'data'}\n")
    file = tmp_path / "token"

    def does(*words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--config", str(config)])

    added = does("users", "add", "city", "--role", "regional")
    link = r"http://127\.0\.0\.1:8080/password\?link=[\w-]{43}"
    assert re.fullmatch(rf"{link}\ncity is added\n", added.stdout)
    made = does("tokens", "add", "city", "--name", "the city", "--token-file", str(file))
    token = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in made.stdout + made.stderr
    listed = "".join(
        does(*words).stdout for words in (("tokens", "list"), ("users", "list"), ("audit", "--csv"))
    )
    assert token not in listed
    assert "token.add" in listed
    assert does("tokens", "add", "city", "--name", "x", "--token-file", str(file)).exit_code == 2
    assert does("users", "disable", "nobody").stderr == "error: user nobody: is not known\n"
    assert does("tokens", "revoke", "1").stdout == "token 1 is revoked\n"


def test_changes_by_commands_are_written_down(tmp_path: Path) -> None:
    config, schools = tmp_path / "collector.yaml", tmp_path / "schools.yaml"
    config.write_text(f"data_directory: {tmp_path / 'data'}\n")
    schools.write_text("schools: [{id: s1}]\n")
    for words in (
        ["schools", "import", str(schools)],
        ["agents", "add", "s1", "--token-file", str(tmp_path / "agent")],
        ["agents", "revoke", "s1-1"],
        ["schools", "code", "s1"],
        [
            "maintenance",
            "add",
            "--from",
            "2099-01-01T22:00",
            "--to",
            "2099-01-01T23:00",
            "--why",
            "new switch",
        ],
    ):
        result = CliRunner().invoke(main, [*words, "--config", str(config)])
        assert result.exit_code == 0, result.output
    said = CliRunner().invoke(main, ["audit", "--csv", "--config", str(config)]).stdout
    for action in (
        "schools.import",
        "agents.add,s1-1",
        "agents.revoke,s1-1",
        "maintenance.add,every school",
        "schools.code,s1",
    ):
        assert action in said
    assert (tmp_path / "agent").read_text().strip() not in said
