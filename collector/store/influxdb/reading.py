"""Reading points and windows back with InfluxQL; types are the schema's, since JSON knows only numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from collector.ingest.line_protocol import parse_head
from collector.store import histograms, tables
from collector.store.influxdb.connection import Connection, Table, literal, name, where
from collector.store.interface import Aggregate, OtherPoints, RawPoint, SeriesPoints, StoredWindow
from config.histogram import encode
from config.measurements import Measurement
from config.points import FieldValue, Point

_FLOATS = ("sum", "min", "max")
_KINDS: dict[str, type] = {"integer": int, "float": float, "boolean": bool, "string": str}
_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "string": str}


class Reading:
    """Queries of one InfluxDB. Every method raises StoreUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def points(
        self,
        bucket: str,
        measurement: str,
        declared: Measurement,
        fields: Sequence[str],
        conditions: list[str],
    ) -> list[SeriesPoints]:
        """Raw points of every series that fits."""
        text = _select(fields, measurement, conditions)
        types = {field: _TYPES[declared.fields[field].type] for field in fields}
        found = {key: _points(some, types) for key, some in self._by_series(bucket, text)}
        return [SeriesPoints(dict(key), points) for key, points in sorted(found.items()) if points]

    def windows(
        self, bucket: str, measurement: str, columns: Sequence[str], conditions: list[str]
    ) -> list[list[StoredWindow]]:
        """Kept windows by series; ``columns`` as ``window_columns`` gives them."""
        text = _select(columns, measurement, conditions)
        found = self._by_series(bucket, text)
        return [[_window(dict(key), row) for row in _rows(some)] for key, some in sorted(found)]

    def series_tags(self, buckets: Iterable[str], measurement: str, school_id: str) -> list[dict[str, str]]:
        """The tags of every series that has anything in one of the buckets."""
        conditions = where([f'"school" = {literal(school_id)}'])
        found = self._of_each("SHOW SERIES", buckets, f"FROM {name(measurement)}{conditions}")
        return [parse_head(key)[1] for key in sorted({row[0] for row in found})]

    def schools(self, buckets: Iterable[str]) -> list[str]:
        """The values of the tag school."""
        return sorted({row[1] for row in self._of_each("SHOW TAG VALUES", buckets, 'WITH KEY = "school"')})

    def newest(self, bucket: str, measurement: str | None, conditions: list[str]) -> list[Table]:
        """The newest row of each series, with all its fields."""
        source = "/.*/" if measurement is None else name(measurement)
        return self._connection.query(
            bucket,
            f"SELECT * FROM {source}{where(conditions)} GROUP BY * ORDER BY time DESC LIMIT 1",  # noqa: S608
        )

    def greatest(self, bucket: str, measurement: str, field: str, conditions: list[str]) -> list[Table]:
        """The greatest value of each series and its time."""
        return self._connection.query(
            bucket,
            f"SELECT max({name(field)}) FROM {name(measurement)}{where(conditions)} GROUP BY *",  # noqa: S608
        )

    def others(self, bucket: str, conditions: list[str]) -> list[OtherPoints]:
        """Raw points of every series of a bucket whose fields no schema declares."""
        declared = {
            table.name: {field: _KINDS.get(kind, str) for field, kind in table.rows}
            for table in self._connection.query(bucket, "SHOW FIELD KEYS")
        }
        found: dict[tuple[str, tuple[tuple[str, str], ...]], list[Table]] = {}
        text = f"SELECT * FROM /.*/{where(conditions)} GROUP BY *"  # noqa: S608
        for table in self._connection.query(bucket, text):
            found.setdefault((table.name, tuple(sorted(table.tags.items()))), []).append(table)
        return [
            OtherPoints(measurement, dict(tags), _points_of_any(some, declared.get(measurement, {})))
            for (measurement, tags), some in sorted(found.items())
        ]

    def _of_each(self, show: str, buckets: Iterable[str], rest: str) -> list[list[Any]]:
        """The rows of one question to several buckets, asked at once."""
        text = "; ".join(f"{show} ON {name(bucket)} {rest}" for bucket in buckets)
        return [row for table in self._connection.query("", text) for row in table.rows]

    def _by_series(self, bucket: str, text: str) -> list[tuple[tuple[tuple[str, str], ...], list[Table]]]:
        """Parts of an answer that belong to one series stand together."""
        found: dict[tuple[tuple[str, str], ...], list[Table]] = {}
        for table in self._connection.query(bucket, text):
            found.setdefault(tuple(sorted(table.tags.items())), []).append(table)
        return list(found.items())


def _select(columns: Sequence[str], measurement: str, conditions: list[str]) -> str:
    listed = ", ".join(map(name, columns))
    return f"SELECT {listed} FROM {name(measurement)}{where(conditions)} GROUP BY *"  # noqa: S608


def conditions_of(
    start_ns: int, end_ns: int, school_ids: Sequence[str], tags: Mapping[str, str] | None = None
) -> list[str]:
    """A range of time, some schools (none are all) and tags. InfluxDB's times end at 2262-04-11."""
    found = [f"time >= {max(start_ns, _OLDEST_NS)}", f"time < {min(end_ns, _NEWEST_NS)}"]
    if school_ids:
        found.append("(" + " OR ".join(f'"school" = {literal(each)}' for each in school_ids) + ")")
    return found + [f"{name(key)} = {literal(value)}" for key, value in (tags or {}).items()]


_OLDEST_NS = -9223372036854775806
_NEWEST_NS = 9223372036854775806


def window_columns(numeric: Iterable[str], texts: Iterable[str]) -> list[str]:
    """The fields of kept windows."""
    return [*(f"{key}__{part}" for key in numeric for part in tables.AGGREGATES), *texts]


def window_point(measurement: str, window: StoredWindow) -> Point:
    """A window as a point of its bucket: counts are integers, the rest floats, whatever the field was."""
    fields: dict[str, FieldValue] = {}
    for field, each in window.fields.items():
        fields[f"{field}__count"] = each.count
        fields |= {
            f"{field}__sum": float(each.sum),
            f"{field}__min": float(each.min),
            f"{field}__max": float(each.max),
        }
    fields |= {key: encode(counts) for key, counts in window.histograms.items()}
    return Point(measurement, window.tags, fields, window.start_ns)


def typed(declared: Measurement, field: str, value: Any) -> FieldValue:
    """A value of JSON as the schema declares it; as it came when the field is declared no more."""
    found = declared.fields.get(field)
    typed_value: FieldValue = value if found is None else _TYPES[found.type](value)
    return typed_value


def _points_of_any(some: Iterable[Table], types: Mapping[str, type]) -> list[RawPoint]:
    """Points whose columns are all fields of their measurements, those that a point lacks left out."""
    return [
        RawPoint(
            row.pop("time"),
            {field: types.get(field, str)(value) for field, value in row.items() if value is not None},
        )
        for row in _rows(some)
    ]


def _points(some: Iterable[Table], types: Mapping[str, type]) -> list[RawPoint]:
    return [
        RawPoint(
            row["time"], {field: kind(row[field]) for field, kind in types.items() if row[field] is not None}
        )
        for row in _rows(some)
    ]


def _rows(some: Iterable[Table]) -> Iterator[dict[str, Any]]:
    for table in some:
        for row in table.rows:
            yield dict(zip(table.columns, row, strict=True))


def _window(tags: dict[str, str], row: dict[str, Any]) -> StoredWindow:
    counts = [key.removesuffix("__count") for key, value in row.items() if key.endswith("__count") and value]
    fields = {
        field: Aggregate(row[f"{field}__count"], *(row[f"{field}__{part}"] for part in _FLOATS))
        for field in counts
    }
    texts = {
        key: histograms.read(value) for key, value in row.items() if key.endswith(histograms.SUFFIX) and value
    }
    return StoredWindow(tags, row["time"], fields, texts)
