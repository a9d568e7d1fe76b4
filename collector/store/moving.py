"""Moves everything from one store to another: raw points day by day, and every kept window. What was done is
noted until all is done, so that it goes on where it stopped; doing a piece twice does no harm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from collector.batch import Series, batch_of
from collector.store.interface import NS, WINDOW_SECONDS, PointsRefused, RawPoint, Store
from collector.store.upkeep import Retention
from config.measurements import Schema

DAY_NS = 86400 * NS
WINDOWS_AT_ONCE = 2000
EXPIRING_NS = 600 * NS
"""A point that is kept no longer than this is not moved: InfluxDB refuses what its retention has passed."""
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


class Moved(NamedTuple):
    """How many points or windows of a piece were moved, and why the target refused some; empty for none."""

    how_many: int
    refusal: str = ""


class Noted:
    """The pieces that were moved, in a file that survives a stop. What was noted counts for nothing when the
    source has newer points by now: the collector ran in between.
    """

    def __init__(self, path: Path, source: Store) -> None:
        self._path = path
        newest_ns = max((each.time_ns for each in source.latest()), default=0)
        begin = msgspec.json.encode(newest_ns)
        first, *lines = path.read_bytes().splitlines() if path.exists() else [b""]
        if first != begin:
            lines = []
            path.write_bytes(begin + b"\n")
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

    def finish(self) -> None:
        """Everything was moved: the next move is another one."""
        self._path.unlink()


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


def oldest_moved_ns(piece: Piece, retention: Retention, now_ns: int) -> int:
    """From where a piece is moved. Of raw points: where a window begins of which nothing was deleted yet, so
    that the target makes no window again of a part of its points.
    """
    kept = dict(zip((0, *WINDOW_SECONDS), retention, strict=True))[piece.seconds]
    step = WINDOW_SECONDS[0] * NS
    return -(-(now_ns - round(kept * NS) + EXPIRING_NS) // step) * step


def move(source: Store, target: Store, piece: Piece, oldest_ns: int = 0) -> Moved:
    """Move one piece, or what of it is not older than ``oldest_ns``. Raises StoreUnavailable."""
    piece = piece._replace(start_ns=max(piece.start_ns, oldest_ns))
    if piece.seconds:
        return _move_windows(source, target, piece)
    school, measurement, _, start_ns, end_ns = piece
    if measurement == OTHERS:
        others = source.others(school, start_ns=start_ns, end_ns=end_ns)
        named = [Series(each.measurement, each.tags, other=True) for each in others]
        return _write(target, school, named, [each.points for each in others])
    found = source.points(school, measurement, start_ns=start_ns, end_ns=end_ns)
    named = [Series(measurement, each.tags) for each in found]
    return _write(target, school, named, [each.points for each in found])


def _move_windows(source: Store, target: Store, piece: Piece) -> Moved:
    school, measurement, seconds, start_ns, end_ns = piece
    windows = source.windows(seconds, school, measurement, start_ns=start_ns, end_ns=end_ns)
    refusal = ""
    for place in range(0, len(windows), WINDOWS_AT_ONCE):
        try:
            target.put_windows(seconds, measurement, windows[place : place + WINDOWS_AT_ONCE])
        except PointsRefused as refused:
            refusal = str(refused)
    return Moved(len(windows), refusal)


def _write(target: Store, school: str, series: list[Series], points: Sequence[Sequence[RawPoint]]) -> Moved:
    rows = [(place, each.time_ns, each.fields) for place, some in enumerate(points) for each in some]
    try:
        if rows:
            target.write([batch_of(school, "", 0, series, rows)])
    except PointsRefused as refusal:
        return Moved(len(rows), str(refusal))
    return Moved(len(rows))


def _read(line: bytes) -> Piece | None:
    """A torn last line is a piece that is moved again."""
    try:
        return Piece(*msgspec.json.decode(line, type=tuple[str, str, int, int, int]))
    except msgspec.DecodeError:
        return None
