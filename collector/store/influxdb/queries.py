"""How an InfluxDB is asked: see ``Store`` for what each method gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collector.store import histograms, tables, windows
from collector.store.asked import declared_in, need, source_of
from collector.store.influxdb import reading
from collector.store.influxdb.buckets import Buckets
from collector.store.influxdb.connection import Table
from collector.store.influxdb.reading import Reading, conditions_of
from collector.store.interface import (
    WINDOW_SECONDS,
    Latest,
    OtherPoints,
    Peak,
    SeriesHistogram,
    SeriesPoints,
    SeriesWindows,
    StoredWindow,
)
from collector.store.interface import Window as ShownWindow
from config.measurements import Measurement, Schema


class InfluxQueries:
    """The half of the store that reads. Days begin ``day_offset_ns`` before those of UTC."""

    def __init__(
        self, answers: Reading, buckets: Buckets, measurements: Schema, *, day_offset_ns: int
    ) -> None:
        self.buckets = buckets
        self._reading = answers
        self._schema = measurements
        self._day_offset_ns = day_offset_ns

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
        kept_in = [self.buckets.raw, *self.buckets.windows.values()]
        found = self._reading.series_tags(kept_in, measurement, school_id)
        fitting = [each for each in found if wanted <= each.items()]
        return sorted(fitting, key=lambda each: sorted(each.items()))

    def schools(self) -> list[str]:
        """See Store.schools."""
        return self._reading.schools(self.buckets.kept_seconds)

    def others(self, school_id: str, *, start_ns: int, end_ns: int) -> list[OtherPoints]:
        """See Store.others."""
        return self._reading.others(self.buckets.others, conditions_of(start_ns, end_ns, [school_id]))

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
        declared = declared_in(self._schema, measurement)
        names = list(declared.fields) if fields is None else list(fields)
        need(measurement, names, declared.fields)
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
        source = source_of(resolution_seconds, fields)
        declared = declared_in(self._schema, measurement)
        need(measurement, fields, tables.numeric_fields(declared))
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
        declared = declared_in(self._schema, measurement)
        need(measurement, [field], tables.numeric_fields(declared))
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
        need(measurement, [name], histograms.histogram_names(declared_in(self._schema, measurement)))
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
        declared = declared_in(self._schema, measurement)
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


def _latest(table: Table, declared: Measurement | None) -> Latest:
    values = dict(zip(table.columns, table.rows[0], strict=True))
    time_ns = values.pop("time")
    fields = {key: value for key, value in values.items() if value is not None}
    if declared is not None:
        fields = {key: reading.typed(declared, key, value) for key, value in fields.items()}
    return Latest(table.tags.get("school", ""), table.name, table.tags, time_ns, fields)
