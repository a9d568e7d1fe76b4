"""What listeners fail at: one school's points hold up nobody, and a database that is away is waited for."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from collector.ingest import consumer
from config.points import Point
from tests.collector.running import Running, running, settings_in, wait_until
from tests.collector.test_metrics import samples


class Tally:
    """A room that counts each school's pings in a database of its own, and cannot take those of some."""

    def __init__(self, file: Path) -> None:
        self.cannot: set[str] = set()
        self.asked: list[str] = []
        self.engine = sa.create_engine(f"sqlite:///{file}")
        self.begin()

    def begin(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE tally (school TEXT, points INTEGER)"))

    def on_points(self, school_id: str, points: Sequence[Point]) -> None:
        self.asked.append(school_id)
        if school_id in self.cannot:
            raise ValueError("odd\ndata")
        row = {"school": school_id, "points": len(points)}
        with self.engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO tally VALUES (:school, :points)"), row)

    def counted(self) -> dict[str, int]:
        with self.engine.begin() as connection:
            rows = connection.execute(
                sa.text("SELECT school, sum(points) AS points FROM tally GROUP BY school")
            )
            return {row.school: row.points for row in rows}


@contextmanager
def tallied(folder: Path) -> Iterator[tuple[Running, Tally]]:
    """A collector that tells the tally too."""
    tally = Tally(folder / "tally.db")
    with running(settings_in(folder / "data")) as collector:
        collector.rooms.consumer.add_listener(tally)
        yield collector, tally
    tally.engine.dispose()


def push(collector: Running, *agents: str) -> None:
    for agent in agents:
        text = f"ping,target=a,family=ipv4 sent=1i {time.time_ns()}"
        assert collector.write(text, agent=agent).status == 204


@pytest.mark.fault(10)
def test_a_school_that_a_listener_fails_at_is_not_told_again_and_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "collector.failures")
    with tallied(tmp_path) as (collector, tally):
        tally.cannot = {"s1"}
        push(collector, "a1", "b1", "a1", "b1")
        collector.settle()
        assert tally.asked == ["s1", "s2", "s1", "s2"]
        assert tally.counted() == {"s2": 2}
        assert len(collector.stored()) == 2
        told = samples(collector.request("GET", "/metrics", agent=None).body.decode())
        assert told["xiaotong_listener_failures_total"] == 2
        assert told["xiaotong_listener_failing_schools"] == 1
        tally.cannot = set()
        push(collector, "a1")
        collector.settle()
        assert tally.counted() == {"s1": 1, "s2": 2}
        assert not collector.rooms.consumer.failures.schools()
    [began, ended] = [each.message for each in caplog.records if each.name == "collector.failures"]
    assert re.fullmatch(
        r"listener failed school=s1 listener=Tally at=ValueError in test_consumer.py:\d+ reason=odd data",
        began,
    )
    assert ended == "listener fails no longer school=s1 listener=Tally"


def test_a_listener_whose_database_is_away_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LISTENER_ATTEMPTS", 10_000)
    monkeypatch.setattr(consumer, "LISTENER_WAIT_SECONDS", 0.01)
    with tallied(tmp_path) as (collector, tally):
        with tally.engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE tally"))
        push(collector, "a1", "b1")
        wait_until(lambda: len(tally.asked) > 3)
        assert set(tally.asked) == {"s1"}
        assert collector.rooms.journal.waiting_bytes() > 0, "it leaves the journal when it was told"
        tally.begin()
        collector.settle()
        assert tally.counted() == {"s1": 1, "s2": 1}
        assert collector.rooms.consumer.failures.total == 0
