"""What keeps the embedded store in shape, in small steps: windows made again, old rows deleted."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from collector.store import tables
from collector.store.interface import NS, WINDOW_SECONDS
from collector.store.written import WrittenFields
from config.measurements import Schema

FOLD_WINDOWS = 1000
SWEEP_SERIES = 100
DELETE_ROWS = 2000
COARSE_ROUNDS = 12
"""Windows of an hour and a day are made again in one round of so many."""
SWEEP_ROUNDS = 720
"""Old rows are looked for in one round of so many."""


class Retention(NamedTuple):
    """Seconds that rows are kept."""

    raw: float
    five_minutes: float
    hourly: float
    daily: float


class _Old(NamedTuple):
    """Rows of a series in one table whose ``key`` is before ``before_ns``."""

    table: str
    key: str
    series_id: int
    before_ns: int


class Upkeep:
    """Bounded steps; a round of steps folds what is dirty and, now and then, sweeps what is old.

    The caller owns the transaction, the clock, and when a round begins.
    """

    def __init__(
        self, measurements: Schema, written: WrittenFields, retention: Retention, *, day_offset_ns: int
    ) -> None:
        self._measurements = dict(measurements)
        self._written = written
        self._retention = retention
        self._day_offset_ns = day_offset_ns
        self._rounds = 0
        self._folding: list[int] = []
        self._sweep_after: int | None = None
        self._in_round = False
        self._expired: set[int] = set()

    def take_expired(self) -> set[int]:
        """Series that were deleted since the last call."""
        expired, self._expired = self._expired, set()
        return expired

    def step(self, db: sqlite3.Connection, now_ns: int) -> bool:
        """Do one piece of work. False when that ended the round."""
        if not self._in_round:
            self._begin_round()
        if self._folding:
            if not self._fold_some(db, self._folding[0]):
                del self._folding[0]
        elif self._sweep_after is not None:
            self._sweep_after = self._sweep_some(db, now_ns, self._sweep_after)
        self._in_round = bool(self._folding) or self._sweep_after is not None
        return self._in_round

    def _begin_round(self) -> None:
        self._folding = list(WINDOW_SECONDS if self._rounds % COARSE_ROUNDS == 0 else WINDOW_SECONDS[:1])
        self._sweep_after = 0 if self._rounds % SWEEP_ROUNDS == 0 else None
        self._rounds += 1

    def _fold_some(self, db: sqlite3.Connection, seconds: int) -> bool:
        """Make some dirty windows again. False when none of these is left."""
        rows = db.execute(
            "SELECT measurement, series_id, start_ns FROM dirty WHERE seconds = ? LIMIT ?",
            (seconds, FOLD_WINDOWS),
        ).fetchall()
        windows: dict[str, list[tuple[int, int]]] = {}
        for measurement, series_id, start_ns in rows:
            windows.setdefault(measurement, []).append((series_id, start_ns))
        for measurement, some in windows.items():
            if measurement in self._measurements:
                self._fold(db, seconds, measurement, some)
            self._settle(db, seconds, measurement, some)
        return len(rows) == FOLD_WINDOWS

    def _fold(
        self, db: sqlite3.Connection, seconds: int, measurement: str, windows: list[tuple[int, int]]
    ) -> None:
        db.execute("CREATE TEMP TABLE IF NOT EXISTS folding (series_id INTEGER, start_ns INTEGER)")
        db.execute("DELETE FROM temp.folding")
        db.executemany("INSERT INTO temp.folding VALUES (?, ?)", windows)
        declared = self._written.of(measurement)
        if not tables.window_columns(declared):
            return
        try:
            db.execute(tables.fold(seconds, measurement, declared, exact=True))
        except sqlite3.OperationalError as error:
            if "integer overflow" not in str(error):
                raise
            db.execute(tables.fold(seconds, measurement, declared, exact=False))

    def _settle(
        self, db: sqlite3.Connection, seconds: int, measurement: str, windows: list[tuple[int, int]]
    ) -> None:
        """Windows that were made again are clean; the longer ones they lie in are dirty now."""
        db.executemany(
            "DELETE FROM dirty WHERE seconds = ? AND measurement = ? AND series_id = ? AND start_ns = ?",
            [(seconds, measurement, series_id, start_ns) for series_id, start_ns in windows],
        )
        if seconds == WINDOW_SECONDS[0]:
            db.executemany(
                "INSERT OR IGNORE INTO dirty (seconds, measurement, series_id, start_ns) VALUES (?, ?, ?, ?)",
                {
                    (longer, measurement, series_id, self._start(longer, start_ns))
                    for series_id, start_ns in windows
                    for longer in WINDOW_SECONDS[1:]
                },
            )

    def _start(self, seconds: int, time_ns: int) -> int:
        offset_ns = self._day_offset_ns if seconds == WINDOW_SECONDS[-1] else 0
        return (time_ns + offset_ns) // (seconds * NS) * seconds * NS - offset_ns

    def _sweep_some(self, db: sqlite3.Connection, now_ns: int, after: int) -> int | None:
        """Delete old rows of some series. The series to go on after; None when all were swept."""
        rows = db.execute(
            "SELECT id, measurement, other FROM series WHERE id > ? ORDER BY id LIMIT ?",
            (after, SWEEP_SERIES),
        ).fetchall()
        left = DELETE_ROWS
        for series_id, measurement, other in rows:
            for table, key, keep_seconds in self._tables_of(measurement, other):
                old = _Old(table, key, series_id, now_ns - round(keep_seconds * NS))
                left -= _delete_some(db, old, left)
                if left == 0:
                    return int(series_id) - 1
            if not _has_rows(db, series_id, [table for table, _, _ in self._tables_of(measurement, other)]):
                db.execute("DELETE FROM series WHERE id = ?", (series_id,))
                db.execute("DELETE FROM latest WHERE series_id = ?", (series_id,))
                self._expired.add(series_id)
        return int(rows[-1][0]) if len(rows) == SWEEP_SERIES else None

    def _tables_of(self, measurement: str, other: int) -> list[tuple[str, str, float]]:
        kept = self._retention
        if other:
            return [("others", "time_ns", kept.raw)]
        if measurement not in self._measurements:
            return []
        return [
            (f"raw_{measurement}", "time_ns", kept.raw),
            *(
                (tables.window_table(seconds, measurement), "start_ns", keep)
                for seconds, keep in zip(WINDOW_SECONDS, kept[1:], strict=True)
            ),
        ]


def _has_rows(db: sqlite3.Connection, series_id: int, kept_in: list[str]) -> bool:
    """A series of a measurement that is declared no more has rows that nobody reads: it stays."""
    queries = (
        f"SELECT 1 FROM {tables.quoted(table)} WHERE series_id = ? LIMIT 1"  # noqa: S608
        for table in kept_in
    )
    return not kept_in or any(db.execute(query, (series_id,)).fetchone() for query in queries)


def _delete_some(db: sqlite3.Connection, old: _Old, most: int) -> int:
    """Delete at most so many old rows, the oldest first; how many it deleted."""
    table, key, series_id, before_ns = old
    found = db.execute(
        f"SELECT {key} FROM {tables.quoted(table)} WHERE series_id = ? AND {key} < ? ORDER BY {key} LIMIT ?",  # noqa: S608
        (series_id, before_ns, most),
    ).fetchall()
    if found:
        db.execute(
            f"DELETE FROM {tables.quoted(table)} WHERE series_id = ? AND {key} <= ?",  # noqa: S608
            (series_id, found[-1][0]),
        )
    return len(found)
