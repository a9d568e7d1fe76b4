"""How long the availability of a month takes for 1,000 schools, from a year of minutes."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.registry import Registry
from collector.uptime.minutes import SCHOOL
from collector.uptime.records import Maintenance, Records
from collector.uptime.report import Report
from collector.uptime.settings import UptimeSettings
from config.calendar import default_calendar
from config.school import Line, School

SCHOOLS = 1000
DAYS = 365
LIMIT_SECONDS = 1.0
ROUNDS = 5
FIRST_DAY = round(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) // 86400
NOW = datetime(2026, 1, 5, tzinfo=UTC)
DAY_MINUTES = 1440


def day(random_of: random.Random) -> bytes:
    """A day with a few outages, degraded stretches and gaps, each of its own."""
    codes = bytearray(b"u" * DAY_MINUTES)
    for letter in b"xd?pU":
        for _ in range(random_of.randrange(3)):
            start, length = random_of.randrange(DAY_MINUTES), random_of.randrange(1, 90)
            codes[start : start + length] = bytes([letter]) * min(length, DAY_MINUTES - start)
    return bytes(codes)


def fill(registry: Registry) -> None:
    """A year of different days for every school; every tenth school has its power cut at night."""
    registry.put_schools(
        School(id=f"s{n}", lines=(Line(id="a"),), power_cut=("22:30-06:00",) if n % 10 == 0 else ())
        for n in range(SCHOOLS)
    )
    records, random_of = Records(registry), random.Random(8)
    for number in range(DAYS):
        records.put_days({(f"s{n}", SCHOOL, FIRST_DAY + number): day(random_of) for n in range(SCHOOLS)})
    at = datetime(2025, 10, 13, 22, 0, tzinfo=UTC)
    records.announce(Maintenance(None, at, at + timedelta(hours=2), "bench", at - timedelta(days=1)))


def main() -> None:
    """Print the CPU seconds for one month of all schools, each round with a cold calendar."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry.open(f"sqlite:///{Path(folder) / 'registry.db'}")
        began = time.perf_counter()
        fill(registry)
        print(f"filled {SCHOOLS} schools x {DAYS} days in {time.perf_counter() - began:.1f} s")
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        print(f"database: {size / 1e6:.0f} MB, {size / SCHOOLS / DAYS:.0f} B a school and day")
        taken = []
        for _ in range(ROUNDS):
            report = Report(registry, default_calendar(), UptimeSettings())
            start, end = report.month("2025-10", NOW)
            began = time.process_time()
            found = list(report.availability(start, end, NOW, subject=SCHOOL))
            taken.append(time.process_time() - began)
            assert len(found) == SCHOOLS
            assert all(each.of().all_hours.scheduled > 28 * DAY_MINUTES for each in found)
        registry.close()
    median = statistics.median(taken)
    print(
        f"month of {SCHOOLS} schools: median {median:.3f} s of CPU of {ROUNDS} rounds, "
        f"worst {max(taken):.3f} s; limit {LIMIT_SECONDS} s"
    )
    assert median < LIMIT_SECONDS


if __name__ == "__main__":
    main()
