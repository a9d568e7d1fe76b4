"""A browser's test while it runs: two loads, their streams, and what moved. Lives in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from collector.terminals import kernel
from collector.terminals.meter import Meter
from collector.terminals.settings import TerminalSettings
from collector.terminals.whereabouts import Caller

Direction: TypeAlias = Literal["down", "up"]

SAMPLE_SECONDS = 0.1
GRACE_SECONDS = 2.0
"""A browser ends a load by its own clock; after this much more the collector does."""
IDLE_SECONDS = 30.0
"""For what of a test is no load: opening, round trips, telling the end."""
SPARE_STREAMS = 2
"""A browser may open the next upload before the collector has seen the end of the last."""


class TooMuch(Exception):
    """A stream more than the test may have: its time is over, its bytes are spent, or too many are open."""


class Stream:
    """One connection that carries load. ``moved`` is what was handed over or came."""

    def __init__(self, direction: Direction, sock: Any) -> None:
        self.moved = 0
        self._sock = sock if direction == "down" else None
        self._seen = kernel.ask(self._sock) if self._sock is not None else None
        self._before = self._seen.acknowledged_bytes if self._seen else 0
        self.connection = self._seen

    @property
    def counted_by_kernel(self) -> bool:
        """Down only: up the bytes that came are the count."""
        return self._seen is not None

    def count(self) -> int:
        """Bytes that arrived: acknowledged ones, else those handed over."""
        if self._seen is None:
            return self.moved
        self._seen = self.connection = kernel.ask(self._sock) or self._seen
        return min(self._seen.acknowledged_bytes - self._before, self.moved)


class Load:
    """One direction of a test."""

    def __init__(self, direction: Direction, settings: TerminalSettings) -> None:
        self.meter = Meter()
        self.connection: kernel.Connection | None = None
        self.counted_by_kernel = False
        self._direction = direction
        self._settings = settings
        self._open: set[Stream] = set()
        self._done = 0
        self._handed = 0
        self._ends: float | None = None
        self._watch: asyncio.Task[None] | None = None

    @contextmanager
    def stream(self, sock: Any) -> Iterator[Stream]:
        """A connection that carries load from now on. Raises TooMuch."""
        now = time.monotonic()
        if self._ends is None:
            self._ends = now + self._settings.load + GRACE_SECONDS
        if not self.left() or len(self._open) >= self._settings.streams + SPARE_STREAMS:
            raise TooMuch
        stream = Stream(self._direction, sock)
        self._open.add(stream)
        self.connection = self.connection or stream.connection
        self.counted_by_kernel = stream.counted_by_kernel
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._sample())
        try:
            yield stream
        finally:
            self._open.discard(stream)
            self._done += stream.count()
            self._handed += stream.moved

    def left(self) -> int:
        """Bytes that may still move; 0 when the time is over."""
        if self._ends is None or time.monotonic() >= self._ends:
            return 0
        moved = self._handed + sum(stream.moved for stream in self._open)
        return max(0, self._settings.max_bytes - moved)

    @property
    def seconds_left(self) -> float:
        """Of the time that the load may last."""
        return 0.0 if self._ends is None else max(0.0, self._ends - time.monotonic())

    @property
    def is_open(self) -> bool:
        """True while a stream moves bytes."""
        return bool(self._open)

    async def _sample(self) -> None:
        while self._open:
            counted = self._done + sum(stream.count() for stream in self._open)
            self.meter.add(time.monotonic(), counted)
            self.connection = next((each.connection for each in self._open), None) or self.connection
            await asyncio.sleep(SAMPLE_SECONDS)
        self.meter.add(time.monotonic(), self._done)


class Test:
    """One browser's test. ``id`` is random and known to that browser; its address must stay the same."""

    __test__ = False

    def __init__(self, test_id: str, school_id: str, caller: Caller, place: str, settings: TerminalSettings):
        self.id = test_id
        self.school_id = school_id
        self.caller = caller
        self.place = place
        self.loads: dict[Direction, Load] = {"down": Load("down", settings), "up": Load("up", settings)}
        self._ends = time.monotonic() + 2 * (settings.load + GRACE_SECONDS) + IDLE_SECONDS

    @property
    def seconds_left(self) -> float:
        """Until it is given up, finished or not."""
        return max(0.0, self._ends - time.monotonic())
