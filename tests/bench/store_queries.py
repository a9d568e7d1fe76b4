"""Prints what the embedded store holds of a county and how soon it answers.

Run: ``python -m tests.bench.store_queries [days]``. 300 schools, 25 points a minute each: the newest point of
all 7,500 series, one school's raw day, and for each school's line the windows of an hour and of a day
over the days (400), with both histograms, written straight into their tables. Windows of 5 minutes and raw
points of all other schools are not made: a query reads one series' range by its key, whatever stands beside.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from collector.batch import Batch, Row, Series, batch_of
from collector.store.embedded import EmbeddedStore
from collector.store.interface import NS, Aggregate, StoredWindow
from collector.store.upkeep import COARSE_ROUNDS, Retention
from config.histogram import bucket_of, percentile

SCHOOLS = 300
SERIES = 25
DAY = 86400
KEPT = Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
END_NS = (time.time_ns() // NS + 8 * 3600) // DAY * DAY * NS - 8 * 3600 * NS
"""Midnight in China."""
ROUNDS = 15
FIELDS = 8


def tags(school: int, series: int = 0) -> dict[str, str]:
    return {"school": f"s{school:03}", "agent": f"a{school:03}", "interface": f"eth{series}", "role": "line"}


def values(n: int) -> dict[str, Any]:
    """Eight fields, as the plan of 200 values a minute in 25 points has it."""
    return {
        "rx_bytes": n * 1013, "tx_bytes": n * 77, "rx_packets": n, "tx_packets": n, "samples": 60,
        "window_seconds": 60.001, "rx_bits_per_second_sum": n * 8.5, "rx_bits_per_second_max": n * 17.25,
    }  # fmt: skip


def minute(school: int, at_ns: int) -> Batch:
    series = [Series("interface", tags(school, n)) for n in range(SERIES)]
    rows: list[Row] = [(n, at_ns, values(n + at_ns // NS % 10_000)) for n in range(SERIES)]
    return batch_of(f"s{school:03}", "", at_ns, series, rows)


def windows(school: int, seconds: int, days: int, chance: random.Random) -> Iterator[StoredWindow]:
    """Windows with histograms as wide as those of a busy line: 60 buckets of 1 s rates, 12 means an hour."""
    for start_ns in range(END_NS - days * DAY * NS, END_NS, seconds * NS):
        fields = {name: Aggregate(60, value * 60, value, value) for name, value in values(7).items()}
        rates = {450 + n: seconds // 60 for n in range(60)}
        means = {bucket_of(chance.uniform(1e6, 9e8)): seconds // 3600 for _ in range(12)}
        yield StoredWindow(
            tags(school), start_ns, fields, {"rx_histogram": rates, "rx_means_histogram": means}
        )


def fill(store: EmbeddedStore, days: int) -> None:
    for school in range(SCHOOLS):
        chance = random.Random(school)
        store.write([minute(school, END_NS)])
        for seconds in (3600, 86400):
            store.put_windows(seconds, "interface", list(windows(school, seconds, days, chance)))
    for at_ns in range(END_NS - DAY * NS, END_NS, 60 * NS):
        store.write([minute(0, at_ns)])
    for _ in range(COARSE_ROUNDS + 1):
        while store.maintain(END_NS):
            pass


def queries(store: EmbeddedStore) -> Iterator[tuple[str, Callable[[], object]]]:
    day, month = END_NS - DAY * NS, END_NS - 30 * DAY * NS
    fields = ["rx_bytes", "rx_bits_per_second_max"]

    def percentiles() -> list[float | None]:
        found = store.histograms(
            "interface", "rx_means_histogram", tags={"interface": "eth0"}, start_ns=month, end_ns=END_NS
        )
        assert len(found) == SCHOOLS
        return [percentile(each.counts, 0.95) for each in found]

    yield "latest of all 7,500 series", store.latest
    yield "a school's day, 5 minutes", lambda: store.series(
        "s000", "interface", tags={"interface": "eth0"}, fields=fields, start_ns=day, end_ns=END_NS,
        resolution_seconds=300,
    )  # fmt: skip
    yield (
        "a school's day, raw",
        lambda: store.points(
            "s000", "interface", tags={"interface": "eth0"}, fields=fields, start_ns=day, end_ns=END_NS
        ),
    )
    yield "county, 95th percentiles, month", percentiles


def main(days: int = 400) -> None:
    """Print sizes, then the median time of each query."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.db"
        with closing(EmbeddedStore(path, retention=KEPT, day_offset_seconds=8 * 3600)) as store:
            begin = time.perf_counter()
            before = path.stat().st_size
            for n in range(100):
                store.write([minute(s, END_NS - 2 * DAY * NS + n * 60 * NS) for s in range(40)])
            size = path.stat().st_size + path.with_name("points.db-wal").stat().st_size - before
            each = size / (100 * 40 * SERIES)
            print(f"raw: {each:.0f} bytes a point of {FIELDS} fields, its index and the log included")
            fill(store, days)
            seconds = time.perf_counter() - begin
            rows = SCHOOLS * days * 25 + SERIES * 1440
            print(f"{rows:,} rows, {path.stat().st_size / 1e9:.2f} GB, made in {seconds:.0f} s, {days} days")
            for name, query in queries(store):
                times = []
                for _ in range(ROUNDS):
                    begin = time.perf_counter()
                    assert query()
                    times.append(time.perf_counter() - begin)
                print(f"{name:34} {statistics.median(times) * 1000:8.2f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
