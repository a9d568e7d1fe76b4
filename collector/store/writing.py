"""Writes points into the tables of the embedded store, many rows in one statement."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec

from collector.batch import Batch
from collector.store import tables
from collector.store.blobs import encode_blob
from collector.store.interface import NS, WINDOW_SECONDS, StoredWindow

ROWS_AT_ONCE = 64
"""Of one statement: each step of a statement gives the interpreter's lock away and takes it again."""

_FIVE_MINUTES_NS = WINDOW_SECONDS[0] * NS
_PUT_OTHER = """
INSERT INTO others (series_id, time_ns, fields) VALUES (?, ?, ?)
ON CONFLICT (series_id, time_ns) DO UPDATE SET fields = json_patch(fields, excluded.fields)
"""
_PUT_DIRTY = "INSERT OR IGNORE INTO dirty (seconds, measurement, series_id, start_ns) VALUES (?, ?, ?, ?)"

_insert = functools.lru_cache(maxsize=1024)(tables.insert)


class Rows:
    """The rows of some batches, by the statement that writes them."""

    def __init__(self) -> None:
        self.raw: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]] = {}
        self._others: list[tuple[int, int, str]] = []
        self._dirty: dict[str, set[tuple[int, int]]] = {}

    def take(self, batch: Batch, numbers: Sequence[int]) -> None:
        """Sort one batch; ``numbers`` are those of its series."""
        for group in batch.groups:
            found = [numbers[place] for place in group.places]
            if group.other:
                fields = (_json(group.fields, values) for values in group.rows())
                self._others += zip(found, group.times_ns, fields, strict=True)
            else:
                rows = zip(found, group.times_ns, *group.columns, strict=True)
                self.raw.setdefault((group.measurement, group.fields), []).extend(rows)
                starts = [time_ns // _FIVE_MINUTES_NS * _FIVE_MINUTES_NS for time_ns in group.times_ns]
                self._dirty.setdefault(group.measurement, set()).update(zip(found, starts, strict=True))

    def put(self, db: sqlite3.Connection) -> None:
        """Write them all; the caller owns the transaction."""
        for (measurement, fields), rows in self.raw.items():
            rows.sort(key=itemgetter(0))  # a series' rows stand together, as in the table
            _put(db, measurement, fields, rows)
        db.executemany(_PUT_OTHER, self._others)
        db.executemany(_PUT_DIRTY, self._dirty_rows())

    def _dirty_rows(self) -> Iterator[tuple[int, str, int, int]]:
        for measurement, windows in self._dirty.items():
            for number, start_ns in windows:
                yield WINDOW_SECONDS[0], measurement, number, start_ns


def put_window(
    db: sqlite3.Connection, seconds: int, measurement: str, number: int, window: StoredWindow
) -> None:
    """Write a window that was made elsewhere."""
    values = dict(_window_values(window))
    statement = tables.put_window(seconds, measurement, tuple(values))
    db.execute(statement, (number, window.start_ns, *values.values()))


def _put(
    db: sqlite3.Connection, measurement: str, fields: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> None:
    whole = len(rows) - len(rows) % ROWS_AT_ONCE
    many = _insert(measurement, fields, ROWS_AT_ONCE)
    for first in range(0, whole, ROWS_AT_ONCE):
        db.execute(many, list(chain.from_iterable(rows[first : first + ROWS_AT_ONCE])))
    db.executemany(_insert(measurement, fields), rows[whole:])


def _window_values(window: StoredWindow) -> Iterator[tuple[str, float | bytes]]:
    for field, each in window.fields.items():
        for part in tables.AGGREGATES:
            yield f"{field}__{part}", getattr(each, part)
    for name, counts in window.histograms.items():
        yield name, encode_blob(counts)


def _json(names: Iterable[str], values: Iterable[Any]) -> str:
    return msgspec.json.encode(dict(zip(names, values, strict=True))).decode()
