"""Prints what the embedded store holds of a county and how soon it answers.

Run: ``python -m tests.bench.store_queries [days [days of 5-minute windows]]``. 300 schools with 25 series
each (a line, pings, services, probes, the agent) and all their kept windows: of an hour and of a day over 400
days, of 5 minutes over 90, every field with its four figures, a line with its histograms. They are written
straight into their tables by one statement a table: by its own way the store would take 270 million rows half
a day, and they lie in the file as they do here. Raw points are one school's day.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from collector.batch import Batch, Row, Series, batch_of
from collector.store import tables
from collector.store.blobs import encode_blob
from collector.store.embedded import EmbeddedStore
from collector.store.histograms import histogram_names
from collector.store.interface import NS, WINDOW_SECONDS
from collector.store.upkeep import COARSE_ROUNDS, Retention
from config.histogram import bucket_of, percentile
from config.measurements import schema

SCHOOLS = 300
MIX = {"interface": 1, "ping": 7, "service": 3, "probe": 13, "agent": 1}
"""Series of one school: 25."""
DAY = 86400
KEPT = Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
END_NS = (time.time_ns() // NS + 8 * 3600) // DAY * DAY * NS - 8 * 3600 * NS
"""Midnight in China."""
ROUNDS = 15
BLOBS = 997
"""Different histograms, dealt out to the windows."""


def series_of(school: int) -> list[Series]:
    about = {"school": f"s{school:03}", "agent": f"a{school:03}"}
    return [
        Series(measurement, {**about, tag_of(measurement): f"x{n}"})
        for measurement, count in MIX.items()
        for n in range(count)
    ]


def tag_of(measurement: str) -> str:
    return next(iter(schema()[measurement].tags), "school")


def values(measurement: str, n: int) -> dict[str, Any]:
    kinds = {"int": n * 1013, "float": n * 8.5, "bool": n % 7 > 0, "string": "450*60"}
    return {name: kinds[field.type] for name, field in schema()[measurement].fields.items()}


def minute(school: int, at_ns: int) -> Batch:
    series = series_of(school)
    rows: list[Row] = [
        (n, at_ns, values(each.measurement, n + at_ns // NS % 10_000)) for n, each in enumerate(series)
    ]
    return batch_of(f"s{school:03}", "", at_ns, series, rows)


def put_blobs(db: sqlite3.Connection) -> None:
    """Histograms as wide as those of a busy line: 60 buckets of 1 s rates, 12 means an hour."""
    chance = random.Random(7)
    db.execute("CREATE TEMP TABLE blobs (n INTEGER PRIMARY KEY, rates BLOB, means BLOB)")
    for n in range(BLOBS):
        rates = encode_blob({450 + chance.randrange(200): 60 for _ in range(60)})
        means = encode_blob({bucket_of(chance.uniform(1e6, 9e8)): 1 for _ in range(12)})
        db.execute("INSERT INTO temp.blobs VALUES (?, ?, ?)", (n, rates, means))


def figure(kind: str, chosen: str, n: int) -> str:
    """SQL of a value as wide as a real one: SQLite keeps small integers in few bytes."""
    return {"int": f"{chosen} * {10 ** (n % 5)}", "float": f"{chosen} * {n + 1}.37", "bool": "1"}[kind]


def put_windows(db: sqlite3.Connection, measurement: str, seconds: int, days: int) -> int:
    """Every window of every series of a measurement; how many."""
    declared = schema()[measurement]
    chosen = "(w.value * 31 + s.id * 17)"
    columns = {
        f"{field}__{part}": "60" if part == "count" else figure(declared.fields[field].type, chosen, n)
        for n, field in enumerate(tables.numeric_fields(declared))
        for part in tables.AGGREGATES
    }
    for name in histogram_names(declared):
        is_means = name.endswith("_means_histogram")
        if not (is_means and seconds == WINDOW_SECONDS[0]):
            columns[name] = "b.means" if is_means else "b.rates"
    table = tables.quoted(tables.window_table(seconds, measurement))
    count = days * DAY // seconds
    db.execute("DELETE FROM temp.times")
    starts = ((n, END_NS - (count - n) * seconds * NS) for n in range(count))
    db.executemany("INSERT INTO temp.times VALUES (?, ?)", starts)
    blobs = f"CROSS JOIN temp.blobs b ON b.n = {chosen} % {BLOBS} " if histogram_names(declared) else ""
    db.execute(
        f"INSERT INTO {table} (series_id, start_ns, {', '.join(map(tables.quoted, columns))}) "
        f"SELECT s.id, w.start_ns, {', '.join(columns.values())} "
        f"FROM series s CROSS JOIN temp.times w {blobs}WHERE s.measurement = ?",
        (measurement,),
    )
    return count * SCHOOLS * MIX[measurement]


def put_all_windows(path: Path, days: int, short_days: int) -> dict[int, int]:
    """Windows by their length. The file is not synced: what is lost in a crash is made again."""
    made = dict.fromkeys(WINDOW_SECONDS, 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in (
            "journal_mode = OFF", "synchronous = OFF", "cache_size = -200000", "temp_store = MEMORY"
        ):  # fmt: skip
            db.execute(f"PRAGMA {pragma}")
        put_blobs(db)
        db.execute("CREATE TEMP TABLE times (value INTEGER PRIMARY KEY, start_ns INTEGER)")
        for measurement in MIX:
            for seconds in WINDOW_SECONDS:
                over = short_days if seconds == WINDOW_SECONDS[0] else days
                made[seconds] += put_windows(db, measurement, seconds, over)
    return made


def raw_bytes(store: EmbeddedStore, path: Path) -> float:
    """What a raw point takes: of 40 schools over 100 minutes."""
    before = path.stat().st_size
    for n in range(100):
        store.write([minute(school, END_NS - 2 * DAY * NS + n * 60 * NS) for school in range(40)])
    store.write([minute(school, END_NS) for school in range(SCHOOLS)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (path.stat().st_size - before) / (100 * 40 * 25 + SCHOOLS * 25)


def put_day(store: EmbeddedStore) -> None:
    """One school's raw day, and what the store makes of it by itself."""
    for at_ns in range(END_NS - DAY * NS, END_NS, 60 * NS):
        store.write([minute(0, at_ns)])
    for _ in range(COARSE_ROUNDS + 1):
        while store.maintain(END_NS):
            pass


def queries(store: EmbeddedStore) -> Iterator[tuple[str, Callable[[], object]]]:
    day, month = END_NS - DAY * NS, END_NS - 30 * DAY * NS
    fields = ["rx_bytes", "rx_bits_per_second_max"]

    def percentiles(start_ns: int) -> list[float | None]:
        found = store.histograms("interface", "rx_means_histogram", start_ns=start_ns, end_ns=END_NS)
        assert len(found) == SCHOOLS
        return [percentile(each.counts, 0.95) for each in found]

    yield "latest of all 7,500 series", store.latest
    yield (
        "a school's day, 5 minutes",
        lambda: store.series(
            "s007", "interface", fields=fields, start_ns=day, end_ns=END_NS, resolution_seconds=300
        ),
    )
    yield (
        "a school's day, raw",
        lambda: store.points("s000", "interface", fields=fields, start_ns=day, end_ns=END_NS),
    )
    yield "county, 95th percentiles, month", lambda: percentiles(month)
    yield "the same, not on days' boundaries", lambda: percentiles(month + 3600 * NS)


def timed(query: Callable[[], object]) -> float:
    begin = time.perf_counter()
    assert query()
    return time.perf_counter() - begin


def main(days: int = 400, short_days: int = 90) -> None:
    """Print sizes, then each query's first time and the median of the next."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.db"
        with closing(EmbeddedStore(path, retention=KEPT, day_offset_seconds=8 * 3600)) as store:
            each = raw_bytes(store, path)
            fields = sum(len(schema()[name].fields) * count for name, count in MIX.items()) / 25
            print(f"raw: {each:.0f} bytes a point of {fields:.1f} fields on average, its key included")
        before, begin = path.stat().st_size, time.perf_counter()
        made = put_all_windows(path, days, short_days)
        seconds, size = time.perf_counter() - begin, path.stat().st_size - before
        print(
            f"windows: {made[300]:,} of 5 minutes ({short_days} days), {made[3600]:,} of an hour and "
            f"{made[86400]:,} of a day ({days} days); {size / 1e9:.2f} GB, "
            f"{size / sum(made.values()):.0f} bytes a window, loaded in {seconds:.0f} s",
            flush=True,
        )
        begin = time.perf_counter()
        with closing(EmbeddedStore(path, retention=KEPT, day_offset_seconds=8 * 3600)) as store:
            print(f"opened in {time.perf_counter() - begin:.2f} s")
            put_day(store)
            for name, query in queries(store):
                first, *times = [timed(query) for _ in range(ROUNDS)]
                print(f"{name:34} {statistics.median(times) * 1000:8.2f} ms, at first {first * 1000:8.2f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
