"""The journal: what it acknowledged is there, once, whatever happens to its files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collector.ingest.journal import Journal, JournalFull
from collector.ingest.segments import Damage, Record, frame, scan
from collector.ingest.sequences import BatchKey, SeenSequences

BODIES = [f"body {n} ".encode() * (n + 1) for n in range(12)]


def opened(folder: Path, **limits: int) -> Journal:
    return Journal(folder, **{"max_bytes": 2**24, "segment_bytes": 2**20, "reserve_bytes": 0, **limits})


def key(sequence: int, agent: str = "a1") -> BatchKey:
    return BatchKey(agent, "spool", sequence)


def all_bodies(journal: Journal) -> list[bytes]:
    found = []
    while bodies := journal.read(2**20, 0):
        found += bodies
        journal.taken()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_gives_what_was_appended_in_order_and_once(folder: Path) -> None:
    journal = opened(folder)
    assert all(journal.append(None, body).result(10) for body in BODIES)
    assert all_bodies(journal) == BODIES
    assert all_bodies(journal) == []
    assert journal.waiting_bytes() == 0
    journal.close()


def test_what_was_not_taken_is_there_after_a_restart(folder: Path) -> None:
    journal = opened(folder)
    journal.append(key(1), b"one").result(10)
    assert journal.read(1, 0) == [b"one"]
    journal.taken()
    journal.append(key(2), b"two").result(10)
    journal.close()
    journal = opened(folder)
    assert all_bodies(journal) == [b"two"]
    journal.close()


@pytest.mark.fault(9)
def test_a_batch_sent_again_is_taken_once_across_restarts_and_dropped_segments(folder: Path) -> None:
    for _ in range(3):
        journal = opened(folder, segment_bytes=64)
        taken = [journal.append(key(n), BODIES[n]).result(10) for n in (3, 1, 2, 1, 3)]
        assert taken == [True, True, True, False, False] or not any(taken)
        all_bodies(journal)
        journal.close()
    assert len(list(folder.glob("*.journal"))) < 4
    journal = opened(folder)
    assert journal.append(key(1, "b1"), b"x").result(10)
    journal.close()


def test_concurrent_batches_share_a_sync(folder: Path) -> None:
    journal = opened(folder)
    futures = [journal.append(None, b"x" * 100) for _ in range(500)]
    assert all(future.result(10) for future in futures)
    assert journal.counts.syncs < 500
    assert len(all_bodies(journal)) == 500
    journal.close()


def test_refuses_beyond_its_bound_and_takes_again_when_there_is_room(folder: Path) -> None:
    journal = opened(folder, max_bytes=1000, segment_bytes=200)
    taken = 0
    with pytest.raises(JournalFull, match="1000 bytes allowed"):  # noqa: PT012
        for n in range(100):
            journal.append(key(n), b"x" * 100).result(10)
            taken += 1
    assert len(all_bodies(journal)) == taken
    assert journal.append(key(taken), b"x" * 100).result(10)
    journal.close()


def test_refuses_when_stopping(folder: Path) -> None:
    journal = opened(folder)
    journal.close()
    with pytest.raises(JournalFull, match="stopping"):
        journal.append(None, b"x").result(10)


@pytest.mark.fault(11)
def test_every_cut_of_a_segment_keeps_the_records_before_it(folder: Path) -> None:
    whole = b"".join(frame(b"k", body) for body in BODIES)
    ends = [found.end for found in scan(whole) if isinstance(found, Record)]
    for cut in range(len(whole)):
        found = list(scan(whole[:cut]))
        records = [each.body for each in found if isinstance(each, Record)]
        assert records == BODIES[: sum(end <= cut for end in ends)]
        assert all(each.torn for each in found if isinstance(each, Damage))


@pytest.mark.fault(11)
def test_every_flipped_byte_costs_at_most_its_record(folder: Path) -> None:
    whole = b"".join(frame(b"k", body) for body in BODIES)
    ends = [found.end for found in scan(whole) if isinstance(found, Record)]
    for place in range(len(whole)):
        rotten = bytearray(whole)
        rotten[place] ^= 0x40
        hit = sum(end <= place for end in ends)
        found = list(scan(bytes(rotten)))
        assert [each.body for each in found if isinstance(each, Record)] == BODIES[:hit] + BODIES[hit + 1 :]
        assert sum(isinstance(each, Damage) for each in found) == 1


@pytest.mark.fault(11)
@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_journal_opens_counts_and_goes_on(folder: Path, seed: int) -> None:
    journal = opened(folder, segment_bytes=150)
    for n, body in enumerate(BODIES):
        journal.append(key(n), body).result(10)
    journal.close()
    chance = random.Random(seed)
    path = chance.choice([each for each in sorted(folder.glob("*.journal")) if each.stat().st_size])
    data = bytearray(path.read_bytes())
    if seed % 2:
        del data[chance.randrange(len(data)) :]
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    journal = opened(folder)
    journal.append(None, b"after").result(10)
    found = all_bodies(journal)
    assert found[-1] == b"after"
    assert set(found[:-1]) < set(BODIES)
    assert len(found) >= len(BODIES) + 1 - 4
    journal.close()


@pytest.mark.fault(11)
@pytest.mark.parametrize("name", ["cursor", "seen"])
def test_rotten_notes_lose_nothing(folder: Path, name: str) -> None:
    journal = opened(folder, segment_bytes=64)
    for n, body in enumerate(BODIES):
        journal.append(key(n), body).result(10)
    assert journal.read(200, 0)
    journal.taken()
    rest = len(list(journal.read(2**20, 0)))
    journal.close()
    (folder / name).write_bytes(b"\xc1rotten")
    journal = opened(folder)
    assert all_bodies(journal)[-rest:] == BODIES[-rest:]
    journal.close()


_WRITER = """
import sys
from pathlib import Path
from collector.ingest.journal import Journal
from collector.ingest.sequences import BatchKey
journal = Journal(Path(sys.argv[1]), max_bytes=2**26, segment_bytes=4096, reserve_bytes=0)
for n in range(int(sys.argv[2]), 10**9):
    journal.append(BatchKey("a1", "s", n), b"%d" % n).result()
    print(n, flush=True)
"""


@pytest.mark.fault(11)
def test_killed_at_random_moments_nothing_acknowledged_is_lost(folder: Path) -> None:
    chance = random.Random(7)
    start = 0
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder), str(start)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _, line in zip(range(chance.randrange(1, 200)), writer.stdout, strict=False):
                start = int(line) + 1
            os.kill(writer.pid, signal.SIGKILL)
            start = max([start, *(int(line) + 1 for line in writer.stdout if line.endswith("\n"))])
    journal = opened(folder)
    found = [int(body) for body in all_bodies(journal)]
    assert len(found) == len(set(found))
    assert set(range(start)) <= set(found)
    journal.close()


@pytest.mark.needs_root
@pytest.mark.fault(12)
def test_a_full_disk_refuses_and_what_is_there_stays_readable(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        journal = opened(disk / "journal", segment_bytes=100_000)
        taken = 0
        with pytest.raises(JournalFull):  # noqa: PT012
            for n in range(1000):
                journal.append(key(n), b"x" * 50_000).result(10)
                taken += 1
        assert taken > 10
        assert len(all_bodies(journal)) == taken
        assert journal.append(key(taken), b"again").result(10)
        assert all_bodies(journal) == [b"again"]
        journal.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_sequences_are_kept_as_ranges_in_any_order() -> None:
    numbers = list(range(500))
    random.Random(1).shuffle(numbers)
    seen = SeenSequences()
    for n in numbers[:400]:
        seen.add(key(n))
    seen = SeenSequences.load(seen.dump())
    assert [key(n) in seen for n in numbers] == [True] * 400 + [False] * 100
    for n in numbers:
        seen.add(key(n))
    assert len(seen.dump()) < 50
    assert key(500) not in seen
    assert key(0, "b1") not in seen
