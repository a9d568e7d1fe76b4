"""The numbers of series in the embedded store's tables."""

from __future__ import annotations

import sqlite3

import msgspec

from collector.batch import Batch, Series

MAX_KNOWN = 1_000_000
"""Of 40,000 schools: 10,000 have 250,000. With fewer known than are written each write looks them up."""

_INSERT = "INSERT OR IGNORE INTO series (school, measurement, tags, other) VALUES (?, ?, ?, ?)"
_SELECT = "SELECT id FROM series WHERE school = ? AND measurement = ? AND tags = ? AND other = ?"


class SeriesNumbers:
    """Numbers by series, remembered. Used in transactions of the one who writes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[tuple[str, str, bytes, bool], int] = {}

    def of_batch(self, batch: Batch) -> list[int]:
        """Of each series of a batch, in their order."""
        return [self.of(batch.school_id, series) for series in batch.series]

    def of(self, school_id: str, series: Series) -> int:
        """Of one series; a new one gets a new number."""
        tags = msgspec.json.encode(sorted(series.tags.items()))
        key = (school_id, series.measurement, tags, series.other)
        found = self._known.get(key)
        if found is None:
            values = (school_id, series.measurement, tags.decode(), series.other)
            self._db.execute(_INSERT, values)
            found = int(self._db.execute(_SELECT, values).fetchone()[0])
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    def forget(self) -> None:
        """Look every series up again: a transaction was undone, or series were deleted."""
        self._known.clear()
