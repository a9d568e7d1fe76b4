"""Which version runs after every kind of start, and that only what the county signed is started."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import agent
from agent.launcher import chosen, place_of, version_here
from agent.versions import (
    CRASHES,
    PACKAGED,
    TRIES,
    Failed,
    Kept,
    LacksLibrary,
    Trial,
    Versions,
    begun,
    confirmed,
    installed,
    lasted,
    tried,
)
from config.packages import PackageError, machine, python_minor
from tests.config.test_packages import PUBLIC, packed

OLD = Kept(packaged="1.0", good="2.0", order="o2", previous=PACKAGED)
FILES = {"agent/__init__.py": b"a = 1\n", "config/x.yaml": b"x: 1\n"}
TODAY = "boot-1"


def started(kept: Kept, times: int = 1, boot: str = TODAY, at: float = 100.0) -> Kept:
    for _ in range(times):
        kept = begun(kept, boot, at, 600)
    return kept


def test_a_version_on_trial_is_started_until_it_was_heard() -> None:
    trial = started(tried(OLD, "3.0", "o3"))
    assert (trial.running, trial.trial) == ("3.0", Trial("3.0", "o3", TODAY, 100.0, 1))
    kept = confirmed(trial)
    assert (kept.good, kept.previous, kept.order, kept.trial, kept.failed) == ("3.0", "2.0", "o3", None, None)


def test_one_that_nobody_heard_in_time_is_left() -> None:
    trial = started(tried(OLD, "3.0", "o3"))
    assert started(trial, at=699).running == "3.0"
    left = started(trial, at=700)
    assert left.running == "2.0"
    assert left.failed == Failed("3.0", "o3", "the collector did not hear it within 600 s")


def test_one_that_keeps_ending_is_left() -> None:
    trial = started(tried(OLD, "3.0", "o3"), TRIES)
    assert trial.running == "3.0"
    left = started(trial)
    assert (left.running, left.failed) == ("2.0", Failed("3.0", "o3", f"ended {TRIES} times while on trial"))
    assert left.starts == 1  # the good one's own


def test_a_reboot_in_the_middle_gives_a_trial_its_time_again() -> None:
    trial = started(started(tried(OLD, "3.0", "o3"), at=600), boot="boot-2", at=5)
    assert trial.trial == Trial("3.0", "o3", "boot-2", 5, 2)
    assert started(trial, boot="boot-2", at=604).running == "3.0"
    assert started(started(trial, boot="boot-3"), boot="boot-4").running == "2.0"


def test_a_trial_that_was_told_to_stop_begins_anew() -> None:
    trial = lasted(started(tried(OLD, "3.0", "o3"), 2))
    assert started(trial, at=10_000).trial == Trial("3.0", "o3", TODAY, 10_000, 1)


def test_a_good_version_that_ends_again_and_again_is_left_for_the_one_before() -> None:
    kept = started(msgspec.structs.replace(OLD, previous="1.5"), CRASHES)
    assert kept.running == "2.0"
    left = started(kept)
    assert (left.good, left.failed) == (
        "1.5",
        Failed("2.0", "o2", f"ended {CRASHES} times soon after its start"),
    )
    assert started(left, CRASHES).running == PACKAGED
    assert started(started(kept, boot="boot-2"), CRASHES - 1, boot="boot-2").running == "2.0"
    assert started(lasted(kept), CRASHES).running == "2.0"


@pytest.mark.parametrize(
    ("packaged", "good", "previous"),
    [("1.0", "2.0", "1.5"), ("1.7", "2.0", ""), ("2.0", "", ""), ("2.1", "", "")],
)
def test_a_version_installed_by_hand_goes_before_older_ones_of_the_store(
    packaged: str, good: str, previous: str
) -> None:
    kept = installed(msgspec.structs.replace(OLD, previous="1.5", starts=4), packaged)
    assert (kept.good, kept.previous, kept.packaged) == (good, previous, packaged)
    assert bool(kept.order) == bool(good)
    assert installed(tried(OLD, "3.0", "o"), packaged).running == "3.0"


def test_the_packaged_version_is_tried_as_well() -> None:
    kept = started(tried(OLD, "1.0", "o"))
    assert (kept.running, kept.trial and kept.trial.version) == (PACKAGED, PACKAGED)
    assert confirmed(kept).previous == "2.0"
    failed = started(kept, at=800)
    assert failed.running == "2.0"
    assert failed.failed is not None
    assert failed.failed.version == "1.0"


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path, (PUBLIC,))


def add(versions: Versions, version: str = "9.0", spare: int = 0, most: int = 10**6, **said: object) -> None:
    content = packed(FILES, said={"version": version, "python": python_minor(), **said})
    versions.add(io.BytesIO(content), version, max_bytes=most, spare_bytes=spare)


def left(folder: Path) -> list[str]:
    found = folder / "versions"
    return sorted(each.name for each in found.iterdir()) if found.exists() else []


def test_a_package_is_laid_whole_and_starts(versions: Versions, tmp_path: Path) -> None:
    add(versions)
    assert {name: (versions.checked("9.0") / name).read_bytes() for name in FILES} == FILES
    assert (versions.tree("9.0") / "agent").stat().st_mode & 0o222 == 0
    versions.keep(tried(versions.read(), "9.0", "o"))
    kept = chosen(versions, 600)
    assert (kept.running, kept.packaged, kept.trial and kept.trial.starts) == ("9.0", agent.__version__, 1)
    add(versions)  # over itself
    assert left(tmp_path) == ["9.0", "state.json"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"name": "collector"}, "is collector 9.0, not agent 9.0"),
        ({"version": "9.1"}, "is agent 9.1, not agent 9.0"),
        ({"python": "3.9"}, f"is for Python 3.9, this is {python_minor()}"),
        ({"machine": "riscv64-glibc"}, f"is for riscv64-glibc, this is {machine()}"),
        ({"libraries": {"click": "0.1"}}, "needs click 0.1, here is"),
        ({"libraries": {"not-there": "1"}}, "needs not-there 1, here is none"),
    ],
)
def test_a_package_for_something_else_leaves_nothing(
    versions: Versions, tmp_path: Path, said: dict[str, object], why: str
) -> None:
    content = packed(FILES, said={"version": "9.0", "python": python_minor(), **said})
    with pytest.raises(PackageError, match=why) as caught:
        versions.add(io.BytesIO(content), "9.0", max_bytes=10**6, spare_bytes=0)
    assert isinstance(caught.value, LacksLibrary) == ("libraries" in said)
    assert left(tmp_path) == []


def test_a_package_that_is_larger_than_allowed_or_than_the_disk_leaves_nothing(
    versions: Versions, tmp_path: Path
) -> None:
    with pytest.raises(PackageError, match=r"larger than upgrade\.max_bytes, 5 bytes"):
        add(versions, most=5)
    with pytest.raises(OSError, match=r"bytes are free, .* are needed"):
        add(versions, spare=2**60)
    assert left(tmp_path) == []


@pytest.mark.parametrize("after", [0, 1, 60, 200, -30, -1])
def test_a_package_that_breaks_off_leaves_nothing(versions: Versions, tmp_path: Path, after: int) -> None:
    content = packed(FILES, said={"version": "9.0", "python": python_minor()})
    with pytest.raises(PackageError, match="ends"):
        versions.add(io.BytesIO(content[:after]), "9.0", max_bytes=10**6, spare_bytes=0)
    assert left(tmp_path) in ([], ["state.json"])


def fill(file: Path) -> None:
    with file.open("wb", 0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.mark.needs_root
def test_a_disk_that_fills_while_it_is_written_leaves_nothing_and_the_version_runs(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=True)
    try:
        versions = Versions(small, (PUBLIC,))
        add(versions)
        versions.keep(confirmed(tried(versions.read(), "9.0", "o")))
        large = packed({"x": os.urandom(400_000)}, said={"version": "9.1", "python": python_minor()})
        with pytest.raises(OSError, match="No space left"):
            versions.add(io.BytesIO(large), "9.1", max_bytes=10**6, spare_bytes=-(10**9))
        assert left(small) == ["9.0", "state.json"]
        fill(small / "filler")
        assert chosen(versions, 600).running == "9.0"  # though this start could not be counted
    finally:
        subprocess.run(["umount", small], check=True)


def change(path: Path, action: Callable[[Path], object]) -> None:
    path.parent.chmod(0o700)
    if path.exists():
        path.chmod(0o600)
    action(path)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("tree/agent/__init__.py", lambda path: path.write_bytes(b"a = 2\n")),
        ("tree/agent/__init__.py", lambda path: path.unlink()),
        ("tree/agent/evil.py", lambda path: path.write_bytes(b"")),
        ("tree/agent/link", lambda path: path.symlink_to("/etc")),
        ("tree/agent/__init__.py", lambda path: (path.unlink(), path.symlink_to("/etc/passwd"))),
        ("head", lambda path: path.write_bytes(path.read_bytes()[:-9])),
        ("head", lambda path: path.write_bytes(path.read_bytes().replace(b"9.0", b"9.1"))),
        ("head", lambda path: path.unlink()),
    ],
)  # fmt: skip
def test_a_version_that_was_changed_on_disk_is_not_started(
    versions: Versions, name: str, action: Callable[[Path], object], tmp_path: Path
) -> None:
    add(versions)
    add(versions, "8.0")
    kept = confirmed(tried(confirmed(tried(versions.read(), "8.0", "o8")), "9.0", "o9"))
    versions.keep(msgspec.structs.replace(kept, packaged=agent.__version__))
    assert chosen(versions, 600).running == "9.0"
    change(tmp_path / "versions/9.0" / name, action)
    fallen = chosen(versions, 600)
    assert fallen.running == "8.0"
    assert fallen.failed is not None
    assert fallen.failed.order == "o9"
    assert versions.read() == fallen
    assert not versions.has("9.0")


def test_a_version_that_no_trusted_key_signed_is_not_started(versions: Versions, tmp_path: Path) -> None:
    add(versions)
    versions.keep(tried(versions.read(), "9.0", "o"))
    for keys in ((), ("ed25519:nonsense",), (PUBLIC[:-4] + "AAA=",)):
        assert chosen(Versions(tmp_path, keys), 600).running == PACKAGED


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"format": 2}', b'{"good": "../../etc"}',
     b'{"trial": {"version": "..", "order": ""}}', b"\xff", b"[" * 60_000, b" " * 70_000],
)  # fmt: skip
def test_a_state_that_cannot_be_read_is_forgotten(versions: Versions, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions/state.json").write_bytes(content)
    assert chosen(versions, 600).running == PACKAGED


def test_what_nobody_goes_back_to_is_deleted(versions: Versions, tmp_path: Path) -> None:
    for version in ("7.0", "8.0", "9.0"):
        add(versions, version)
    (tmp_path / "versions/.half").mkdir()
    kept = Kept(packaged="1.0", good="9.0", previous="8.0")
    versions.keep(kept)
    versions.prune(kept)
    assert left(tmp_path) == ["8.0", "9.0", "state.json"]


def test_a_start_without_versions_writes_nothing(versions: Versions, tmp_path: Path) -> None:
    assert chosen(versions, 600).running == PACKAGED
    assert list(tmp_path.iterdir()) == []
    assert version_here(tmp_path) == PACKAGED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("upgrade: {trial: 3min}", 180), ("school: {id: x}", 600), ("upgrade: {new_key: 1}", 600),
     ("upgrade: {enabled: false}", None), ("upgrade: {trial: soon}", None), ("{", None)],
)  # fmt: skip
def test_the_launcher_reads_what_it_needs_alone(tmp_path: Path, text: str, seconds: float | None) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    place = place_of(file)
    assert (place and place.trial_seconds) == seconds
    assert place is None or place.state_directory == tmp_path / "state"


def upgraded(folder: Path) -> None:
    """A version fetched, tried, started and kept, and others deleted, as processes one after the other do."""
    versions = Versions(folder, (PUBLIC,))
    if not versions.has("9.1"):
        add(versions, "9.1")
    versions.keep(tried(chosen(versions, 600), "9.1", "o"))
    kept = confirmed(chosen(versions, 600))
    versions.keep(kept)
    versions.prune(kept)


def killed_at(step: int, folder: Path) -> bool:
    """Upgrade in a child that is killed by SIGKILL at that touch of a file; False when it was done before."""
    child = os.fork()
    if child == 0:
        left_to_do = itertools.count(step, -1)

        def watch(_event: str, arguments: tuple[object, ...]) -> None:
            if any(str(folder) in str(each) for each in arguments) and next(left_to_do) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        upgraded(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.fault(11)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_any_step_what_runs_is_whole_and_the_upgrade_can_be_done_again(tmp_path: Path) -> None:
    steps = 0
    for step in itertools.count():
        folder = tmp_path / str(step)
        versions = Versions(folder, (PUBLIC,))
        add(versions, "9.0")
        versions.keep(Kept(packaged=agent.__version__, good="9.0"))
        if not killed_at(step, folder):
            break
        steps += 1
        kept = chosen(versions, 600)
        assert kept.running in ("9.0", "9.1")
        assert kept.failed is None
        versions.checked(kept.running)
        upgraded(folder)
        assert (versions.read().good, versions.has("9.1")) == ("9.1", True)
        assert set(left(folder)) <= {"9.0", "9.1", "state.json"}
    assert steps > 40
