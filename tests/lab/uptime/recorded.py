"""What agents measured beside what the store holds: after a backfill nothing is lost, nothing is there twice.

The clocks of some agents step, and the collector puts that right: so points are told apart by their series
and fields, not by their times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from collector.ingest.line_protocol import Line, parse_head, read_lines
from collector.store.embedded import EmbeddedStore
from collector.store.upkeep import Retention
from config.points import FieldValue

MEASUREMENTS = ("ping", "interface", "agent", "probe")
OWN_TAGS = {"school", "agent"}
DAY = 86400.0
FAR_NS = 2**62

Point = tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, FieldValue], ...]]


class Compared(NamedTuple):
    """How many points an agent measured, which of them are not in the store, which are there too often."""

    recorded: int
    missing: Sequence[Point]
    too_many: Sequence[Point]


def recorded(file: Path, excused: Sequence[tuple[float, float]]) -> tuple[Counter[Point], Counter[Point]]:
    """The points of an agent's list: all of them, and those that must have reached the store.

    ``excused`` are the true times (seconds since 1970) in which what was measured need not: it was killed
    before the spool's ``flush`` was over.
    """
    every: Counter[Point] = Counter()
    owed: Counter[Point] = Counter()
    for row in file.read_text(encoding="utf-8").splitlines():
        at, _, text = row.partition(" ")
        for point in _read(text):
            every[point] += 1
            if not any(start <= int(at) / 1e9 <= end for start, end in excused):
                owed[point] += 1
    return every, owed


def stored(data: Path, school_id: str) -> Counter[Point]:
    """The points of a school in the store of a collector that has ended."""
    retention = Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
    store = EmbeddedStore(data / "points.db", retention=retention)
    try:
        return Counter(
            _point(measurement, series.tags, point.fields)
            for measurement in MEASUREMENTS
            for series in store.points(school_id, measurement, start_ns=0, end_ns=FAR_NS)
            for point in series.points
        )
    finally:
        store.close()


def compared(file: Path, data: Path, school_id: str, excused: Sequence[tuple[float, float]]) -> Compared:
    """One school's agent and the store."""
    every, owed = recorded(file, excused)
    there = stored(data, school_id)
    return Compared(sum(every.values()), list((owed - there).elements()), list((there - every).elements()))


def _read(text: str) -> Iterator[Point]:
    for line in read_lines(text):
        if not isinstance(line, Line):
            raise TypeError(f"the agent wrote {line}")
        measurement, tags = parse_head(line.head)
        if measurement in MEASUREMENTS:
            yield _point(measurement, tags, line.fields)


def _point(measurement: str, tags: Mapping[str, str], fields: Mapping[str, FieldValue]) -> Point:
    own = tuple(sorted((name, value) for name, value in tags.items() if name not in OWN_TAGS))
    return measurement, own, tuple(sorted(fields.items()))
