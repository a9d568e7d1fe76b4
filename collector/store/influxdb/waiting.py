"""The windows that must be made again: a small file beside the journal, so that a crash forgets none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from collector.store.connections import open_writer
from collector.store.interface import NS, StoreUnavailable

T = TypeVar("T")

_TABLE = """
CREATE TABLE IF NOT EXISTS waiting (
  seconds INTEGER NOT NULL, start_ns INTEGER NOT NULL, measurement TEXT NOT NULL, school TEXT NOT NULL,
  PRIMARY KEY (seconds, start_ns, measurement, school)
) WITHOUT ROWID
"""
_PUT = "INSERT OR IGNORE INTO waiting (seconds, start_ns, measurement, school) VALUES (?, ?, ?, ?)"


SPAN = 24
"""Windows of a few schools that are made at one time: a school that comes back brings days."""
FEW_SCHOOLS = 50


class Windows(NamedTuple):
    """Windows of one length from ``start_ns`` to before ``end_ns``, of every series of a measurement in some
    schools."""

    seconds: int
    measurement: str
    start_ns: int
    end_ns: int
    schools: list[str]
    places: list[tuple[int, str]]
    """The start and the school of each that waits."""


class WaitingWindows:
    """Used by one thread at a time. Raises StoreUnavailable."""

    def __init__(self, path: Path) -> None:
        self._db = open_writer(path)
        self._run(_TABLE)

    def put(self, windows: Iterable[tuple[int, int, str, str]]) -> None:
        """Remember (seconds, start_ns, measurement, school), durably when it returns."""
        self._db_call(lambda db: _write(db, _PUT, windows))

    def newest(self, seconds: int) -> Windows | None:
        """The newest of a length: what people look at comes first."""
        row = self._run(
            "SELECT start_ns, measurement FROM waiting WHERE seconds = ? ORDER BY start_ns DESC LIMIT 1",
            seconds,
        )
        if not row:
            return None
        newest_ns, measurement = row[0]
        span = self._from(seconds, measurement, newest_ns - (SPAN - 1) * seconds * NS)
        if len({school for _, school in span}) > FEW_SCHOOLS:
            span = self._from(seconds, measurement, newest_ns)
        schools = sorted({school for _, school in span})
        return Windows(seconds, measurement, min(span)[0], newest_ns + seconds * NS, schools, span)

    def done(self, windows: Windows) -> None:
        """These were made."""
        key = (windows.seconds, windows.measurement)
        self._db_call(
            lambda db: _write(
                db,
                "DELETE FROM waiting WHERE seconds = ? AND measurement = ? AND start_ns = ? AND school = ?",
                [(*key, *place) for place in windows.places],
            )
        )

    def _from(self, seconds: int, measurement: str, start_ns: int) -> list[tuple[int, str]]:
        return self._run(
            "SELECT start_ns, school FROM waiting WHERE seconds = ? AND measurement = ? AND start_ns >= ?",
            seconds, measurement, start_ns,
        )  # fmt: skip

    def count(self) -> int:
        """How many wait."""
        return int(self._run("SELECT count(*) FROM waiting")[0][0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _run(self, statement: str, *values: int | str) -> list[tuple[Any, ...]]:
        return self._db_call(lambda db: db.execute(statement, values).fetchall())

    def _db_call(self, call: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return call(self._db)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"windows that wait: {error}") from None


def _write(db: sqlite3.Connection, statement: str, rows: Iterable[tuple[int | str, ...]]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany(statement, rows)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
