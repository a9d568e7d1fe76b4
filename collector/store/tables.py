"""The tables of the embedded store, made from the schema of the measurements. Pure: gives SQL, runs none.

For each measurement: ``raw_NAME`` (a row for each series and time, a column for each field) and for
each kept window
``w300_NAME``, ``w3600_NAME``, ``w86400_NAME`` (for each numeric field count, sum, min, max). Names come from
config/measurements.yaml only, never from a client, and are quoted all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collector.store.histograms import histogram_names, mean_histograms, rate_histograms
from collector.store.interface import NS, WINDOW_SECONDS
from config.measurements import Measurement

COMMON = """
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, school TEXT NOT NULL, measurement TEXT NOT NULL, tags TEXT NOT NULL, other
  INTEGER NOT NULL,
  UNIQUE (school, measurement, tags, other)
);
CREATE TABLE IF NOT EXISTS latest (
  series_id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, fields TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS others (
  series_id INTEGER NOT NULL, time_ns INTEGER NOT NULL, fields TEXT NOT NULL, PRIMARY KEY (series_id, time_ns)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirty (
  seconds INTEGER NOT NULL, measurement TEXT NOT NULL, series_id INTEGER NOT NULL, start_ns INTEGER NOT NULL,
  PRIMARY KEY (seconds, measurement, series_id, start_ns)
) WITHOUT ROWID;
"""

_COLUMN_TYPES = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER", "string": "TEXT"}
AGGREGATES = ("count", "sum", "min", "max")


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def numeric_fields(measurement: Measurement) -> list[str]:
    """The fields that windows keep: numbers, and yes/no as 1 and 0."""
    return [key for key, field in measurement.fields.items() if field.type != "string"]


def raw_columns(measurement: Measurement) -> dict[str, str]:
    """Column types of ``raw_NAME`` beside its key."""
    return {key: _COLUMN_TYPES[field.type] for key, field in measurement.fields.items()}


def window_columns(measurement: Measurement) -> dict[str, str]:
    """Column types of ``wN_NAME`` beside its key. Sums and extremes have no type: integers stay integers."""
    numbers = {f"{key}__{part}": "" for key in numeric_fields(measurement) for part in AGGREGATES}
    return numbers | dict.fromkeys(histogram_names(measurement), "BLOB")


def create(table: str, key: str, columns: dict[str, str]) -> str:
    """A table clustered by series and ``key`` (time_ns or start_ns)."""
    listed = "".join(f", {quoted(name)} {kind}" for name, kind in columns.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(table)} (series_id INTEGER NOT NULL, "
        f"{key} INTEGER NOT NULL{listed}, PRIMARY KEY (series_id, {key})) WITHOUT ROWID"
    )


def insert(name: str, fields: Sequence[str], rows: int = 1) -> str:
    """Write points, each by its series, time and values; one that is there gains the fields that this one
    has.
    """
    columns = "".join(f", {quoted(field)}" for field in fields)
    marks = ", ".join([f"(?, ?{', ?' * len(fields)})"] * rows)
    joined = ", ".join(f"{quoted(field)} = excluded.{quoted(field)}" for field in fields)
    return (
        f"INSERT INTO {quoted('raw_' + name)} (series_id, time_ns{columns}) VALUES {marks} "  # noqa: S608
        f"ON CONFLICT (series_id, time_ns) DO UPDATE SET {joined}"
    )


def window_table(seconds: int, name: str) -> str:
    """The table of one kept window."""
    return f"w{seconds}_{name}"


def put_window(seconds: int, name: str, columns: Sequence[str]) -> str:
    """Write a window made elsewhere: series, start, then the columns."""
    listed = "".join(f", {quoted(column)}" for column in columns)
    return (
        f"INSERT OR REPLACE INTO {quoted(window_table(seconds, name))} (series_id, start_ns{listed}) "  # noqa: S608
        f"VALUES (?, ?{', ?' * len(columns)})"
    )


def fold(seconds: int, name: str, measurement: Measurement, *, exact: bool) -> str:
    """Make the windows listed in the temporary table ``folding`` again: 5 minutes from raw points, the
    others from
    5-minute windows. ``exact`` sums integers as integers, which fails beyond 64 bits.
    """
    total = "sum" if exact else "total"
    fields = numeric_fields(measurement)
    rates = rate_histograms(measurement)
    if seconds == WINDOW_SECONDS[0]:
        source, key = f"raw_{name}", "time_ns"
        parts = [
            f"count({c}), {_sum(c, exact=exact)}, min({c}), max({c})"
            for c in (f"s.{quoted(field)}" for field in fields)
        ]
        parts += [
            f"merged_texts(s.{quoted(each)}) FILTER (WHERE s.{quoted(each)} IS NOT NULL)" for each in rates
        ]
        kept = rates
    else:
        source, key = window_table(WINDOW_SECONDS[0], name), "start_ns"
        parts = [_again(field, total) for field in fields]
        parts += [f"merged_blobs(s.{quoted(each)})" for each in rates]
        means = mean_histograms(measurement)
        parts += [f"means(s.{quoted(each.sum_field + '__sum')}, s.samples__sum)" for each in means]
        kept = [*rates, *(each.name for each in means)]
    columns = ", ".join(
        [*(quoted(f"{field}__{part}") for field in fields for part in AGGREGATES), *map(quoted, kept)]
    )
    return (
        f"INSERT OR REPLACE INTO {quoted(window_table(seconds, name))} (series_id, start_ns, {columns}) "  # noqa: S608
        f"SELECT d.series_id, d.start_ns, {', '.join(parts)} FROM temp.folding d "
        f"CROSS JOIN {quoted(source)} s ON s.series_id = d.series_id "
        f"AND s.{key} >= d.start_ns AND s.{key} < d.start_ns + {seconds * NS} "
        "GROUP BY d.series_id, d.start_ns"
    )


def grouped(name: str, seconds: int, fields: Sequence[str], resolution_seconds: int, offset_ns: int) -> str:
    """Windows of ``resolution_seconds`` from kept windows of ``seconds``, or from raw points when that is 0.

    Parameters: series_id, start_ns, end_ns.
    """
    step = resolution_seconds * NS
    if seconds:
        source, key = window_table(seconds, name), "start_ns"
        parts = [_again(field, "total") for field in fields]
    else:
        source, key = f"raw_{name}", "time_ns"
        columns = [f"s.{quoted(field)}" for field in fields]
        parts = [f"count({c}), total({c}), min({c}), max({c})" for c in columns]
    return (
        f"SELECT (s.{key} + {offset_ns}) / {step} * {step} - {offset_ns} AS bucket, {', '.join(parts)} "  # noqa: S608
        f"FROM {quoted(source)} s WHERE s.series_id = ? AND s.{key} >= ? AND s.{key} < ? "
        "GROUP BY bucket ORDER BY bucket"
    )


def _sum(column: str, *, exact: bool) -> str:
    """NULL without values, as min and max: total() would give 0."""
    return f"sum({column})" if exact else f"CASE WHEN count({column}) THEN total({column}) END"


def _again(field: str, total: str) -> str:
    count, summed, least, greatest = (f"s.{quoted(f'{field}__{part}')}" for part in AGGREGATES)
    return f"sum({count}), {total}({summed}), min({least}), max({greatest})"


def missing(columns: dict[str, str], present: Iterable[str]) -> dict[str, str]:
    """Columns to add to a table that an older schema made."""
    there = set(present)
    return {name: kind for name, kind in columns.items() if name not in there}
