"""Settings: each invalid file says its own message in its first line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.settings import Secret, load_settings, read_token
from config.settings import SettingsError

INVALID = Path(__file__).parent / "invalid"
PROBES = "tests.agent.fake_probes"
EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "agent.yaml"
CANARY = "canary-token-5f1c"


@pytest.mark.fault(25)
@pytest.mark.parametrize("file", sorted(INVALID.glob("*.yaml")), ids=lambda file: file.stem)
def test_an_invalid_file_is_one_exact_line(file: Path) -> None:
    expected = file.read_text().splitlines()[0].removeprefix("# ").replace("{folder}", str(INVALID))
    with pytest.raises(SettingsError) as caught:
        load_settings(file, PROBES)
    assert str(caught.value) == f"{file}: {expected}"


def test_the_example_is_valid() -> None:
    loaded = load_settings(EXAMPLE)
    assert loaded.plan_id == "shandan"
    assert loaded.settings.school.classes == 12
    assert loaded.state_directory == EXAMPLE.parent / "agent-state"


def test_a_probe_without_settings_has_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("school: {id: s}\nprobes: {steady: , watcher: {window: 2s}}\n")
    steady, watcher = load_settings(file, PROBES).probes
    assert (steady.continuous, steady.every_seconds) == (False, 1.0)
    assert (watcher.continuous, watcher.window_seconds) == (True, 2.0)


@pytest.mark.fault(20)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o604])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    token = tmp_path / "token"
    token.write_text(CANARY)
    token.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        read_token(token, "f.yaml")
    assert str(caught.value) == (
        f"f.yaml: key collector.token_file: {token} has mode {mode:04o}; "
        "allowed is 0600, so that others cannot read it"
    )


@pytest.mark.fault(20)
@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\nb", b"\xff\xfe", b"x" * 5000])
def test_a_token_that_is_none_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    token = tmp_path / "token"
    token.write_bytes(content)
    token.chmod(0o600)
    with pytest.raises(SettingsError, match="must hold one line of 1 to 4096 printable characters") as caught:
        read_token(token, "f.yaml")
    assert content.strip() == b"" or content.decode(errors="replace") not in str(caught.value)


@pytest.mark.fault(20)
def test_the_token_shows_in_no_repr(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    token = tmp_path / "agent.token"
    token.write_text(CANARY + "\n")
    token.chmod(0o600)
    loaded = load_settings(tmp_path / EXAMPLE.name)
    site = loaded.site(loaded.token())
    assert site.collector_token == CANARY
    assert CANARY not in repr(site) + repr(loaded) + repr([Secret(CANARY)])


def test_no_collector_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("school: {id: s}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file).token()
    assert str(caught.value) == f"{file}: key collector: is missing; it needs url and token_file"
