"""A week compressed: what a day more costs an agent and a collector in memory.

Each runs its real rooms in a process of its own, on clocks that are moved a minute when a minute's work is
done. The agent reads the kernel's counters and pings loopback, in windows of 20 ms instead of a minute, and
sends to a server that is away from 0 to 3 h each day. The collector takes the pushes and heartbeats of
``SCHOOLS`` schools over HTTP and keeps raw points two days, so that it sweeps too. Read each hour: resident
memory, with that of the little that drives it, and how many blocks of memory Python's objects hold, which
tells a leak from caches of SQLite and what malloc keeps. A slope is that of a line through the hours after
the first two days, when old points go. ``DAYS``: how many, 7 without it.
"""

from __future__ import annotations

import gc
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import psutil

from agent.link import Link
from agent.measuring import job_of
from agent.push import Push
from agent.runner import Job, Reporter, Runner
from agent.settings import LoadedSettings, Secret, load_settings
from agent.spool import Spool
from agent.vitals import Vitals
from config.clock import SystemClock
from config.points import encode
from tests.agent.collector_double import CollectorDouble, Reply
from tests.agent.collector_double import Push as Pushed
from tests.fleet.agents import Agent
from tests.fleet.wire import HEARTBEAT, WRITE

if TYPE_CHECKING:
    from collector.rooms import Rooms

DAYS = int(os.environ.get("DAYS", "7"))
SCHOOLS = int(os.environ.get("SCHOOLS", "5"))
SETTLED_DAYS = min(2, DAYS - 1)
NS = 10**9
PING_SECONDS = 0.02
AWAY_HOURS = range(3)
_CODE = "import logging; from tests.bench import week; logging.disable(); print(week.{side}(), flush=True)"
AGENT = """\
school: {id: week, name: week, classes: 12, lines: [{id: wan, interface: lo}]}
plan: shandan
state_directory: DIRECTORY/agent
spool: {flush: 30s, flush_away: 60s}
probes:
  interfaces: {sample: 10s, ignore: []}
  ping: {targets: [{name: one, host: 127.0.0.1, family: ipv4}, {name: two, host: 127.0.0.2, family: ipv4}]}
"""


class MovedClock(SystemClock):
    """Both clocks of the host, moved forward together."""

    def __init__(self) -> None:
        self._moved_ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self._moved_ns

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._moved_ns

    def move(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._moved_ns += round(seconds * NS)


class Moving(threading.Event):
    """What a probe waits on: waiting moves the clock."""

    def __init__(self, clock: MovedClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.move(timeout or 0.0)
        return self.is_set()


class Row(NamedTuple):
    """What came of one side, by hour: resident bytes, and the blocks of memory that Python's objects hold."""

    side: str
    pushes: int
    points: int
    hours: list[tuple[int, int]]

    def __str__(self) -> str:
        resident, blocks = zip(*self.hours[24 * SETTLED_DAYS :], strict=True)
        megabytes = (resident[0] / 1e6, max(resident) / 1e6, resident[-1] / 1e6, _a_day(resident) / 1024)
        counts = "".join(f"{each:13}" for each in (DAYS, self.pushes, self.points))
        sizes = "".join(f"{each:13.1f}" for each in megabytes)
        return f"{self.side:10}{counts}{sizes}{blocks[0]:13}{_a_day(blocks):13.1f}"


HEADS = (
    "days",
    "pushes",
    "points",
    "settled MB",
    "most MB",
    "last MB",
    "KiB a day",
    "blocks",
    "blocks a day",
)


def main() -> None:
    """Print a row for each side."""
    print(f"{'':10}" + "".join(f"{head:>13}" for head in HEADS), flush=True)
    for side in ("agent", "collector"):
        subprocess.run([sys.executable, "-c", _CODE.format(side=side)], check=True)


def _hour() -> tuple[int, int]:
    """What is held now. Cycles go first: when Python looks for them by itself is no matter of growth."""
    gc.collect()
    return psutil.Process().memory_info().rss, sys.getallocatedblocks()


def _a_day(hours: Sequence[int]) -> float:
    """The slope of a line through the hours."""
    return statistics.linear_regression(range(len(hours)), hours).slope * 24


class Sink(CollectorDouble):
    """A server that takes what comes and keeps nothing of it; ``away`` refuses."""

    away = False

    def take(self, push: Pushed) -> Reply:
        return Reply(status=500) if self.away else Reply()


def agent() -> Row:
    """The agent's rooms, in this process."""
    clock = MovedClock()
    with tempfile.TemporaryDirectory(prefix="xiaotong-week-") as folder, closing(Sink()) as sink:
        file = Path(folder) / "agent.yaml"
        file.write_text(AGENT.replace("DIRECTORY", folder))
        week = AgentWeek(load_settings(file), clock, sink.url)
        hours = []
        for hour in range(24 * DAYS):
            sink.away = hour % 24 in AWAY_HOURS
            for _ in range(60):
                week.minute()
            hours.append(_hour())
        week.close()
    return Row("agent", week.pushes, week.points, hours)


class AgentWeek:
    """An agent whose threads are called one after the other."""

    def __init__(self, loaded: LoadedSettings, clock: MovedClock, url: str) -> None:
        settings, stop = loaded.settings, Moving(clock)
        self.pushes = self.points = 0
        self._clock = clock
        self._spool = Spool(loaded.state_directory, settings.spool, clock, "boot")
        self._reporter = Reporter(self._take, clock, settings.runner.report_every)
        self._runner = Runner(clock, stop)
        site = loaded.site()
        self._jobs = [_shortened(job_of(each, site, settings.runner.deadline)) for each in loaded.probes]
        self._vitals = Vitals(self._spool, clock, site.proc, "boot")
        self._link = Link(url, Secret("token"), 5.0)
        self._push = Push(
            spool=self._spool, link=self._link, settings=settings.push, clock=clock, boot_id="boot", stop=stop
        )
        self._push_due_ns = 0

    def minute(self) -> None:
        """Measure, and send what is there."""
        for job in self._jobs:
            self._reporter.report(self._runner.run(job), continuous=True)
        self._take([encode(self._vitals.point())])
        self._spool.turn()
        while self._clock.monotonic_ns() >= self._push_due_ns:
            pause = self._push.step()
            self.pushes += pause is not None
            if pause is None:
                break
            self._push_due_ns = self._clock.monotonic_ns() + round(pause * NS)
            if pause < 1.0:
                self._clock.move(pause)
        self._spool.turn()

    def close(self) -> None:
        """Close what is open."""
        self._link.close()
        self._spool.close()

    def _take(self, lines: Sequence[str]) -> None:
        self.points += len(lines)
        self._spool.add(lines)


def _shortened(job: Job) -> Job:
    """Pings wait for the kernel, so no clock can be moved under them."""
    return msgspec.structs.replace(job, window_seconds=PING_SECONDS) if job.name == "ping" else job


def collector() -> Row:
    """The collector's rooms, in this process."""
    from collector.server import GC_THRESHOLD  # noqa: PLC0415
    from tests.collector.running import running, settings_in  # noqa: PLC0415
    from tests.fleet.county import enrol  # noqa: PLC0415

    gc.set_threshold(*GC_THRESHOLD)
    clock = MovedClock()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xiaotong-week-")))
        agents = enrol(f"sqlite:///{folder}/registry.db", SCHOOLS)
        settings = settings_in(
            folder,
            store={"raw": 2 * 86400.0},
            ingest={"spool_limit": 86400.0},
            verdicts={"plans": ["shandan"]},
        )
        found = stack.enter_context(running(settings, clock))
        wire = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", found.port, timeout=30)))
        hours, pushes, points = [], 0, 0
        for _ in range(24 * DAYS):
            for minute in range(60):
                for each in agents:
                    points += _spoken(wire, each, clock.wall_ns())
                    pushes += 1
                clock.move(60.0)
                if minute % 10 == 9:
                    _tick(found.rooms)
            found.settle()
            hours.append(_hour())
    return Row("collector", pushes, points, hours)


def _spoken(wire: http.client.HTTPConnection, each: Agent, now_ns: int) -> int:
    """A minute of a school: its push and a heartbeat; gives the points."""
    batch = each.record(now_ns)
    told = dict(line.split(": ", 1) for line in each.headers(batch, now_ns).splitlines())
    authorization = {"Authorization": told["Authorization"]}
    for path, body, head in ((WRITE, batch.body, told), (HEARTBEAT, each.heartbeat(now_ns), authorization)):
        wire.request("POST", path, body, head)
        answer = wire.getresponse()
        answer.read()
        assert answer.status in (200, 204), answer.status
    return batch.points


def _tick(rooms: Rooms) -> None:
    """What tickers do by themselves, by the moved clock."""
    for room in (rooms.verdicts, rooms.enrolment, rooms.access, rooms.uptime, rooms.incidents, rooms.board):
        room.tick()
    rooms.registry.flush_seen()
    rooms.ingest.save()
