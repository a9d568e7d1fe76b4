"""Prints how soon the pages of a county come, how much they weigh, and when the browser first paints.

Run: ``python -m tests.bench.pages [schools] [days]``; 300 and 400 are the defaults. Each school has a line
with windows of an hour and of a day over the days, written by the store's own interface, and a day of
availability for each. Server, its look at the county every 5 s and client share one process.
"""

from __future__ import annotations

import dataclasses
import gc
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from collector.server import GC_THRESHOLD
from collector.settings import CollectorSettings, VerdictSettings
from collector.store.interface import NS, Aggregate, StoredWindow
from collector.uptime.minutes import SCHOOL
from collector.uptime.records import Records
from collector.web.board import Board
from collector.web.events import Events
from collector.web.routes import page_routes
from collector.web.settings import WebSettings
from tests.collector.web import county
from tests.collector.web.browser import Browser
from tests.collector.web.rooms import PagesOnly, heartbeat_of, open_pages
from tests.collector.web.serving import Client, serving

HOUR, DAY = 3600, 86400
ROUNDS = 60
LIMITS = {300: (100, 150, 50), 1000: (250, 150, 50)}
"""Milliseconds at the 95th percentile: the county, a school's year, the wall's update."""
MOST_BYTES = 300_000
FIRST_PAINT_MS = 1000


def windows(school: str, seconds: int, days: int, end: int) -> Iterator[StoredWindow]:
    """A line that is busier by day than by night."""
    tags = {"school": school, "agent": f"{school}-1", "interface": "eth0", "role": "line", "line": "line1"}
    count = seconds // 10
    for start in range(end - days * DAY, end, seconds):
        mean = 20e6 + 2e6 * (start // HOUR % 24)
        yield StoredWindow(
            tags,
            start * NS,
            {
                "samples": Aggregate(count, count * 10.0, 10, 10),
                "rx_bits_per_second_sum": Aggregate(count, count * 10 * mean, mean * 8, mean * 12),
                "tx_bits_per_second_sum": Aggregate(count, count * 2 * mean, mean, mean * 3),
                "rx_bits_per_second_max": Aggregate(count, count * mean * 2, mean, mean * 3),
                "tx_bits_per_second_max": Aggregate(count, count * mean / 2, mean / 4, mean),
            },
        )


def fill(rooms: PagesOnly, schools: int, days: int) -> None:
    """Everything that the pages look at, and the past of every school."""
    county.fill(rooms, schools)
    end = int(time.time()) // DAY * DAY
    records, codes = Records(rooms.registry), b"u" * 1400 + b"x" * 10 + b"?" * 30
    for number in range(schools):
        school = f"s{number}"
        for seconds in (HOUR, DAY):
            rooms.store.put_windows(seconds, "interface", list(windows(school, seconds, days, end)))
        records.put_days({(school, SCHOOL, end // DAY - day): codes for day in range(days)})


def times(client: Client, path: str) -> list[float]:
    """Milliseconds of each round, the body and its compression included."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        assert client.get(path, headers={"Accept-Encoding": "gzip"}).status_code == 200
        found.append((time.perf_counter() - began) * 1000)
    return found


def report(name: str, found: list[float], limit: float) -> bool:
    """Print one line; whether it holds."""
    worst = statistics.quantiles(found, n=20)[18]
    print(f"{name:34} median {statistics.median(found):7.1f} ms, p95 {worst:7.1f} ms; limit {limit} ms")
    return worst <= limit


def in_browser(client: Client) -> bool:
    """Weight and first paint; true when they hold."""
    holds = True
    with Browser() as browser:
        for path in ("/", "/schools/s0", "/wall"):
            with browser.tab(1280, 900) as tab:
                tab.open(f"http://127.0.0.1:{client.port}{path}")
                tab.wait_for("performance.getEntriesByName('first-contentful-paint').length")
                paint = tab.value("performance.getEntriesByName('first-contentful-paint')[0].startTime")
                tab.listen(1.0)
                print(
                    f"{path:34} {tab.finished_bytes / 1000:7.1f} kB over the wire, first paint {paint:.0f} ms"
                )
                holds = holds and tab.finished_bytes <= MOST_BYTES and paint <= FIRST_PAINT_MS
    return holds


def run(schools: int, days: int) -> bool:
    """One county."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        web = WebSettings(map=str(county.outline(folder)))
        settings = CollectorSettings(str(folder), verdicts=VerdictSettings(plans=("shandan",)), web=web)
        rooms = open_pages(folder, settings=settings)
        began = time.perf_counter()
        fill(rooms, schools, days)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{schools} schools, {days} days: {size:.0f} MB, made in {time.perf_counter() - began:.0f} s")
        board = Board(rooms.registry, rooms.store, rooms.verdicts, rooms.uptime, refresh_seconds=web.refresh)
        rooms = dataclasses.replace(rooms, board=board, events=Events(board, 10, 15.0))
        for number in range(schools):
            heartbeat_of(rooms, f"s{number}")
        began = time.perf_counter()
        board.county()
        print(f"the first look at the county takes {time.perf_counter() - began:.2f} s")
        board.start()
        limits = LIMITS.get(schools, LIMITS[1000])
        with serving(page_routes(rooms)) as client:
            client.get("/")
            held = [
                report("county page", times(client, "/"), limits[0]),
                report("school's year", times(client, f"/schools/s7/throughput?span={365 * DAY}"), limits[1]),
                report("school page", times(client, "/schools/s7"), limits[1]),
                report("wall's update", times(client, "/wall"), limits[2]),
            ]
            if shutil.which("chromium"):
                held.append(in_browser(client))
            rooms.events.end()
        board.stop()
        rooms.close()
    return all(held)


def main(schools: int = 300, days: int = 400) -> None:
    """Print all of it; fails where a limit does not hold."""
    gc.set_threshold(*GC_THRESHOLD)  # as ``serve`` does
    assert run(schools, days), "a limit does not hold"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
