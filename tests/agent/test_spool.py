"""The spool: nothing lost that was promised, whatever happens to its file."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.settings import SpoolSettings
from agent.spool import FILE_NAME, Spool
from agent.spool_file import SEQUENCE_BLOCK, Batch
from agent.vitals import bytes_written
from config.units import Bytes, Seconds
from tests.agent.clocks import HandClock

SMALL = SpoolSettings(reserve=Bytes(0), flush_away=Seconds(10))


def opened(directory: Path, clock: HandClock | None = None, settings: SpoolSettings = SMALL) -> Spool:
    return Spool(directory, settings, clock or HandClock(), "boot-1")


def put(spool: Spool, clock: HandClock, *lines: str) -> None:
    """Lines, cut and written."""
    spool.add(list(lines))
    clock.pass_seconds(8)
    spool.turn()
    clock.pass_seconds(2)
    spool.turn()


def drained(spool: Spool) -> list[Batch]:
    found = []
    while batches := spool.oldest():
        found += batches
        spool.acknowledge(*batches)
    return found


def text(batch: Batch) -> str:
    return gzip.decompress(batch.body).decode().strip()


@pytest.mark.fault(8)
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_wall_clock_parts_a_batch(tmp_path: Path, step: float) -> None:
    """Each batch carries the clock by which its own points were dated, also when it is cut after the step."""
    clock = HandClock()
    spool = opened(tmp_path, clock)
    began_ns = clock.wall_ns()
    spool.add(["before f=1i 1"])
    clock.pass_seconds(1)
    clock.step_wall(step)
    spool.add(["after f=1i 2"])
    clock.pass_seconds(8)
    clock.step_wall(-step)
    spool.turn()
    first, second = drained(spool)
    assert (text(first), first.wall_ns) == ("before f=1i 1", began_ns + 10**9)
    assert (text(second), second.wall_ns) == ("after f=1i 2", began_ns + round((9 + step) * 1e9))


def test_a_batch_waits_in_memory_and_then_is_on_disk(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(tmp_path, clock)
    spool.add(["a f=1i 1", "b f=1i 1"])
    assert spool.turn() == 8.0
    clock.pass_seconds(8)
    assert spool.turn() == 2.0
    assert spool._file.batches == 0
    clock.pass_seconds(2)
    assert spool.turn() == 6.0
    assert spool._file.batches == 1
    spool.close()


def test_close_keeps_what_was_only_in_memory(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.add(["a f=1i 1"])
    spool.close()
    again = opened(tmp_path)
    [batch] = again.oldest()
    assert batch is not None
    assert (text(batch), batch.points, batch.boot_id) == ("a f=1i 1", 1, "boot-1")
    again.close()


def test_a_batch_keeps_the_clocks_of_its_cut(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(tmp_path, clock)
    spool.add(["a f=1i 1"])
    clock.pass_seconds(8)
    spool.turn()
    at = clock.wall_ns(), clock.monotonic_ns()
    spool.close()
    again = opened(tmp_path)
    batch = again.newest()
    assert batch is not None
    assert (batch.wall_ns, batch.monotonic_ns) == at
    again.close()


def test_a_sequence_is_never_used_twice(tmp_path: Path) -> None:
    used: list[int] = []
    spool_ids = set()
    for clean in (True, False, True, False):
        spool = opened(tmp_path)
        for _ in range(3):
            spool.add(["a f=1i 1"])
            spool._cut()
            used += [batch.sequence for batch in drained(spool)]
        spool_ids.add(spool.spool_id)
        spool.close() if clean else spool._file.abandon()
    assert len(spool_ids) == 1
    assert used == sorted(set(used))
    assert used[:6] == [1, 2, 3, 4, 5, 6]
    assert used[6] == 4 + SEQUENCE_BLOCK


def test_too_many_bytes_evict_the_oldest_and_are_counted(tmp_path: Path) -> None:
    clock = HandClock()
    settings = SpoolSettings(reserve=Bytes(0), flush_away=Seconds(10), max_bytes=Bytes(300_000))
    spool = opened(tmp_path, clock, settings)
    for number in range(40):
        noise = random.Random(number).randbytes(10_000).hex()
        put(spool, clock, f'a f="{noise}" {number}')
    state = spool.state()
    numbers = [int(text(batch).rsplit(" ", 1)[1]) for batch in drained(spool)]
    assert numbers == list(range(40 - len(numbers), 40))
    assert 0 < len(numbers) < 40
    assert state.dropped_points == 40 - len(numbers)
    assert state.bytes <= 300_000
    assert (tmp_path / FILE_NAME).stat().st_size < 300_000 * 5 / 4 + 2**18
    spool.close()


def test_too_many_batches_evict_the_oldest(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(tmp_path, clock, SpoolSettings(reserve=Bytes(0), flush_away=Seconds(10), max_batches=3))
    for number in range(5):
        put(spool, clock, f"a f=1i {number}")
    assert [text(batch) for batch in drained(spool)] == [f"a f=1i {n}" for n in (2, 3, 4)]
    assert spool.state().dropped_points == 2
    spool.close()


@pytest.mark.fault(8)
@pytest.mark.parametrize("step_hours", [-12, 12])
def test_age_is_counted_by_the_monotonic_clock(tmp_path: Path, step_hours: int) -> None:
    clock = HandClock()
    spool = opened(
        tmp_path, clock, SpoolSettings(reserve=Bytes(0), flush_away=Seconds(10), max_age=Seconds(3600))
    )
    put(spool, clock, "old f=1i 1")
    clock.step_wall(step_hours * 3600)
    put(spool, clock, "new f=1i 2")
    assert spool.state().dropped_points == 0
    clock.pass_seconds(3580)
    put(spool, clock, "newest f=1i 3")
    assert [text(batch) for batch in drained(spool)] == ["new f=1i 2", "newest f=1i 3"]
    spool.close()


def test_memory_is_bounded_while_the_disk_cannot_be_written(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(
        tmp_path, clock, SpoolSettings(reserve=Bytes(0), flush_away=Seconds(10), memory_max_bytes=Bytes(2000))
    )
    spool._file.abandon()
    shutil.rmtree(tmp_path)
    for number in range(50):
        put(spool, clock, f"a f={number}i {number}")
    assert sum(batch.cost_bytes for batch in spool._held) + len(spool._lines) * 100 < 3000
    assert spool.state().dropped_points > 0


@pytest.mark.fault(11)
def test_a_rotten_body_is_skipped_and_counted(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(tmp_path, clock)
    for number in range(3):
        put(spool, clock, f"a f=1i {number}")
    spool.close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE batch SET body = x'00' || substr(body, 2) WHERE sequence = 2")
    again = opened(tmp_path)
    assert [text(batch) for batch in drained(again)] == ["a f=1i 0", "a f=1i 2"]
    assert again.state().damaged == 1
    again.close()


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, int], str]:
    """A spool file of 30 batches, what they hold by sequence, and its id."""
    directory, clock = tmp_path_factory.mktemp("sound"), HandClock()
    spool = opened(directory, clock)
    for number in range(30):
        put(spool, clock, f'a f="{random.Random(number).randbytes(600).hex()}" {number}')
    spool_id = spool.spool_id
    spool.close()
    again = opened(directory)
    held = {text(batch): batch.sequence for batch in drained(again)}
    again._file.abandon()
    return (directory / FILE_NAME).read_bytes(), held, spool_id


def damages(size: int) -> Iterator[tuple[str, int]]:
    """Every byte of the first header and schema, then a stride that meets all kinds of pages."""
    yield from (("flip", offset) for offset in (*range(110), *range(110, size, 397)))
    yield from (("cut", offset) for offset in range(0, size, 1777))


@pytest.mark.fault(11)
def test_damage_anywhere_starts_keeps_the_rest_and_reuses_no_number(
    tmp_path: Path, sound_file: tuple[bytes, dict[str, int], str]
) -> None:
    content, held, spool_id = sound_file
    kept = []
    for kind, offset in damages(len(content)):
        case = tmp_path / f"{kind}{offset}"
        case.mkdir()
        damaged = content[:offset] + (
            b"" if kind == "cut" else bytes([content[offset] ^ 0xA5]) + content[offset + 1 :]
        )
        (case / FILE_NAME).write_bytes(damaged)
        spool = opened(case)
        spool.add(["fresh f=1i 1"])
        spool._cut()
        batches = drained(spool)
        texts = [text(batch) for batch in batches]
        assert "fresh f=1i 1" in texts, (kind, offset)
        assert set(texts) <= {*held, "fresh f=1i 1"}, (kind, offset)
        assert len(texts) == len(set(texts)), (kind, offset)
        for batch in batches:
            if batch.spool_id == spool_id:
                assert held.get(text(batch), batch.sequence) == batch.sequence, (kind, offset)
                assert text(batch) in held or batch.sequence not in held.values(), (kind, offset)
        kept.append(len(texts) - 1 if kind == "flip" else 30)
        spool._file.abandon()
        shutil.rmtree(case)
    assert sum(kept) / len(kept) > 25


@pytest.mark.fault(11)
def test_a_torn_log_loses_only_its_tail(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(tmp_path / "a", clock)
    for number in range(5):
        put(spool, clock, f"a f=1i {number}")
    log = (tmp_path / "a" / f"{FILE_NAME}-wal").read_bytes()
    base = (tmp_path / "a" / FILE_NAME).read_bytes()
    for cut in range(0, len(log), 1031):
        case = tmp_path / f"cut{cut}"
        case.mkdir()
        (case / FILE_NAME).write_bytes(base)
        (case / f"{FILE_NAME}-wal").write_bytes(log[:cut])
        torn = opened(case)
        found = [text(batch) for batch in drained(torn)]
        assert found == [f"a f=1i {number}" for number in range(len(found))]
        torn._file.abandon()
    spool.close()


WRITER = """
import sys
from pathlib import Path
from config.clock import SystemClock
from agent.settings import SpoolSettings
from agent.spool import Spool
from config.units import Bytes, Seconds
settings = SpoolSettings(reserve=Bytes(0), flush=Seconds(1), flush_away=Seconds(1), hold=Seconds(0))
spool = Spool(Path(sys.argv[1]), settings, SystemClock(), "b")
for number in range(100000):
    spool.add([f"a f=1i {sys.argv[2]}{number:06d}"])
    spool._cut()
    spool._write_held()
    print(f"{sys.argv[2]}{number:06d}", flush=True)
"""


@pytest.mark.fault(11)
def test_kill_9_loses_nothing_that_was_written(tmp_path: Path) -> None:
    told: list[str] = []
    for round_number in range(1, 11):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(round_number)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            told += [
                writer.stdout.readline().strip() for _ in range(random.Random(round_number).randint(1, 40))
            ]
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.read().split("\n")[:-1]
    spool = opened(tmp_path)
    batches = drained(spool)
    found = [text(batch).rsplit(" ", 1)[1] for batch in batches]
    spool.close()
    assert set(told) <= set(found)
    assert len(found) == len(set(found)) <= len(told) + 10
    assert [b.sequence for b in batches] == sorted({b.sequence for b in batches})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


@pytest.mark.needs_root
@pytest.mark.fault(12)
def test_a_full_disk_evicts_the_oldest_from_the_reserve(small_disk: Path) -> None:
    clock = HandClock()
    spool = opened(small_disk, clock, SpoolSettings(reserve=Bytes(512 * 1024), flush_away=Seconds(10)))
    number = 0

    def write(count: int) -> None:
        nonlocal number
        for _ in range(count):
            put(spool, clock, f'a f="{random.Random(number).randbytes(2500).hex()}" {number}')
            number += 1

    write(100)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    assert os.statvfs(small_disk).f_bavail == 0
    write(200)
    dropped = spool.state().dropped_points
    spool.close()
    again = opened(small_disk, clock)
    found = [int(text(batch).rsplit(" ", 1)[1]) for batch in drained(again)]
    again.close()
    assert found == list(range(300 - len(found), 300))
    assert len(found) > 50
    assert dropped == 300 - len(found)


@pytest.mark.needs_root
@pytest.mark.fault(12)
def test_a_spool_opens_on_a_full_disk(small_disk: Path) -> None:
    clock = HandClock()
    spool = opened(small_disk, clock, SpoolSettings(reserve=Bytes(512 * 1024), flush_away=Seconds(10)))
    put(spool, clock, "a f=1i 1")
    spool._file.abandon()
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    again = opened(small_disk, clock, SpoolSettings(reserve=Bytes(512 * 1024), flush_away=Seconds(10)))
    put(again, clock, "b f=1i 2")
    assert [text(batch) for batch in drained(again)] == ["a f=1i 1", "b f=1i 2"]
    again.close()


def test_bytes_written_is_the_kernel_s_count(tmp_path: Path) -> None:
    faked = tmp_path / "io"
    faked.write_text("rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 9\n")
    assert bytes_written(faked) == 4096
    assert bytes_written(tmp_path / "absent") is None


def test_while_the_collector_is_away_a_minute_is_written_in_one_commit(tmp_path: Path) -> None:
    clock = HandClock()
    spool = opened(tmp_path, clock, SpoolSettings(reserve=Bytes(0)))
    written: list[tuple[int, int]] = []
    for second in range(1, 201):
        spool.add([f"a f=1i {second}"])
        clock.pass_seconds(1)
        spool.turn()
        if spool._file.batches != (written[-1][1] if written else 0):
            written.append((second, spool._file.batches))
    spool.close()
    moments = [second for second, _ in written]
    assert moments[0] == 10
    assert all(50 <= later - earlier <= 60 for earlier, later in itertools.pairwise(moments))
    again = opened(tmp_path)
    told = [line for batch in drained(again) for line in text(batch).splitlines()]
    again.close()
    assert told == [f"a f=1i {second}" for second in range(1, 201)]
