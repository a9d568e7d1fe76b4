"""How the embedded store is asked: see ``Store`` for what each method gives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from collector.store import tables, windows
from collector.store.asked import declared_in, need, source_of
from collector.store.blobs import decode_blob, merge_blobs
from collector.store.connections import Readers
from collector.store.histograms import histogram_names
from collector.store.interface import (
    WINDOW_SECONDS,
    Aggregate,
    Latest,
    OtherPoints,
    Peak,
    RawPoint,
    SeriesHistogram,
    SeriesPoints,
    SeriesWindows,
    StoredWindow,
    Window,
)
from collector.store.latest import LatestPoints
from config.measurements import Measurement, Schema


class Queries:
    """The half of the store that reads. Days begin ``day_offset_ns`` before those of UTC."""

    def __init__(
        self, readers: Readers, latest: LatestPoints, measurements: Schema, *, day_offset_ns: int
    ) -> None:
        self._readers = readers
        self._latest = latest
        self._schema = measurements
        self._day_offset_ns = day_offset_ns

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
        declared = declared_in(self._schema, measurement)
        names = list(declared.fields) if fields is None else list(fields)
        need(measurement, names, declared.fields)
        columns = ", ".join(tables.quoted(name) for name in names)
        select = (
            f"SELECT time_ns, {columns} FROM {tables.quoted('raw_' + measurement)} "  # noqa: S608
            "WHERE series_id = ? AND time_ns >= ? AND time_ns < ? ORDER BY time_ns"
        )
        booleans = booleans_of(declared, names)
        with self._readers.reading() as db:
            found = [
                SeriesPoints(
                    series,
                    [
                        point
                        for row in db.execute(select, (number, start_ns, end_ns))
                        if (point := raw_point(row, names, booleans)).fields
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
        source = source_of(resolution_seconds, fields)
        need(measurement, fields, tables.numeric_fields(declared_in(self._schema, measurement)))
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
        need(measurement, [field], tables.numeric_fields(declared_in(self._schema, measurement)))
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
        need(measurement, [name], histogram_names(declared_in(self._schema, measurement)))
        selects = [
            (_select_histogram(measurement, name, span.seconds), span)
            for span in windows.spans_of_histograms(start_ns, end_ns, self._day_offset_ns)
        ]
        with self._readers.reading() as db:
            found = [
                SeriesHistogram(
                    series,
                    merge_blobs(
                        row
                        for select, span in selects
                        for row in db.execute(select, (number, span.start_ns, span.end_ns))
                    ),
                )
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
        declared = declared_in(self._schema, measurement)
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

    def others(self, school_id: str, *, start_ns: int, end_ns: int) -> list[OtherPoints]:
        """See Store.others."""
        with self._readers.reading() as db:
            found = [
                OtherPoints(
                    measurement,
                    tags_of(tags),
                    [
                        RawPoint(time_ns, msgspec.json.decode(fields))
                        for time_ns, fields in db.execute(_OTHER_POINTS, (number, start_ns, end_ns))
                    ],
                )
                for number, measurement, tags in db.execute(_OTHER_SERIES, (school_id,)).fetchall()
            ]
        return [each for each in found if each.points]


_OTHER_SERIES = "SELECT id, measurement, tags FROM series WHERE school = ? AND other = 1 ORDER BY 2, 3"
_OTHER_POINTS = (
    "SELECT time_ns, fields FROM others WHERE series_id = ? AND time_ns >= ? AND time_ns < ? ORDER BY time_ns"
)


def booleans_of(declared: Measurement, names: Iterable[str]) -> set[str]:
    """Those of some fields that are yes/no, which SQLite keeps as 1 and 0."""
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
    found = ((number, tags_of(text)) for number, text in rows)
    return [(number, series) for number, series in found if wanted <= series.items()]


def tags_of(text: str) -> dict[str, str]:
    """The tags of a stored series."""
    return dict(msgspec.json.decode(text, type=list[tuple[str, str]]))


def raw_point(row: Sequence[Any], names: list[str], booleans: set[str]) -> RawPoint:
    """A row of time and values as a point, without the fields that are NULL."""
    fields = {
        name: bool(value) if name in booleans else value
        for name, value in zip(names, row[1:], strict=True)
        if value is not None
    }
    return RawPoint(row[0], fields)


def _select_histogram(measurement: str, name: str, seconds: int) -> str:
    return (
        f"SELECT {tables.quoted(name)} FROM {tables.quoted(tables.window_table(seconds, measurement))} "  # noqa: S608
        f"WHERE series_id = ? AND start_ns >= ? AND start_ns < ? AND {tables.quoted(name)} IS NOT NULL"
    )


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
