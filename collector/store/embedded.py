"""The embedded store: one SQLite file in WAL mode. See tables.py for what stands in it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from collector.batch import Batch, Series
from collector.store import tables
from collector.store.blobs import add_aggregates
from collector.store.connections import Readers, open_writer, unavailable
from collector.store.interface import (
    NS,
    WINDOW_SECONDS,
    Latest,
    RawPoint,
    StoredWindow,
    StoreUnavailable,
)
from collector.store.latest import LatestPoints
from collector.store.queries import Queries, booleans_of, raw_point, tags_of
from collector.store.series_numbers import SeriesNumbers
from collector.store.upkeep import Retention, Upkeep
from collector.store.writing import Rows, put_window
from collector.store.written import WrittenFields
from config.measurements import Measurement, Schema, schema

READERS = 4

_PUT_LATEST = "INSERT OR REPLACE INTO latest (series_id, time_ns, fields) VALUES (?, ?, ?)"
_NO_FIELDS = Measurement("", {}, {})


class EmbeddedStore(Queries):
    """A ``Store`` in one file. Raises StoreUnavailable when the file cannot be opened."""

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention,
        day_offset_seconds: float = 0.0,
        measurements: Schema | None = None,
    ) -> None:
        day_offset_ns = round(day_offset_seconds * NS)
        measurements = schema() if measurements is None else measurements
        self._schema = measurements
        self._lock = threading.Lock()
        self._closed = False
        self._latest = LatestPoints()
        self._db = open_writer(path)
        self._numbers = SeriesNumbers(self._db)
        self._written = WrittenFields(self._db, measurements)
        try:
            add_aggregates(self._db)
            self._make_tables()
            self._load_latest()
            readers = Readers(path, READERS)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise StoreUnavailable(f"{path}: {error}") from None
        except BaseException:
            self._db.close()
            raise
        super().__init__(readers, self._latest, measurements, day_offset_ns=day_offset_ns)
        self._upkeep = Upkeep(measurements, self._written, retention, day_offset_ns=day_offset_ns)

    def write(self, batches: Sequence[Batch]) -> None:
        """See Store.write."""
        with self._lock:
            rows = Rows()
            with self._transaction():
                numbers = [self._numbers.of_batch(batch) for batch in batches]
                for batch, some in zip(batches, numbers, strict=True):
                    rows.take(batch, some)
                self._written.note(rows.raw)
                rows.put(self._db)
            for batch, some in zip(batches, numbers, strict=True):
                self._latest.put_batch(batch, some)

    def put_windows(self, seconds: int, measurement: str, windows: Sequence[StoredWindow]) -> None:
        """See Store.put_windows."""
        with self._lock, self._transaction():
            for window in windows:
                number = self._numbers.of(window.tags.get("school", ""), Series(measurement, window.tags))
                self._written.note([(measurement, (*window.fields, *window.histograms))])
                put_window(self._db, seconds, measurement, number, window)

    def maintain(self, now_ns: int) -> bool:
        """See Store.maintain."""
        with self._lock:
            self._save_latest()
            with self._transaction():
                more = self._upkeep.step(self._db, now_ns)
            expired = self._upkeep.take_expired()
            if expired:
                self._numbers.forget()
                self._latest.forget(expired)
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

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from None
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
                self._numbers.forget()
                self._written.forget()

    def _save_latest(self) -> None:
        changed = self._latest.take_changed()
        if not changed:
            return
        rows = [
            (number, point.time_ns, msgspec.json.encode(point.fields).decode())
            for number, point in changed.items()
        ]
        try:
            with self._transaction():
                self._db.executemany(_PUT_LATEST, rows)
        except StoreUnavailable:
            self._latest.put_back(changed)
            raise

    def _make_tables(self) -> None:
        for statement in tables.COMMON.split(";"):
            self._db.execute(statement)
        self._written.make_table()
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
            point = self._newest(number, measurement, time_ns, other=bool(other))
            if point is None and number in saved:
                point = RawPoint(time_ns, msgspec.json.decode(fields))
            if point is not None:
                latest = Latest(school, measurement, tags_of(tags), point.time_ns, point.fields)
                self._latest.put(number, latest)

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
        return raw_point(row, names, booleans_of(self._schema[measurement], names))
