"""A backup of a collector under load loses nothing that was acknowledged before it began."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from collector.backups.manifest import BackupError, load_manifest, verify
from collector.backups.restoring import restore
from collector.backups.taking import take
from collector.main import main
from tests.collector.running import Running, running, settings_in, wait_until

NS = 10**9


def pusher(collector: Running, acknowledged: list[int], stop: threading.Event) -> Callable[[], None]:
    """Pushes one batch after another and notes what was acknowledged."""
    start = collector.rooms.clock.wall_ns() // NS

    def push() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            time_ns = (start - 100_000 + number) * NS
            line = f"ping,target=gateway rtt_min_seconds=0.{number:06d} {time_ns}"
            if collector.push(line, number).status == 204:
                acknowledged.append(time_ns)

    return push


def wait_for_more(acknowledged: list[int]) -> None:
    wanted = len(acknowledged) + 25
    wait_until(lambda: len(acknowledged) >= wanted)


def test_nothing_acknowledged_before_a_backup_is_missing_after_restore(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text("data_directory: data\n")
    settings = settings_in(tmp_path / "data")
    acknowledged: list[int] = []
    with running(settings) as collector:
        stop = threading.Event()
        thread = threading.Thread(target=pusher(collector, acknowledged, stop))
        thread.start()
        backups: list[tuple[Path, set[int]]] = []
        try:
            for number in range(3):
                wait_for_more(acknowledged)
                before = set(acknowledged)
                target = tmp_path / f"backup-{number}"
                take(settings, file, target)
                backups.append((target, before))
        finally:
            stop.set()
            thread.join()
    for target, before in backups:
        verify(target)
        other = settings_in(tmp_path / f"restored-{target.name}")
        restore(other, target, replace=False)
        with running(other) as restored:
            assert before <= set(restored.stored())
            assert [agent.id for agent in restored.rooms.registry.agents()] == ["a1", "b1"]


def made(tmp_path: Path) -> Path:
    """A backup, by the command."""
    with running(settings_in(tmp_path / "data")) as collector:
        collector.push(f"ping,target=gateway rtt_min_seconds=1.0 {collector.rooms.clock.wall_ns()}", 1)
        done = CliRunner().invoke(main, ["backup", str(tmp_path / "b"), "--config", str(config_of(tmp_path))])
    assert done.exit_code == 0, done.output
    return tmp_path / "b"


def config_of(tmp_path: Path, data: str = "data") -> Path:
    file = tmp_path / f"{data}.yaml"
    file.write_text(yaml.safe_dump({"data_directory": str(tmp_path / data), "listen": {"port": 1}}))
    return file


def test_what_is_in_a_backup_is_its_owners_alone(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert {"data/registry.db", "data/points.db", "collector.yaml"} <= load_manifest(folder).files.keys()


def test_restore_refuses_data_that_is_there_and_moves_it_aside_when_told(tmp_path: Path) -> None:
    folder, config = str(made(tmp_path)), str(config_of(tmp_path))
    refused = CliRunner().invoke(main, ["restore", folder, "--config", config])
    assert refused.exit_code == 2
    assert "holds data; --replace moves it aside" in refused.stderr
    done = CliRunner().invoke(main, ["restore", folder, "--replace", "--config", config])
    assert done.exit_code == 0, done.output
    [before] = tmp_path.glob("data.before-*")
    assert (before / "registry.db").exists()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: (folder / "data/registry.db").unlink(), "is missing"),
        (lambda folder: (folder / "data/points.db").write_bytes(b"x"), "is not as it was written"),
        (lambda folder: (folder / "data/more").touch(), "is not in the list"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "is no list of a backup"),
        (lambda folder: (folder / "manifest.json").unlink(), "No such file"),
    ],
    ids=["missing", "changed", "more", "no list", "list missing"],
)
def test_a_backup_that_is_not_whole_is_refused_and_nothing_is_touched(
    tmp_path: Path, harm: Callable[[Path], object], reason: str
) -> None:
    folder = made(tmp_path)
    harm(folder)
    with pytest.raises(BackupError, match=reason):
        restore(settings_in(tmp_path / "new"), folder, replace=True)
    assert not (tmp_path / "new").exists()


def test_a_running_collector_is_not_restored_over(tmp_path: Path) -> None:
    folder = made(tmp_path)
    with running(settings_in(tmp_path / "other")) as collector:
        same_port = settings_in(tmp_path / "third", listen={"port": collector.port})
        with pytest.raises(BackupError, match="stop it first"):
            restore(same_port, folder, replace=True)
