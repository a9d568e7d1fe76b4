"""The store in InfluxDB 1.8 or 2.x: raw points in one bucket, windows made by us in three more."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from collector.batch import Batch
from collector.settings import InfluxSettings
from collector.store import histograms, tables, windows
from collector.store.influxdb import reading
from collector.store.influxdb.buckets import Buckets, make_buckets
from collector.store.influxdb.connection import Connection, Table
from collector.store.influxdb.lines import Lines
from collector.store.influxdb.reading import Reading, conditions_of
from collector.store.influxdb.secret import Secret
from collector.store.influxdb.waiting import FEW_SCHOOLS, WaitingWindows, Windows
from collector.store.interface import (
    NS,
    WINDOW_SECONDS,
    Latest,
    Peak,
    SeriesHistogram,
    SeriesPoints,
    SeriesWindows,
    StoredWindow,
    StoreUnavailable,
    UnknownField,
)
from collector.store.interface import Window as ShownWindow
from collector.store.upkeep import Retention
from config.measurements import Measurement, Schema, schema
from config.points import encode

ROUNDS = 12
"""Windows are made in one round of so many: InfluxDB is asked for a whole county at once."""


class InfluxStore:
    """A ``Store`` in InfluxDB. Opening it sends nothing: an InfluxDB that is away is waited for."""

    def __init__(
        self,
        settings: InfluxSettings,
        token: Secret,
        waiting_file: Path,
        *,
        retention: Retention,
        day_offset_seconds: float = 0.0,
        measurements: Schema | None = None,
    ) -> None:
        self._schema = schema() if measurements is None else measurements
        self._day_offset_ns = round(day_offset_seconds * NS)
        self._retention = retention
        self._org = settings.org
        self.connection = Connection(settings, token)
        self.buckets = Buckets(settings.bucket, retention)
        self._reading = Reading(self.connection)
        self._lines = Lines(self._schema)
        self._waiting = WaitingWindows(waiting_file)
        self._lock = threading.Lock()
        self._ready = False
        self._closed = False
        self._rounds = 0
        self._folding: list[int] = []

    # --- writing

    def write(self, batches: Sequence[Batch]) -> None:
        """See Store.write. Raises Refused (a ValueError) for points that InfluxDB will never take."""
        with self._lock:
            self._prepare()
            self._waiting.put(self._windows_of(batches))
            try:
                for bucket, other in ((self.buckets.raw, False), (self.buckets.others, True)):
                    lines = (line for batch in batches for line in self._lines.of(batch, other=other))
                    self.connection.write(bucket, lines)
            except StoreUnavailable:
                self._ready = False  # it may be another server that comes back, or lack its buckets
                raise

    def put_windows(self, seconds: int, measurement: str, windows: Sequence[StoredWindow]) -> None:
        """See Store.put_windows."""
        with self._lock:
            self._prepare()
            self._put_windows(seconds, measurement, windows)

    def maintain(self, now_ns: int) -> bool:
        """See Store.maintain; InfluxDB drops by itself what is old."""
        with self._lock:
            self._prepare()
            if not self._folding:
                self._folding = list(WINDOW_SECONDS) if self._rounds % ROUNDS == 0 else []
                self._rounds += 1
            while self._folding:
                waiting = self._waiting.newest(self._folding[0])
                if waiting is not None:
                    self._fold(waiting, now_ns)
                    return True
                del self._folding[0]
            return False

    def close(self) -> None:
        """See Store.close."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self.connection.close()
                self._waiting.close()

    def _prepare(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not self._ready:
            make_buckets(self.connection, self.buckets, self._org)
            self._ready = True

    def _windows_of(self, batches: Sequence[Batch]) -> set[tuple[int, int, str, str]]:
        shortest = WINDOW_SECONDS[0]
        step = shortest * NS
        return {
            (shortest, time_ns, group.measurement, batch.school_id)
            for batch in batches
            for group in batch.groups
            if not group.other
            for time_ns in {time_ns // step * step for time_ns in group.times_ns}
        }

    def _fold(self, waiting: Windows, now_ns: int) -> None:
        """Make windows again from stored points; the longer ones they lie in must be made again then."""
        seconds, measurement = waiting.seconds, waiting.measurement
        declared = self._schema.get(measurement)
        kept = self._retention[1 + WINDOW_SECONDS.index(seconds)]
        if declared is not None and waiting.end_ns > now_ns - round(kept * NS):
            self._put_windows(seconds, measurement, self._made(waiting, declared))
            if seconds == WINDOW_SECONDS[0]:
                longer = {
                    (each, windows.start_of(start_ns, each, self._day_offset_ns), measurement, school)
                    for each in WINDOW_SECONDS[1:]
                    for start_ns, school in waiting.places
                }
                self._waiting.put(longer)
        self._waiting.done(waiting)

    def _made(self, waiting: Windows, declared: Measurement) -> list[StoredWindow]:
        seconds, measurement, offset_ns = waiting.seconds, waiting.measurement, self._day_offset_ns
        named = waiting.schools if len(waiting.schools) <= FEW_SCHOOLS else []
        conditions = conditions_of(waiting.start_ns, waiting.end_ns, named)
        if seconds == WINDOW_SECONDS[0]:
            names = [*tables.numeric_fields(declared), *histograms.rate_histograms(declared)]
            found = self._reading.points(self.buckets.raw, measurement, declared, names, conditions)
            made = [windows.of_points(declared, each.tags, each.points, seconds, offset_ns) for each in found]
        else:
            stored = self._stored(WINDOW_SECONDS[0], measurement, conditions)
            made = [windows.of_windows(declared, some, seconds, offset_ns) for some in stored]
        return [window for some in made for window in some]

    def _put_windows(self, seconds: int, measurement: str, found: Sequence[StoredWindow]) -> None:
        lines = (encode(reading.window_point(measurement, window)) for window in found if window.fields)
        self.connection.write(self.buckets.windows[seconds], lines)

    # --- reading

    def latest(self, school_id: str | None = None, measurement: str | None = None) -> list[Latest]:
        """See Store.latest. A series that is silent for longer than raw points are kept is not in it."""
        conditions = [] if school_id is None else conditions_of(0, 2**63, [school_id])[2:]
        found = [
            _latest(table, self._schema.get(table.name) if bucket == self.buckets.raw else None)
            for bucket in (self.buckets.raw, self.buckets.others)
            for table in self._reading.newest(bucket, measurement, conditions)
        ]
        return sorted(found, key=lambda each: (each.school_id, each.measurement, sorted(each.tags.items())))

    def distinct(
        self, school_id: str, measurement: str, tags: Mapping[str, str] | None = None
    ) -> list[dict[str, str]]:
        """See Store.distinct."""
        wanted = (tags or {}).items()
        found = self._reading.series_tags(self.buckets.raw, measurement, school_id)
        fitting = [each for each in found if wanted <= each.items()]
        return sorted(fitting, key=lambda each: sorted(each.items()))

    def schools(self) -> list[str]:
        """See Store.schools."""
        return self._reading.schools(self.buckets.raw)

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
        conditions = conditions_of(start_ns, end_ns, [school_id], tags)
        return self._reading.points(self.buckets.raw, measurement, declared, names, conditions)

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
        declared = self._declared(measurement)
        _need(measurement, fields, tables.numeric_fields(declared))
        source = max((each for each in WINDOW_SECONDS if resolution_seconds % each == 0), default=0)
        conditions = conditions_of(start_ns, end_ns, [school_id], tags)
        if source:
            found = self._stored(source, measurement, conditions, fields)
        else:
            only = Measurement("", {}, {name: declared.fields[name] for name in fields})
            some = self._reading.points(self.buckets.raw, measurement, declared, fields, conditions)
            found = [windows.of_points(only, each.tags, each.points, resolution_seconds, 0) for each in some]
        shown = [
            SeriesWindows(each[0].tags, resolution_seconds, self._shown(each, resolution_seconds))
            for each in found if each
        ]  # fmt: skip
        return [each for each in shown if each.windows]

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
        """See Store.peaks. Yes/no has no peak in InfluxDB: it is read from the windows alone."""
        declared = self._declared(measurement)
        _need(measurement, [field], tables.numeric_fields(declared))
        conditions = conditions_of(start_ns, end_ns, [school_id], tags)
        sources = [(self.buckets.windows[WINDOW_SECONDS[0]], f"{field}__max")]
        if declared.fields[field].type != "bool":
            sources.insert(0, (self.buckets.raw, field))
        found: dict[tuple[tuple[str, str], ...], Peak] = {}
        for bucket, column in sources:
            for table in self._reading.greatest(bucket, measurement, column, conditions):
                (at_ns, value) = table.rows[0]
                peak = Peak(table.tags, value, at_ns)
                key = tuple(sorted(table.tags.items()))
                found[key] = max(found.get(key, peak), peak, key=lambda each: each.value)
        return [found[key] for key in sorted(found)]

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
        _need(measurement, [name], histograms.histogram_names(self._declared(measurement)))
        schools = [] if school_id is None else [school_id]
        found: dict[tuple[tuple[str, str], ...], list[StoredWindow]] = {}
        for span in windows.spans_of_histograms(start_ns, end_ns, self._day_offset_ns):
            conditions = conditions_of(span.start_ns, span.end_ns, schools, tags)
            bucket = self.buckets.windows[span.seconds]
            for some in self._reading.windows(bucket, measurement, [name], conditions):
                if some:
                    found.setdefault(tuple(sorted(some[0].tags.items())), []).extend(some)
        return [
            SeriesHistogram(dict(key), histograms.merged(each.histograms.get(name, {}) for each in some))
            for key, some in sorted(found.items())
        ]

    def windows(
        self, seconds: int, school_id: str, measurement: str, *, start_ns: int, end_ns: int
    ) -> list[StoredWindow]:
        """See Store.windows."""
        found = self._stored(seconds, measurement, conditions_of(start_ns, end_ns, [school_id]))
        return [window for some in found for window in some]

    def _stored(
        self, seconds: int, measurement: str, conditions: list[str], fields: Sequence[str] | None = None
    ) -> list[list[StoredWindow]]:
        declared = self._declared(measurement)
        numeric = tables.numeric_fields(declared) if fields is None else fields
        texts = histograms.histogram_names(declared) if fields is None else []
        columns = reading.window_columns(numeric, texts)
        return self._reading.windows(self.buckets.windows[seconds], measurement, columns, conditions)

    def _shown(self, some: Sequence[StoredWindow], resolution_seconds: int) -> list[ShownWindow]:
        by_start: dict[int, list[StoredWindow]] = {}
        for window in some:
            start = windows.start_of(window.start_ns, resolution_seconds, self._day_offset_ns)
            by_start.setdefault(start, []).append(window)
        found = {start: windows.regrouped(each.fields for each in same) for start, same in by_start.items()}
        return [ShownWindow(start, fields) for start, fields in sorted(found.items()) if fields]

    def _declared(self, measurement: str) -> Measurement:
        declared = self._schema.get(measurement)
        if declared is None:
            raise UnknownField(f"measurement {measurement} is not declared")
        return declared


def _latest(table: Table, declared: Measurement | None) -> Latest:
    values = dict(zip(table.columns, table.rows[0], strict=True))
    time_ns = values.pop("time")
    fields = {key: value for key, value in values.items() if value is not None}
    if declared is not None:
        fields = {key: reading.typed(declared, key, value) for key, value in fields.items()}
    return Latest(table.tags.get("school", ""), table.name, table.tags, time_ns, fields)


def _need(measurement: str, fields: Sequence[str], allowed: object) -> None:
    unknown = [field for field in fields if field not in allowed]  # type: ignore[operator]
    if unknown:
        raise UnknownField(f"{measurement}: no field {unknown[0]} that can be read so")
