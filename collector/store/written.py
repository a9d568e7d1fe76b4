"""Which fields of each measurement were ever written: windows are made of these, not of all that could be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from config.measurements import Measurement, Schema

_TABLE = """
CREATE TABLE IF NOT EXISTS written (
  measurement TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY (measurement, field)
) WITHOUT ROWID
"""
_INSERT = "INSERT OR IGNORE INTO written (measurement, field) VALUES (?, ?)"
_SELECT = "SELECT field FROM written WHERE measurement = ?"


class WrittenFields:
    """Noted in the transaction that writes them, so that it is never less than what is stored."""

    def __init__(self, db: sqlite3.Connection, measurements: Schema) -> None:
        self._db = db
        self._schema = measurements
        self._shapes: set[tuple[str, tuple[str, ...]]] = set()
        self._declared: dict[str, Measurement] = {}

    def make_table(self) -> None:
        """Make the table; of a file that has points already every field may have been written."""
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'written'").fetchone():
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_TABLE)
        if self._db.execute("SELECT 1 FROM series LIMIT 1").fetchone():
            every = ((name, key) for name, each in self._schema.items() for key in each.fields)
            self._db.executemany(_INSERT, every)
        self._db.execute("COMMIT")

    def note(self, shapes: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Points of these measurements and fields are being written."""
        for shape in shapes:
            if shape not in self._shapes:
                measurement, fields = shape
                self._db.executemany(_INSERT, [(measurement, field) for field in fields])
                self._shapes.add(shape)
                self._declared.pop(measurement, None)

    def of(self, measurement: str) -> Measurement:
        """A declared measurement with only the fields that were written."""
        found = self._declared.get(measurement)
        if found is None:
            rows = self._db.execute(_SELECT, (measurement,)).fetchall()
            found = _limited(self._schema[measurement], [row[0] for row in rows])
            self._declared[measurement] = found
        return found

    def forget(self) -> None:
        """Read again what was written: a transaction was undone."""
        self._shapes.clear()
        self._declared.clear()


def _limited(measurement: Measurement, written: Sequence[str]) -> Measurement:
    fields = {key: field for key, field in measurement.fields.items() if key in written}
    return Measurement(measurement.help, measurement.tags, fields)
