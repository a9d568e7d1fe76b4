"""``python -m tests.fleet SCHOOLS [--seconds N] [--push-every S] [--backlog SCHOOLS HOURS] [--json FILE]``.

A real collector process with the embedded store on loopback, and so many simulated agents. Prints what it
took, and ends with status 1 when a point that was acknowledged is not in the store exactly once, or a school
was shown as met before anything came that proves it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.collector.running import wait_until
from tests.fleet.county import Collector, enrol, give_backlog, give_faults, started
from tests.fleet.driver import Counts, Driver, Pace
from tests.fleet.watch import Sample, Watch

WATCHED = 20


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def play(schools: int, pace: Pace, backlog: tuple[int, float] = (0, 0.0)) -> dict[str, Any]:
    """One run; what it measured."""
    with tempfile.TemporaryDirectory(prefix="xiaotong-fleet-") as folder:
        collector = Collector(Path(folder) / "c")
        _say(f"enrolling {schools} schools")
        began = time.monotonic()
        agents = enrol(f"sqlite:///{collector.folder}/data/registry.db", schools)
        enrolled = time.monotonic() - began
        watched = agents[10 : 10 + WATCHED]
        behind = agents[-backlog[0] :] if backlog[0] else []
        give_faults([agent for agent in agents if agent not in watched and agent not in behind], pace.seconds)
        old_points = give_backlog(behind, backlog[1])
        _say("starting the collector")
        began = time.monotonic()
        with started([collector]):
            start = time.monotonic() - began
            _say(f"{pace.seconds:g} s of traffic")
            watch = Watch(collector, agents, watched)
            driver = Driver(agents, [collector.port], pace, watch.on_live)
            began, own_before = time.monotonic(), time.process_time()
            counts = asyncio.run(_both(driver, watch))
            seconds = time.monotonic() - began
            own = time.process_time() - own_before
            _say("waiting until the journal is empty")
            wait_until(lambda: collector.metric("journal_waiting_bytes") == 0, 600)
            drained = time.monotonic() - began
            cpu = collector.usage()[0]
            stored = collector.stored_points()
        return told(schools, counts, watch, stored) | {
            "enrol_seconds": round(enrolled, 1),
            "start_seconds": round(start, 1),
            "seconds": round(seconds, 1),
            "drained_seconds": round(drained, 1),
            "cpu_seconds": round(cpu, 1),
            "driver_cpu_share": round(own / seconds, 3),
            "points_a_second": round(counts.acknowledged_points / drained),
            "backlog_points": old_points,
            "load_of_machine": round(os.getloadavg()[0], 1),
        }


async def _both(driver: Driver, watch: Watch) -> Counts:
    looking = asyncio.create_task(watch.run())
    counts = await driver.run()
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    return counts


def told(schools: int, counts: Counts, watch: Watch, stored: int) -> dict[str, Any]:
    """The figures."""
    rss = [each.rss_bytes >> 20 for each in watch.samples]
    return {
        "schools": schools,
        "acknowledged_points": counts.acknowledged_points,
        "stored_points": stored,
        "set_aside": counts.set_aside,
        "sent_again": counts.resent,
        "failed_requests": counts.failed,
        "statuses": {str(status): many for status, many in counts.statuses.items()},
        "push_p50_seconds": _at(counts.latencies["live"], 50),
        "push_p99_seconds": _at(counts.latencies["live"], 99),
        "steady_push_p99_seconds": _at(counts.latencies["live"][len(counts.latencies["live"]) // 2 :], 99),
        "backlog_push_p99_seconds": _at(counts.latencies["backlog"], 99),
        "backlog_points_acknowledged": counts.old_points,
        "backlog_ended_seconds": counts.backlog_ended and round(counts.backlog_ended, 1),
        "live_point_shown_p50_seconds": _at(watch.point_seconds, 50),
        "live_point_shown_p99_seconds": _at(watch.point_seconds, 99),
        "steady_live_point_shown_p99_seconds": _at(watch.point_seconds[len(watch.point_seconds) // 2 :], 99),
        "verdicts_watched": len(watch.verdict_seconds),
        "verdict_p50_seconds": _at(watch.verdict_seconds, 50),
        "verdict_worst_seconds": round(max(watch.verdict_seconds, default=0.0), 2) or None,
        "all_schools_judged_seconds": watch.all_judged_seconds and round(watch.all_judged_seconds, 1),
        "met_without_a_point_that_proves_it": watch.met_unproved,
        "rss_mebibytes_first_half_last_most": [rss[0], rss[len(rss) // 2], rss[-1], max(rss)]
        if rss
        else None,
        **_steady(schools, watch.samples),
        "journal_most_mebibytes": round(max((e.journal_bytes for e in watch.samples), default=0) / 2**20, 2),
        "requests_queued_most": counts.queued,
        "driver_late_seconds": round(counts.late_seconds, 2),
    }


def _steady(schools: int, samples: list[Sample]) -> dict[str, Any]:
    """What it cost in the second half of the run: without the start and the first verdicts."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return {}
    share = (half[-1].cpu_seconds - half[0].cpu_seconds) / (half[-1].seconds - half[0].seconds)
    return {
        "steady_cpu_share": round(share, 3),
        "steady_cpu_seconds_a_school_hour": round(share * 3600 / schools, 3),
    }


def _at(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return round(values[0], 4) if values else None
    return round(statistics.quantiles(values, n=100)[percent - 1], 4)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("schools", type=int)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--push-every", type=float, default=30.0)
    parser.add_argument("--backlog", nargs=2, type=float, default=(0, 0), metavar=("SCHOOLS", "HOURS"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pace = Pace(given.seconds, given.push_every)
    found = play(given.schools, pace, (int(given.backlog[0]), given.backlog[1]))
    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    print(text)
    if given.json:
        given.json.write_text(text)
    once = found["stored_points"] == found["acknowledged_points"]
    return 0 if once and not found["met_without_a_point_that_proves_it"] else 1


if __name__ == "__main__":
    sys.exit(main())
