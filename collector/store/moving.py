"""Moves everything from one store to another: raw points day by day, and every kept window. What was done is
noted, so that it goes on where it stopped; doing a piece twice does no harm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from collector.batch import Series, batch_of
from collector.store.interface import NS, WINDOW_SECONDS, RawPoint, Store
from collector.store.upkeep import Retention
from config.measurements import Schema

DAY_NS = 86400 * NS
WINDOWS_AT_ONCE = 2000
OTHERS = ""


class Piece(NamedTuple):
    """What is moved at one time: raw points (``seconds`` 0) or windows of one school and measurement, or its
    raw points of all undeclared ones (``measurement`` OTHERS).
    """

    school_id: str
    measurement: str
    seconds: int
    start_ns: int
    end_ns: int


class Noted:
    """The pieces that were moved, in a file that survives a stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_bytes().splitlines() if path.exists() else []
        self._done = {piece for line in lines if (piece := _read(line)) is not None}

    def __contains__(self, piece: object) -> bool:
        return piece in self._done

    def add(self, piece: Piece) -> None:
        """Note one, on disk when this returns."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(list(piece)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._done.add(piece)


def pieces(source: Store, measurements: Schema, retention: Retention, now_ns: int) -> list[Piece]:
    """Everything there is to move, days on their own boundaries so that a later run names them the same."""
    last = now_ns // DAY_NS * DAY_NS + DAY_NS
    first = last - (round(retention.raw / 86400) + 2) * DAY_NS
    found = []
    for school in source.schools():
        written = [measurement for measurement in measurements if source.distinct(school, measurement)]
        found += [
            Piece(school, measurement, 0, start, start + DAY_NS)
            for measurement in (OTHERS, *written)
            for start in range(first, last, DAY_NS)
        ]
        found += [
            Piece(school, measurement, each, 0, last) for measurement in written for each in WINDOW_SECONDS
        ]
    return found


def move(source: Store, target: Store, piece: Piece) -> int:
    """Move one piece; gives how many points or windows. Raises StoreUnavailable."""
    school, measurement, seconds, start_ns, end_ns = piece
    if measurement == OTHERS:
        others = source.others(school, start_ns=start_ns, end_ns=end_ns)
        named = [Series(each.measurement, each.tags, other=True) for each in others]
        return _write(target, school, named, [each.points for each in others])
    if seconds == 0:
        found = source.points(school, measurement, start_ns=start_ns, end_ns=end_ns)
        named = [Series(measurement, each.tags) for each in found]
        return _write(target, school, named, [each.points for each in found])
    windows = source.windows(seconds, school, measurement, start_ns=start_ns, end_ns=end_ns)
    for place in range(0, len(windows), WINDOWS_AT_ONCE):
        target.put_windows(seconds, measurement, windows[place : place + WINDOWS_AT_ONCE])
    return len(windows)


def _write(target: Store, school: str, series: list[Series], points: Sequence[Sequence[RawPoint]]) -> int:
    rows = [(place, each.time_ns, each.fields) for place, some in enumerate(points) for each in some]
    if rows:
        target.write([batch_of(school, "", 0, series, rows)])
    return len(rows)


def _read(line: bytes) -> Piece | None:
    """A torn last line is a piece that is moved again."""
    try:
        return Piece(*msgspec.json.decode(line, type=tuple[str, str, int, int, int]))
    except msgspec.DecodeError:
        return None
