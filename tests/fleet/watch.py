"""Looks on while a fleet runs: the collector's weight, how late live points show, how late verdicts come."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sqlite3
import time
from typing import NamedTuple

from tests.fleet.agents import NS, Agent, Batch
from tests.fleet.county import Collector

LOOK_SECONDS = 0.25
SAMPLE_SECONDS = 2.0
FLIP_SECONDS = 45.0


class Sample(NamedTuple):
    """The collector at one moment of the run."""

    seconds: float
    cpu_seconds: float
    rss_bytes: int
    journal_bytes: float


class Watch:
    """Of some schools: each live point until the store shows it; each change of a port until the verdict."""

    def __init__(self, collector: Collector, watched: list[Agent]) -> None:
        self.samples: list[Sample] = []
        self.point_seconds: list[float] = []
        self.verdict_seconds: list[float] = []
        self._collector = collector
        self._watched = {agent.school: agent for agent in watched}
        self._points: dict[str, tuple[int, float]] = {}
        self._numbers: dict[str, int] = {}
        self._flipped: dict[str, float] = {}
        self._began = time.monotonic()

    def on_live(self, agent: Agent, batch: Batch) -> None:
        """A live push of a watched school was acknowledged."""
        if agent.school not in self._watched:
            return
        measured_ns = batch.wall_ns - agent.skew_ns
        self._points.setdefault(agent.school, (measured_ns, measured_ns / NS))
        if self._flipped.get(agent.school, 0.0) == -1.0 and _has_port(batch):
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
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(sqlite3.Error):
                await asyncio.to_thread(self._look_once)
            await asyncio.sleep(LOOK_SECONDS)

    def _look_once(self) -> None:
        data = self._collector.folder / "data"
        with contextlib.closing(_read_only(str(data / "points.db"))) as store:
            for school, (measured_ns, measured) in list(self._points.items()):
                newest = store.execute(_NEWEST, (school,)).fetchone()[0]
                if newest is not None and newest >= measured_ns - NS // 1000:
                    self.point_seconds.append(time.time() - measured)
                    del self._points[school]
        with contextlib.closing(_read_only(str(data / "registry.db"))) as registry:
            for school, flipped in list(self._flipped.items()):
                number = registry.execute(_NUMBER, (school,)).fetchone()[0] or 0
                if flipped > 0 and number > self._numbers.get(school, 0):
                    self.verdict_seconds.append(time.time() - flipped)
                    del self._flipped[school]
                self._numbers[school] = number

    async def _flip(self) -> None:
        """Ports renegotiate, up and down: each changes a verdict."""
        while True:
            await asyncio.sleep(FLIP_SECONDS)
            for school, agent in self._watched.items():
                slow = agent.port_bits_per_second == 100_000_000
                agent.port_bits_per_second = 1_000_000_000 if slow else 100_000_000
                self._flipped[school] = -1.0


_NEWEST = (
    "SELECT max(time_ns) FROM raw_probe JOIN series ON series.id = series_id "
    "WHERE school = ? AND measurement = 'probe'"
)
_NUMBER = "SELECT max(number) FROM standings WHERE school_id = ? AND target = 'uplink_port'"


def _has_port(batch: Batch) -> bool:
    return b"role=line" in gzip.decompress(batch.body)


def _read_only(file: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)
