"""The embedded store: one SQLite file in WAL mode. See tables.py for what stands in it."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from collector.batch import Batch, Series
from collector.store import tables, windows
from collector.store.blobs import add_aggregates, decode_blob, encode_blob, merge_blobs
from collector.store.connections import Readers, open_writer
from collector.store.histograms import histogram_names
from collector.store.interface import (
    NS,
    WINDOW_SECONDS,
    Aggregate,
    Latest,
    Peak,
    RawPoint,
    SeriesHistogram,
    SeriesPoints,
    SeriesWindows,
    StoredWindow,
    StoreUnavailable,
    UnknownField,
    Window,
)
from collector.store.latest import LatestPoints
from collector.store.upkeep import Retention, Upkeep
from config.measurements import Measurement, Schema, schema

READERS = 4
MAX_KNOWN_SERIES = 200_000

_FIVE_MINUTES_NS = WINDOW_SECONDS[0] * NS
_PUT_LATEST = "INSERT OR REPLACE INTO latest (series_id, time_ns, fields) VALUES (?, ?, ?)"
_PUT_OTHER = """
INSERT INTO others (series_id, time_ns, fields) VALUES (?, ?, ?)
ON CONFLICT (series_id, time_ns) DO UPDATE SET fields = json_patch(fields, excluded.fields)
"""
_PUT_DIRTY = "INSERT OR IGNORE INTO dirty (seconds, measurement, series_id, start_ns) VALUES (?, ?, ?, ?)"

_NO_FIELDS = Measurement("", {}, {})

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
        self._latest = LatestPoints()
        self._db = open_writer(path)
        try:
            add_aggregates(self._db)
            self._make_tables()
            self._load_latest()
            self._readers = Readers(path, READERS)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise StoreUnavailable(f"{path}: {error}") from None
        except BaseException:
            self._db.close()
            raise
        self._upkeep = Upkeep(self._schema, retention, day_offset_ns=self._day_offset_ns)

    # --- writing

    def write(self, batches: Sequence[Batch]) -> None:
        """See Store.write."""
        with self._lock:
            with self._transaction():
                numbers = [
                    [self._series_id(batch.school_id, each) for each in batch.series] for batch in batches
                ]
                rows = _Sorted()
                for batch, some in zip(batches, numbers, strict=True):
                    rows.take(batch, some)
                self._put(rows)
            for batch, some in zip(batches, numbers, strict=True):
                self._latest.put_batch(batch, some)

    def maintain(self, now_ns: int) -> bool:
        """See Store.maintain."""
        with self._lock:
            self._save_latest()
            with self._transaction():
                more = self._upkeep.step(self._db, now_ns)
            self._forget(self._upkeep.take_expired())
            return more

    def close(self) -> None:
        """See Store.close."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(StoreUnavailable):  # it is made again from the points
                    self._save_latest()
                self._closed = True
                self._readers.close()
                self._db.close()

    def _put(self, rows: _Sorted) -> None:
        run = self._db.executemany
        for (measurement, fields), values in rows.raw.items():
            run(_insert(measurement, fields), values)
        run(_PUT_OTHER, rows.others)
        run(
            _PUT_DIRTY,
            [
                (WINDOW_SECONDS[0], measurement, number, window * _FIVE_MINUTES_NS)
                for measurement, windows in rows.dirty.items()
                for number, window in windows
            ],
        )

    def _save_latest(self) -> None:
        changed = self._latest.take_changed()
        if not changed:
            return
        try:
            with self._transaction():
                self._db.executemany(
                    _PUT_LATEST,
                    [
                        (number, point.time_ns, msgspec.json.encode(point.fields).decode())
                        for number, point in changed.items()
                    ],
                )
        except StoreUnavailable:
            self._latest.put_back(changed)
            raise

    def _forget(self, expired: Collection[int]) -> None:
        if expired:
            self._known.clear()
            self._latest.forget(expired)

    def _numbers(self, batch: Batch) -> list[int]:
        return [self._series_id(batch.school_id, series) for series in batch.series]

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

    def _load_latest(self) -> None:
        """The table of latest points, and what was written after it was last saved."""
        saved = {row[0]: row[1:] for row in self._db.execute("SELECT series_id, time_ns, fields FROM latest")}
        series = self._db.execute("SELECT id, school, measurement, tags, other FROM series ORDER BY 2, 3, 4")
        for number, school, measurement, tags, other in series.fetchall():
            time_ns, fields = saved.get(number, (-(2**63), "{}"))
            newer = self._newest(number, measurement, time_ns, other=bool(other))
            if newer is not None:
                self._latest.put(
                    number, Latest(school, measurement, _tags(tags), newer.time_ns, newer.fields)
                )
            elif number in saved:
                self._latest.put(
                    number, Latest(school, measurement, _tags(tags), time_ns, msgspec.json.decode(fields))
                )

    def _newest(self, number: int, measurement: str, after_ns: int, *, other: bool) -> RawPoint | None:
        names = ["fields"] if other else list(self._schema.get(measurement, _NO_FIELDS).fields)
        if not names:
            return None
        row = self._db.execute(
            f"SELECT time_ns, {', '.join(map(tables.quoted, names))} "  # noqa: S608
            f"FROM {tables.quoted('others' if other else f'raw_{measurement}')} "
            "WHERE series_id = ? AND time_ns >= ? ORDER BY time_ns DESC LIMIT 1",
            (number, after_ns),
        ).fetchone()
        if row is None:
            return None
        if other:
            return RawPoint(row[0], msgspec.json.decode(row[1]))
        return _raw_point(row, names, _booleans(self._schema[measurement], names))

    # --- reading

    def latest(self, school_id: str | None = None, measurement: str | None = None) -> list[Latest]:
        """See Store.latest."""
        return self._latest.all(school_id, measurement)

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
        booleans = _booleans(declared, names)
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

    def histograms(
        self,
        measurement: str,
        name: str,
        *,
        school_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        start_ns: int,
        end_ns: int,
    ) -> list[SeriesHistogram]:
        """See Store.histograms."""
        _need(measurement, [name], histogram_names(self._declared(measurement)))
        seconds = windows.source_of_histograms(start_ns, end_ns, self._day_offset_ns)
        select = (
            f"SELECT {tables.quoted(name)} FROM {tables.quoted(tables.window_table(seconds, measurement))} "  # noqa: S608
            f"WHERE series_id = ? AND start_ns >= ? AND start_ns < ? AND {tables.quoted(name)} IS NOT NULL"
        )
        with self._readers.reading() as db:
            found = [
                SeriesHistogram(series, merge_blobs(db.execute(select, (number, start_ns, end_ns))))
                for number, series in _series(db, school_id, measurement, tags)
            ]
        return [each for each in found if each.counts]

    def schools(self) -> list[str]:
        """See Store.schools."""
        with self._readers.reading() as db:
            return [row[0] for row in db.execute("SELECT DISTINCT school FROM series ORDER BY school")]

    def windows(
        self, seconds: int, school_id: str, measurement: str, *, start_ns: int, end_ns: int
    ) -> list[StoredWindow]:
        """See Store.windows."""
        declared = self._declared(measurement)
        fields, texts = tables.numeric_fields(declared), histogram_names(declared)
        columns = [*(f"{field}__{part}" for field in fields for part in tables.AGGREGATES), *texts]
        select = (
            f"SELECT start_ns, {', '.join(map(tables.quoted, columns))} "  # noqa: S608
            f"FROM {tables.quoted(tables.window_table(seconds, measurement))} "
            "WHERE series_id = ? AND start_ns >= ? AND start_ns < ? ORDER BY start_ns"
        )
        with self._readers.reading() as db:
            return [
                _stored_window(series, row, fields, texts)
                for number, series in _series(db, school_id, measurement, tags=None)
                for row in db.execute(select, (number, start_ns, end_ns))
            ]

    def put_windows(self, seconds: int, measurement: str, windows: Sequence[StoredWindow]) -> None:
        """See Store.put_windows."""
        statement = functools.partial(tables.put_window, seconds, measurement)
        with self._lock, self._transaction():
            for window in windows:
                school = window.tags.get("school", "")
                number = self._series_id(school, Series(measurement, window.tags))
                values = dict(_window_values(window))
                self._db.execute(statement(tuple(values)), (number, window.start_ns, *values.values()))

    def _declared(self, measurement: str) -> Measurement:
        declared = self._schema.get(measurement)
        if declared is None:
            raise UnknownField(f"measurement {measurement} is not declared")
        return declared


class _Sorted:
    """The rows of some batches, by the statement that writes them."""

    def __init__(self) -> None:
        self.raw: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
        self.others: list[tuple[int, int, str]] = []
        self.dirty: dict[str, set[tuple[int, int]]] = {}

    def take(self, batch: Batch, numbers: list[int]) -> None:
        """Sort one batch; ``numbers`` are those of its series."""
        for group in batch.groups:
            if group.other:
                self.others += [
                    (numbers[place], time_ns, _json(group.fields, values))
                    for *values, time_ns, place in group.rows
                ]
            else:
                rows = [[*row[:-1], numbers[row[-1]]] for row in group.rows]
                self.raw.setdefault((group.measurement, group.fields), []).extend(rows)
                windows = {(row[-1], row[-2] // _FIVE_MINUTES_NS) for row in rows}
                self.dirty.setdefault(group.measurement, set()).update(windows)


def _json(names: Sequence[str], values: Sequence[Any]) -> str:
    return msgspec.json.encode(dict(zip(names, values, strict=True))).decode()


def _booleans(declared: Measurement, names: Iterable[str]) -> set[str]:
    return {name for name in names if declared.fields[name].type == "bool"}


def _series(
    db: sqlite3.Connection, school_id: str | None, measurement: str, tags: Mapping[str, str] | None
) -> list[tuple[int, dict[str, str]]]:
    wanted = (tags or {}).items()
    rows = db.execute(
        "SELECT id, tags FROM series WHERE (?1 IS NULL OR school = ?1) AND measurement = ?2 AND other = 0 "
        "ORDER BY tags"
        if school_id is None
        else "SELECT id, tags FROM series WHERE school = ?1 AND measurement = ?2 AND other = 0 ORDER BY tags",
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


def _stored_window(
    tags: dict[str, str], row: Sequence[Any], fields: Sequence[str], texts: Sequence[str]
) -> StoredWindow:
    blobs = dict(zip(texts, row[len(row) - len(texts) :], strict=True))
    shown = _window(row[: len(row) - len(texts)], fields)
    found = {name: decode_blob(blob) for name, blob in blobs.items() if blob is not None}
    return StoredWindow(tags, shown.start_ns, shown.fields, found)


def _window_values(window: StoredWindow) -> Iterator[tuple[str, float | bytes]]:
    for field, each in window.fields.items():
        for part in tables.AGGREGATES:
            yield f"{field}__{part}", getattr(each, part)
    for name, counts in window.histograms.items():
        yield name, encode_blob(counts)


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
