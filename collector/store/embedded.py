"""The embedded store: one SQLite file in WAL mode. See tables.py for what stands in it."""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from collector.batch import Batch, Series
from collector.store import tables
from collector.store.connections import Readers, open_writer
from collector.store.interface import (
    NS,
    WINDOW_SECONDS,
    Aggregate,
    Latest,
    Peak,
    RawPoint,
    SeriesPoints,
    SeriesWindows,
    StoreUnavailable,
    UnknownField,
    Window,
)
from collector.store.upkeep import Retention, Upkeep
from config.measurements import Measurement, Schema, schema
from config.points import FieldValue

READERS = 4
MAX_KNOWN_SERIES = 200_000

_FIVE_MINUTES_NS = WINDOW_SECONDS[0] * NS
_PUT_LATEST = """
INSERT INTO latest (series_id, time_ns, fields) VALUES (?, ?, ?) ON CONFLICT (series_id) DO UPDATE SET
  time_ns = excluded.time_ns,
  fields = CASE WHEN excluded.time_ns = time_ns THEN json_patch(fields, excluded.fields)
    ELSE excluded.fields END
WHERE excluded.time_ns >= time_ns
"""
_PUT_OTHER = """
INSERT INTO others (series_id, time_ns, fields) VALUES (?, ?, ?)
ON CONFLICT (series_id, time_ns) DO UPDATE SET fields = json_patch(fields, excluded.fields)
"""
_PUT_DIRTY = "INSERT OR IGNORE INTO dirty (seconds, measurement, series_id, start_ns) VALUES (?, ?, ?, ?)"

_insert = functools.lru_cache(maxsize=1024)(tables.insert)


class EmbeddedStore:
    """A ``Store`` in one file. Raises StoreUnavailable when the file cannot be opened."""

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention,
        day_offset_seconds: float = 0.0,
        measurements: Schema | None = None,
    ) -> None:
        self._schema = schema() if measurements is None else measurements
        self._day_offset_ns = round(day_offset_seconds * NS)
        self._lock = threading.Lock()
        self._closed = False
        self._known: dict[tuple[str, str, bytes, bool], int] = {}
        self._db = open_writer(path)
        try:
            self._make_tables()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise StoreUnavailable(f"{path}: {error}") from None
        self._readers = Readers(path, READERS)
        self._upkeep = Upkeep(self._schema, retention, day_offset_ns=self._day_offset_ns)

    # --- writing

    def write(self, batches: Sequence[Batch]) -> None:
        """See Store.write."""
        with self._lock, self._transaction():
            sorted_rows = _Sorted()
            for batch in batches:
                ids = [self._series_id(batch.school_id, series) for series in batch.series]
                sorted_rows.take(batch, ids)
            self._put(sorted_rows)

    def maintain(self, now_ns: int) -> bool:
        """See Store.maintain."""
        with self._lock, self._transaction():
            return self._upkeep.step(self._db, now_ns)

    def close(self) -> None:
        """See Store.close."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._readers.close()
                self._db.close()

    def _put(self, rows: _Sorted) -> None:
        run = self._db.executemany
        for (measurement, fields), values in rows.raw.items():
            run(_insert(measurement, fields), values)
        run(_PUT_OTHER, rows.others)
        run(
            _PUT_LATEST,
            [
                (series, time, msgspec.json.encode(fields).decode())
                for series, (time, fields) in rows.latest.items()
            ],
        )
        run(
            _PUT_DIRTY,
            [
                (WINDOW_SECONDS[0], measurement, series, number * _FIVE_MINUTES_NS)
                for measurement, series, number in rows.dirty
            ],
        )

    def _series_id(self, school_id: str, series: Series) -> int:
        tags = msgspec.json.encode(sorted(series.tags.items()))
        key = (school_id, series.measurement, tags, series.other)
        found = self._known.get(key)
        if found is None:
            values = (school_id, series.measurement, tags.decode(), series.other)
            self._db.execute(
                "INSERT OR IGNORE INTO series (school, measurement, tags, other) VALUES (?, ?, ?, ?)", values
            )
            found = self._db.execute(
                "SELECT id FROM series WHERE school = ? AND measurement = ? AND tags = ? AND other = ?",
                values,
            ).fetchone()[0]
            if len(self._known) >= MAX_KNOWN_SERIES:
                self._known.clear()
            self._known[key] = found
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(str(error)) from None
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
                self._known.clear()

    def _make_tables(self) -> None:
        for statement in tables.COMMON.split(";"):
            self._db.execute(statement)
        for name, measurement in self._schema.items():
            self._make_table(f"raw_{name}", "time_ns", tables.raw_columns(measurement))
            for seconds in WINDOW_SECONDS:
                self._make_table(
                    tables.window_table(seconds, name), "start_ns", tables.window_columns(measurement)
                )

    def _make_table(self, table: str, key: str, columns: dict[str, str]) -> None:
        self._db.execute(tables.create(table, key, columns))
        present = [row[1] for row in self._db.execute(f"PRAGMA table_info({tables.quoted(table)})")]
        for name, kind in tables.missing(columns, present).items():
            self._db.execute(f"ALTER TABLE {tables.quoted(table)} ADD COLUMN {tables.quoted(name)} {kind}")

    # --- reading

    def latest(self, school_id: str | None = None, measurement: str | None = None) -> list[Latest]:
        """See Store.latest."""
        with self._readers.reading() as db:
            rows = db.execute(
                "SELECT s.school, s.measurement, s.tags, l.time_ns, l.fields FROM series s "
                "JOIN latest l ON l.series_id = s.id "
                "WHERE (?1 IS NULL OR s.school = ?1) AND (?2 IS NULL OR s.measurement = ?2) "
                "ORDER BY s.school, s.measurement, s.tags",
                (school_id, measurement),
            ).fetchall()
        return [
            Latest(school, name, _tags(tags), time, msgspec.json.decode(fields))
            for school, name, tags, time, fields in rows
        ]

    def distinct(
        self, school_id: str, measurement: str, tags: Mapping[str, str] | None = None
    ) -> list[dict[str, str]]:
        """See Store.distinct."""
        with self._readers.reading() as db:
            return [found for _, found in _series(db, school_id, measurement, tags)]

    def points(
        self,
        school_id: str,
        measurement: str,
        *,
        tags: Mapping[str, str] | None = None,
        fields: Sequence[str] | None = None,
        start_ns: int,
        end_ns: int,
    ) -> list[SeriesPoints]:
        """See Store.points."""
        declared = self._declared(measurement)
        names = list(declared.fields) if fields is None else list(fields)
        _need(measurement, names, declared.fields)
        columns = ", ".join(tables.quoted(name) for name in names)
        select = (
            f"SELECT time_ns, {columns} FROM {tables.quoted('raw_' + measurement)} "  # noqa: S608
            "WHERE series_id = ? AND time_ns >= ? AND time_ns < ? ORDER BY time_ns"
        )
        booleans = {name for name in names if declared.fields[name].type == "bool"}
        with self._readers.reading() as db:
            found = [
                SeriesPoints(
                    series,
                    [
                        _raw_point(row, names, booleans)
                        for row in db.execute(select, (number, start_ns, end_ns))
                    ],
                )
                for number, series in _series(db, school_id, measurement, tags)
            ]
        return [each for each in found if each.points]

    def series(
        self,
        school_id: str,
        measurement: str,
        *,
        tags: Mapping[str, str] | None = None,
        fields: Sequence[str],
        start_ns: int,
        end_ns: int,
        resolution_seconds: int,
    ) -> list[SeriesWindows]:
        """See Store.series."""
        if resolution_seconds < 1 or not fields:
            raise UnknownField("a resolution of at least 1 s and one field are needed")
        _need(measurement, fields, tables.numeric_fields(self._declared(measurement)))
        source = _source(resolution_seconds)
        offset_ns = self._day_offset_ns if resolution_seconds % WINDOW_SECONDS[-1] == 0 else 0
        select = tables.grouped(measurement, source, fields, resolution_seconds, offset_ns)
        with self._readers.reading() as db:
            found = [
                SeriesWindows(
                    series,
                    resolution_seconds,
                    [_window(row, fields) for row in db.execute(select, (number, start_ns, end_ns))],
                )
                for number, series in _series(db, school_id, measurement, tags)
            ]
        return [each for each in found if each.windows]

    def peaks(
        self,
        school_id: str,
        measurement: str,
        field: str,
        *,
        tags: Mapping[str, str] | None = None,
        start_ns: int,
        end_ns: int,
    ) -> list[Peak]:
        """See Store.peaks."""
        _need(measurement, [field], tables.numeric_fields(self._declared(measurement)))
        sources = (
            (f"raw_{measurement}", "time_ns", field),
            (tables.window_table(WINDOW_SECONDS[0], measurement), "start_ns", f"{field}__max"),
        )
        with self._readers.reading() as db:
            found = [
                (series, [_peak(db, number, source, start_ns, end_ns) for source in sources])
                for number, series in _series(db, school_id, measurement, tags)
            ]
        peaks = [(series, [peak for peak in both if peak is not None]) for series, both in found]
        return [Peak(series, *max(both, key=lambda peak: peak[0])) for series, both in peaks if both]

    def _declared(self, measurement: str) -> Measurement:
        declared = self._schema.get(measurement)
        if declared is None:
            raise UnknownField(f"measurement {measurement} is not declared")
        return declared


class _Sorted:
    """The rows of some batches, by the statement that writes them."""

    def __init__(self) -> None:
        self.raw: dict[tuple[str, tuple[str, ...]], list[tuple[int | float | str, ...]]] = {}
        self.others: list[tuple[int, int, str]] = []
        self.latest: dict[int, tuple[int, dict[str, FieldValue]]] = {}
        self.dirty: set[tuple[str, int, int]] = set()

    def take(self, batch: Batch, ids: list[int]) -> None:
        """Sort one batch; ``ids`` are those of its series."""
        raw, dirty = self.raw, self.dirty
        for place, time_ns, fields in batch.rows:
            series = batch.series[place]
            number = ids[place]
            if series.other:
                self.others.append((number, time_ns, msgspec.json.encode(fields).decode()))
            else:
                shape = (series.measurement, tuple(fields))
                rows = raw.get(shape)
                if rows is None:
                    rows = raw[shape] = []
                rows.append((number, time_ns, *fields.values()))
                dirty.add((series.measurement, number, time_ns // _FIVE_MINUTES_NS))
            self._put_latest(number, time_ns, fields)

    def _put_latest(self, number: int, time_ns: int, fields: dict[str, FieldValue]) -> None:
        before = self.latest.get(number)
        if before is None or time_ns > before[0]:
            self.latest[number] = (time_ns, fields)
        elif time_ns == before[0]:
            self.latest[number] = (time_ns, before[1] | fields)


def _series(
    db: sqlite3.Connection, school_id: str, measurement: str, tags: Mapping[str, str] | None
) -> list[tuple[int, dict[str, str]]]:
    wanted = (tags or {}).items()
    rows = db.execute(
        "SELECT id, tags FROM series WHERE school = ? AND measurement = ? AND other = 0 ORDER BY tags",
        (school_id, measurement),
    ).fetchall()
    found = ((number, _tags(text)) for number, text in rows)
    return [(number, series) for number, series in found if wanted <= series.items()]


def _tags(text: str) -> dict[str, str]:
    return dict(msgspec.json.decode(text, type=list[tuple[str, str]]))


def _need(measurement: str, fields: Iterable[str], allowed: Iterable[str]) -> None:
    unknown = [field for field in fields if field not in allowed]
    if unknown:
        raise UnknownField(f"{measurement}: no field {unknown[0]} that can be read so")


def _source(resolution_seconds: int) -> int:
    """The longest kept window that divides a resolution; 0 for raw points."""
    return max((each for each in WINDOW_SECONDS if resolution_seconds % each == 0), default=0)


def _raw_point(row: Sequence[Any], names: list[str], booleans: set[str]) -> RawPoint:
    fields = {
        name: bool(value) if name in booleans else value
        for name, value in zip(names, row[1:], strict=True)
        if value is not None
    }
    return RawPoint(row[0], fields)


def _window(row: Sequence[Any], fields: Sequence[str]) -> Window:
    found = {
        field: Aggregate(int(row[place]), *row[place + 1 : place + 4])
        for field, place in zip(fields, range(1, len(row), 4), strict=True)
        if row[place]
    }
    return Window(row[0], found)


def _peak(
    db: sqlite3.Connection, number: int, source: tuple[str, str, str], start_ns: int, end_ns: int
) -> tuple[float, int] | None:
    table, key, column = source
    row = db.execute(
        f"SELECT max({tables.quoted(column)}), {key} FROM {tables.quoted(table)} "  # noqa: S608
        f"WHERE series_id = ? AND {key} >= ? AND {key} < ?",
        (number, start_ns, end_ns),
    ).fetchone()
    return None if row[0] is None else (row[0], row[1])
