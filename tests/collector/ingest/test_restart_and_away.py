"""What holds over a restart, and while the store is away."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from collector.ingest import consumer
from collector.ingest.journal import Journal
from collector.ingest.set_aside import Reason
from tests.collector.running import Running, running, settings_in, wait_until
from tests.collector.store.influxd import influxd, proxy


def line(time_ns: int, sent: int = 1, target: str = "gateway") -> str:
    return f"ping,target={target},family=ipv4 sent={sent}i {time_ns}"


@pytest.mark.needs("influxd")
def test_influxdb_away_loses_nothing_and_new_points_go_before_the_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "AWAY_SECONDS", 0.2)
    monkeypatch.setattr(consumer, "GROUP_BYTES", 20_000)
    now = time.time_ns() - 10**12
    with influxd(tmp_path / "influxd") as target, proxy(target) as before:
        before.answer = (503, b'{"message":"away"}')
        influxdb = {"url": f"http://127.0.0.1:{before.port}", "timeout": 5.0}
        settings = settings_in(
            tmp_path / "data", store={"engine": "influxdb", "influxdb": influxdb, "catch_up": 100_000}
        )
        with running(settings) as collector:
            journal = collector.rooms.journal
            for batch in range(20):
                text = "\n".join(line(now + batch * 10**6 + n, n) for n in range(500))
                assert collector.push(text, batch).status == 204
            wait_until(lambda: collector.rooms.consumer.counts.store_failures > 1)
            backlog = journal.waiting_bytes()
            assert backlog > 100_000
            before.answer = None
            wait_until(journal.is_behind, 40)
            assert collector.push(line(now + 10**9, 7, "live"), 100).status == 204
            wait_until(
                lambda: any(each.tags["target"] == "live" for each in collector.rooms.store.latest("s1"))
            )
            assert journal.is_behind()
            wait_until(lambda: journal.waiting_bytes() == 0, 40)
            times = {now + batch * 10**6 + n for batch in range(20) for n in range(500)} | {now + 10**9}
            assert collector.stored().keys() == times


def test_what_was_left_behind_survives_a_restart(tmp_path: Path) -> None:
    def opened() -> Journal:
        return Journal(tmp_path / "journal", max_bytes=2**24, segment_bytes=100, reserve_bytes=0)

    journal = opened()
    for n in range(6):
        journal.append(None, b"old %d" % n).result(10)
    assert journal.read(1, 0) == [b"old 0"]
    journal.taken()
    journal.leave_behind()
    journal.append(None, b"new 1").result(10)
    assert journal.read_behind(1) == [b"old 1"]
    journal.taken_behind()
    assert journal.read(2**20, 0) == [b"new 1"]
    journal.taken()
    journal.close()
    journal = opened()
    assert journal.is_behind()
    assert journal.read(2**20, 0) == []
    journal.append(None, b"new 2").result(10)
    journal.leave_behind()
    assert journal.waiting_bytes() > 0
    assert journal.oldest_ns() is not None
    assert journal.read_behind(2**20) == [b"old 2", b"old 3", b"old 4", b"old 5"]
    journal.taken_behind()
    assert journal.read_behind(2**20) == [b"new 2"]
    journal.taken_behind()
    assert not journal.is_behind()
    assert journal.waiting_bytes() == 0
    assert journal.oldest_ns() is None
    journal.close()


@pytest.mark.fault(6)
def test_the_cap_of_series_holds_over_a_restart(tmp_path: Path) -> None:
    now = time.time_ns()
    settings = settings_in(tmp_path, ingest={"max_series_per_agent": 3})
    with running(settings) as collector:
        tokens = collector.tokens
        text = "\n".join(line(now, 1, f"t{n}") for n in range(3))
        assert collector.push(text, 1).status == 204
        collector.settle()
    with running(settings) as collector:
        collector.tokens = tokens
        answered = collector.push(f"{line(now + 1, 1, 't2')}\n{line(now + 1, 1, 'new')}", 2)
        assert answered.headers["x-xiaotong-set-aside"] == "1"
        assert collector.rooms.set_aside.counts() == {Reason.SERIES_CAP: 1}
        assert collector.rooms.ingest.intake.series.count() == {"a1": 3}


@pytest.mark.fault(8)
def test_an_agents_clock_is_remembered_over_a_restart_and_its_points_are_marked(tmp_path: Path) -> None:
    now = time.time_ns()
    settings = settings_in(tmp_path)

    def push(collector: Running, sequence: int, boot: str) -> None:
        answered = collector.push(
            line(7 * 10**9 + sequence, sequence), sequence,
            Boot_Id=boot, Wall_Ns=str(now), Monotonic_Ns=str(10**12),
            Recorded_Boot_Id="first", Recorded_Wall_Ns=str(7 * 10**9), Recorded_Monotonic_Ns=str(9 * 10**11),
        )  # fmt: skip
        assert answered.headers.get("x-xiaotong-set-aside") is None

    with running(settings) as collector:
        tokens = collector.tokens
        push(collector, 1, "first")
    with running(settings) as collector:
        collector.tokens = tokens
        push(collector, 2, "second")
        times = sorted(collector.stored())
        assert len(times) == 2
        assert all(abs(at - (now - 10**11)) < 30 * 10**9 for at in times)
        marks = collector.stored("clock")
        assert [fields["points"] for fields in marks.values()] == [1, 1]
        assert all(abs(fields["moved_seconds"] * 1e9 - now) < 200e9 for fields in marks.values())


def test_damaged_clocks_are_forgotten_and_the_collector_starts(tmp_path: Path) -> None:
    (tmp_path / "clocks").write_bytes(b"\xc1")
    with running(settings_in(tmp_path)) as collector:
        assert collector.push(line(time.time_ns()), 1).status == 204


@pytest.mark.needs_root
@pytest.mark.fault(12)
def test_a_points_file_that_cannot_grow_is_tried_again_and_nothing_is_lost(tmp_path: Path) -> None:
    """Its disk is another than the journal's: what is acknowledged waits in the journal."""
    disk, data = tmp_path / "disk", tmp_path / "data"
    disk.mkdir()
    data.mkdir()
    (data / "points.db").symlink_to(disk / "points.db")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        now = time.time_ns() - 10**12
        with running(settings_in(data)) as collector:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            (disk / "filler").write_bytes(b"x" * (free - 100_000))
            for batch in range(10):
                text = "\n".join(line(now + batch * 10**6 + n, n) for n in range(1000))
                assert collector.push(text, batch).status == 204
            wait_until(lambda: collector.rooms.consumer.counts.store_failures >= 2)
            assert collector.rooms.journal.waiting_bytes() > 0
            (disk / "filler").unlink()
            stored = collector.stored()
            assert stored.keys() == {now + batch * 10**6 + n for batch in range(10) for n in range(1000)}
            assert collector.rooms.set_aside.counts() == {}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
