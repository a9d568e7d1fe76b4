"""Lets the agents of a fleet push and beat in their time, and keeps count of what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fleet.agents import Agent, Batch
from tests.fleet.wire import HEARTBEAT, WRITE, Answer, Connection

_EXPECTED = frozenset({200, 204, 429, 500, 503})
BACKLOG_PAUSE_SECONDS, BACKLOG_POINTS = 0.2, 2000
"""As agents pause, and send together, by default."""


@dataclass
class Pace:
    """How often agents speak."""

    seconds: float
    push_every: float = 30.0
    beat_every: float = 30.0
    connections: int = 256


@dataclass
class Counts:
    """What came of it. ``latencies`` are seconds from sending to the answer, by «live» and «backlog»."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"live": [], "backlog": [], "beat": []})
    acknowledged_points: int = 0
    acknowledged_batches: int = 0
    old_points: int = 0
    set_aside: int = 0
    resent: int = 0
    failed: int = 0
    late_seconds: float = 0.0
    """The most that this driver itself was behind: more than a second or two, and it is the bottleneck."""
    queued: int = 0
    """The most requests that waited for a free connection: more than those, and agents would be refused."""
    backlog_ended: float | None = None


class Driver:
    """One run. ``on_live`` hears of each acknowledged live push: the agent and the batch's time."""

    def __init__(
        self,
        agents: Sequence[Agent],
        ports: Sequence[int],
        pace: Pace,
        on_live: Callable[[Agent, Batch], None] = lambda _agent, _batch: None,
    ) -> None:
        self.counts = Counts()
        self._agents, self._ports, self._pace, self._on_live = agents, ports, pace, on_live
        self._chance = random.Random(7)
        self._due: list[tuple[float, int, str, Agent]] = []
        self._ticket = itertools.count()
        self._began = 0.0
        self._jobs: asyncio.Queue[tuple[str, Agent]] = asyncio.Queue()
        self._old: dict[str, Batch] = {}
        self._backlogs = sum(bool(agent.behind) for agent in agents)

    async def run(self) -> Counts:
        """Speak until the time is over and every spool is empty."""
        self._began = time.monotonic()
        for agent in self._agents:
            self._at(self._chance.uniform(0, self._pace.push_every), "live", agent)
            self._at(self._chance.uniform(0, self._pace.beat_every), "beat", agent)
            if agent.behind:
                self._at(self._chance.uniform(0, 2), "backlog", agent)
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(self._work(Connection(self._ports, number)))
                for number in range(self._pace.connections)
            ]
            await self._schedule()
            await self._jobs.join()
            for worker in workers:
                worker.cancel()
        await asyncio.sleep(0.2)  # the connections close by themselves
        return self.counts

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _at(self, seconds: float, what: str, agent: Agent) -> None:
        heapq.heappush(self._due, (seconds, next(self._ticket), what, agent))

    async def _schedule(self) -> None:
        while self._due or self._jobs._unfinished_tasks:  # type: ignore[attr-defined]
            while self._due and self._due[0][0] <= self._now():
                due, _, what, agent = heapq.heappop(self._due)
                if what != "backlog":
                    self.counts.late_seconds = max(self.counts.late_seconds, self._now() - due)
                self._begin(due, what, agent)
            self.counts.queued = max(self.counts.queued, self._jobs.qsize())
            await asyncio.sleep(0.01)

    def _begin(self, due: float, what: str, agent: Agent) -> None:
        """Measure and queue; in a line that is down what was measured waits in the spool."""
        if what == "backlog":
            self._jobs.put_nowait((what, agent))
            return
        every = self._pace.push_every if what == "live" else self._pace.beat_every
        if due + every <= self._pace.seconds or self._backlogs:
            self._at(due + every, what, agent)
        if agent.is_away(due):
            if what == "live":
                agent.keep(time.time_ns(), self._parts())
                if len(agent.behind) == 1 and agent.school not in self._old:
                    self._backlogs += 1
                    self._at(min(agent.away_to, self._pace.seconds), "backlog", agent)
            return
        self._jobs.put_nowait((what, agent))

    def _parts(self) -> int:
        return max(1, round(60 / self._pace.push_every))

    async def _work(self, connection: Connection) -> None:
        with contextlib.closing(connection):
            while True:
                what, agent = await self._jobs.get()
                try:
                    await self._do(connection, what, agent)
                finally:
                    self._jobs.task_done()

    async def _do(self, connection: Connection, what: str, agent: Agent) -> None:
        if what == "beat":
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._timed(
                    connection, what, HEARTBEAT, _beat_head(agent), agent.heartbeat(time.time_ns())
                )
        elif what == "live":
            batch = agent.record(time.time_ns(), self._parts())
            await self._deliver(connection, agent, batch)
            self._on_live(agent, batch)
        elif agent.behind or agent.school in self._old:
            await self._send_old(connection, agent)

    async def _send_old(self, connection: Connection, agent: Agent) -> None:
        """One push of what waited; what is not taken is tried again later, and what is new does not wait."""
        batch = self._old.pop(agent.school, None) or agent.oldest(BACKLOG_POINTS)
        answer = await self._tried(connection, "backlog", agent, batch)
        if answer is None or answer.status != 204:
            self._old[agent.school] = batch
            pause = (answer.retry_after if answer else 0.0) + self._chance.uniform(0, 1)
            self._at(self._now() + pause, "backlog", agent)
            return
        self._acknowledge(batch, answer)
        self.counts.old_points += batch.points
        if agent.behind:
            self._at(self._now() + BACKLOG_PAUSE_SECONDS, "backlog", agent)
            return
        self._backlogs -= 1
        if not self._backlogs:
            self.counts.backlog_ended = self._now()

    async def _tried(self, connection: Connection, what: str, agent: Agent, batch: Batch) -> Answer | None:
        """Send once; None when no answer came."""
        agent.has_told_port = agent.has_told_port or batch.has_port
        try:
            head = agent.headers(batch, time.time_ns())
            return await self._timed(connection, what, WRITE, head, batch.body)
        except (OSError, EOFError, TimeoutError):
            self.counts.failed += 1
            return None

    async def _deliver(self, connection: Connection, agent: Agent, batch: Batch) -> None:
        """Send until it is acknowledged, as agents do; some send again though they were answered."""
        failures = 0
        while (answer := await self._tried(connection, "live", agent, batch)) is None or answer.status != 204:
            failures += 1
            pause = answer.retry_after if answer else 0.0
            await asyncio.sleep(pause + self._chance.uniform(0, min(2.0, 0.05 * 2**failures)))
        self._acknowledge(batch, answer)
        if agent.resends and self._chance.random() < 0.5:
            self.counts.resent += 1
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await connection.post(WRITE, agent.headers(batch, time.time_ns()), batch.body)

    def _acknowledge(self, batch: Batch, answer: Answer) -> None:
        self.counts.acknowledged_batches += 1
        self.counts.acknowledged_points += batch.points - answer.set_aside
        self.counts.set_aside += answer.set_aside

    async def _timed(self, connection: Connection, what: str, path: str, head: str, body: bytes) -> Answer:
        began = time.monotonic()
        answer = await connection.post(path, head, body)
        self.counts.latencies[what].append(time.monotonic() - began)
        self.counts.statuses[answer.status] += 1
        if answer.status not in _EXPECTED:
            raise AssertionError(f"{path} was answered {answer.status}")
        return answer


def _beat_head(agent: Agent) -> str:
    return f"Authorization: Token {agent.token}\r\nContent-Type: application/json\r\n"
