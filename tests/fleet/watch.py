"""Looks on while a fleet runs: the collector's weight, how late live points show, how late verdicts come."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.fleet.agents import NS, PROBES, Agent, Batch
from tests.fleet.county import Collector

LOOK_SECONDS = 0.25
SAMPLE_SECONDS = 10.0
FLIP_SECONDS = 45.0


class Sample(NamedTuple):
    """The collector at one moment of the run."""

    seconds: float
    cpu_seconds: float
    rss_bytes: int
    journal_bytes: float


class Watch:
    """Of some schools: each live point until the store shows it; each change of a port until the verdict."""

    def __init__(self, collector: Collector, agents: Sequence[Agent], watched: Sequence[Agent]) -> None:
        """``watched`` are those whose ports change; of them, and of as many that come last among all, each
        live point is awaited.
        """
        self.samples: list[Sample] = []
        self.point_seconds: list[float] = []
        self.verdict_seconds: list[float] = []
        self.all_judged_seconds: float | None = None
        self.met_unproved = 0
        self._collector = collector
        self._agents = {agent.school: agent for agent in agents}
        self._watched = {agent.school: agent for agent in watched}
        self._awaited = {*self._watched, *(agent.school for agent in agents[-len(watched) :])}
        self._series: dict[str, list[int]] = {}
        self._points: dict[str, tuple[int, float]] = {}
        self._numbers: dict[str, int] = {}
        self._flipped: dict[str, float] = {}
        self._began = time.monotonic()

    def on_live(self, agent: Agent, batch: Batch) -> None:
        """A live push of a watched school was acknowledged."""
        if agent.school not in self._awaited:
            return
        measured_ns = batch.wall_ns - agent.skew_ns
        self._points.setdefault(agent.school, (measured_ns, measured_ns / NS))
        if self._flipped.get(agent.school, 0.0) == -1.0 and batch.has_port:
            self._flipped[agent.school] = measured_ns / NS

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._sample(), self._look(), self._flip())

    async def _sample(self) -> None:
        while True:
            cpu, rss = self._collector.usage()
            with contextlib.suppress(OSError):
                waiting = await asyncio.to_thread(self._collector.metric, "journal_waiting_bytes")
                self.samples.append(Sample(time.monotonic() - self._began, cpu, rss, waiting))
            with contextlib.suppress(sqlite3.Error):
                await asyncio.to_thread(self._count_judged)
            await asyncio.sleep(SAMPLE_SECONDS)

    def _count_judged(self) -> None:
        """When every school had a verdict; and any that is met of which no port was ever told."""
        data = self._collector.folder / "data"
        with contextlib.closing(_read_only(str(data / "registry.db"))) as registry:
            if self.all_judged_seconds is None:
                (judged,) = registry.execute("SELECT count(DISTINCT school_id) FROM standings").fetchone()
                if judged == len(self._agents):
                    self.all_judged_seconds = time.monotonic() - self._began
            met = registry.execute("SELECT school_id FROM standings WHERE answer = 'met'").fetchall()
        unproved = {school for (school,) in met if not self._agents[school].has_told_port}
        self.met_unproved = max(self.met_unproved, len(unproved))

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(sqlite3.Error):
                await asyncio.to_thread(self._look_once)
            await asyncio.sleep(LOOK_SECONDS)

    def _look_once(self) -> None:
        data = self._collector.folder / "data"
        with contextlib.closing(_read_only(str(data / "points.db"))) as store:
            for school, (measured_ns, measured) in list(self._points.items()):
                if self._is_shown(store, school, measured_ns - NS // 1000):
                    self.point_seconds.append(time.time() - measured)
                    del self._points[school]
        with contextlib.closing(_read_only(str(data / "registry.db"))) as registry:
            for school, flipped in list(self._flipped.items()):
                number = registry.execute(_NUMBER, (school,)).fetchone()[0] or 0
                if flipped > 0 and number > self._numbers.get(school, 0):
                    self.verdict_seconds.append(time.time() - flipped)
                    del self._flipped[school]
                self._numbers[school] = number

    def _is_shown(self, store: sqlite3.Connection, school: str, since_ns: int) -> bool:
        series = self._series.get(school, [])
        if len(series) < PROBES:
            series = self._series[school] = [row[0] for row in store.execute(_SERIES, (school,))]
        return any(store.execute(_POINT, (each, since_ns)).fetchone() for each in series)

    async def _flip(self) -> None:
        """Ports renegotiate, up and down: each changes a verdict."""
        while True:
            await asyncio.sleep(FLIP_SECONDS)
            for school, agent in self._watched.items():
                slow = agent.port_bits_per_second == 100_000_000
                agent.port_bits_per_second = 1_000_000_000 if slow else 100_000_000
                self._flipped[school] = -1.0


_SERIES = "SELECT id FROM series WHERE school = ? AND measurement = 'probe'"
_POINT = "SELECT 1 FROM raw_probe WHERE series_id = ? AND time_ns >= ? LIMIT 1"
_NUMBER = "SELECT max(number) FROM standings WHERE school_id = ? AND target = 'uplink_port'"


def _read_only(file: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)
