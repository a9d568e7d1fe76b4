"""Carries batches from the journal to the store and to those who listen."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import msgspec

from collector.batch import Batch, decode_batch
from collector.failures import Failures, is_away
from collector.ingest.journal import Journal
from collector.ingest.set_aside import Reason, Refused, SetAside
from collector.store.interface import Store, StoreUnavailable
from config.clock import Clock
from config.points import Point

log = logging.getLogger(__name__)

GROUP_BYTES = 4 * 1024 * 1024
WAIT_SECONDS = 0.5
WAIT_BEHIND_SECONDS = 0.05
GATHER_SECONDS = 0.05
"""Between two groups that are small: what comes meanwhile shares one write and one sync of the store."""
MUCH_BYTES = 4 * GROUP_BYTES
"""A journal that holds so much when the collector starts is taken as a backlog: new points go first."""
AWAY_SECONDS = 5.0
"""A store that refused for longer was away; what came meanwhile is a backlog."""
LISTENER_ATTEMPTS = 3
LISTENER_WAIT_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0


class Listener(Protocol):
    """One who hears of every point after it was stored, at least once, from the consumer's thread."""

    def on_points(self, school_id: str, points: Sequence[Point]) -> None:
        """Points of one school. Must return soon. When it raises because a database is away it is told again,
        a few times; then the points go on, and at once when it raises anything else.
        """
        ...


Hears: TypeAlias = Callable[[str, Mapping[str, str]], bool]
"""Whether a listener looks at the points of a series, by its measurement and tags."""


class ConsumerCounts(msgspec.Struct):
    """Since the collector started."""

    points: int = 0
    batches: int = 0
    unreadable: int = 0
    store_failures: int = 0
    store_writes: int = 0
    store_seconds: float = 0.0


class Consumer:
    """One thread: journal → store → listeners, and the store's upkeep between."""

    def __init__(
        self,
        journal: Journal,
        store: Store,
        *,
        set_aside: SetAside,
        clock: Clock,
        upkeep_every_seconds: float,
        catch_up_bytes_per_second: float = math.inf,
        promise: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """``promise`` hears within how many seconds the thread will be back."""
        self.counts = ConsumerCounts()
        self.failures = Failures("listener")
        self._journal = journal
        self._store = store
        self._set_aside = set_aside
        self._clock = clock
        self._upkeep_every_seconds = upkeep_every_seconds
        self._listeners: list[Listener] = []
        self._hears: list[Hears] = []
        self._settle: list[Callable[[], None]] = []
        self._promise = promise
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)
        self._upkeep_due = 0.0
        self._in_round = False
        self._came_back = False
        self._catch_up_rate = min(catch_up_bytes_per_second, float(GROUP_BYTES) * 1000)
        self._catch_up_due = 0.0

    def add_listener(
        self, listener: Listener, hears: Hears | None = None, settle: Callable[[], None] | None = None
    ) -> None:
        """Tell ``listener`` of every point from now on, but of series that nobody ``hears``. ``settle`` is
        called once after each group of batches, before these leave the journal. Call it before ``start``.
        """
        self._listeners.append(listener)
        self._hears.append(hears or _everything)
        if settle is not None:
            self._settle.append(settle)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the group at hand, then end. What is left is in the journal. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if self._journal.waiting_bytes() > MUCH_BYTES:
            self._journal.leave_behind()
        while not self._stop.is_set():
            self._promise(WAIT_SECONDS)
            bodies = self._journal.read(GROUP_BYTES, self._wait_seconds())
            if not self._take(bodies, self._journal.taken):
                return
            if bodies and sum(map(len, bodies)) < GROUP_BYTES / 4:
                self._stop.wait(GATHER_SECONDS)
            if self._came_back:
                self._came_back = False
                self._journal.leave_behind()
            if self._journal.is_behind() and not self._catch_up():
                return
            self._upkeep()

    def _wait_seconds(self) -> float:
        if self._in_round:
            return 0
        return WAIT_BEHIND_SECONDS if self._journal.is_behind() else WAIT_SECONDS

    def _take(self, bodies: list[bytes], taken: Callable[[], None]) -> bool:
        """Store a group and tell of it. False when the collector stops before the store took it."""
        batches = [batch for batch in map(self._decoded, bodies) if batch is not None]
        if batches and not self._stored(batches):
            return False
        self._tell(batches)
        taken()
        return True

    def _catch_up(self) -> bool:
        """A piece of what was left behind, when the rate allows it. False as ``_take``."""
        now = time.monotonic()
        if now < self._catch_up_due:
            return True
        bodies = self._journal.read_behind(min(GROUP_BYTES, max(1, round(self._catch_up_rate))))
        self._catch_up_due = now + sum(map(len, bodies)) / self._catch_up_rate
        return not bodies or self._take(bodies, self._journal.taken_behind)

    def _decoded(self, body: bytes) -> Batch | None:
        try:
            return decode_batch(body)
        except msgspec.DecodeError as error:
            self.counts.unreadable += 1
            log.warning("batch unreadable bytes=%d reason=%s", len(body), error)
            return None

    def _stored(self, batches: list[Batch]) -> bool:
        """Write until the store takes it. False when the collector stops first."""
        backoff = 0.5
        begin = time.monotonic()
        while True:
            try:
                began = time.perf_counter()
                self._write(batches)
            except StoreUnavailable as error:
                self.counts.store_failures += 1
                log.warning("store unavailable retry_seconds=%.1f reason=%s", backoff, error)
            else:
                self.counts.store_seconds += time.perf_counter() - began
                self.counts.store_writes += 1
                self._came_back = time.monotonic() - begin > AWAY_SECONDS
                return True
            self._promise(backoff)
            if self._stop.wait(backoff):
                return False
            backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    def _write(self, batches: list[Batch]) -> None:
        """Write a group; a batch that the store can never take is set aside, the others land."""
        try:
            self._store.write(batches)
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(batches) > 1:
                for batch in batches:
                    self._write([batch])
                return
            log.exception("batch set aside agent=%s points=%d", batches[0].agent_id, len(batches[0]))
            refused = [Refused(0, Reason.STORE, str(error), str(point)) for point in batches[0].points()]
            self._set_aside.put(batches[0].agent_id, refused)

    def _tell(self, batches: list[Batch]) -> None:
        for batch in batches:
            points = list(batch.points(self._heard))
            self.counts.batches += 1
            self.counts.points += len(batch)
            for listener in self._listeners if points else ():
                self._tell_one(listener, batch.school_id, points)
        for settle in self._settle:
            part = f"settle={settle.__qualname__}"
            try:
                self._patiently(part, settle)
            except Exception:
                log.exception("listener failed %s", part)

    def _heard(self, measurement: str, tags: Mapping[str, str]) -> bool:
        return any(hears(measurement, tags) for hears in self._hears)

    def _tell_one(self, listener: Listener, school_id: str, points: Sequence[Point]) -> None:
        """What a listener cannot take of a school holds up no other."""
        part = f"listener={type(listener).__name__}"
        try:
            self._patiently(part, partial(listener.on_points, school_id, points))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told)
            self.failures.begin(school_id, part, error)
        else:
            self.failures.end(school_id, part)

    def _patiently(self, part: str, tell: Callable[[], None]) -> None:
        """Again, a few times, when a database is away: it may be busy for a moment."""
        for attempt in range(1, LISTENER_ATTEMPTS):
            try:
                tell()
            except Exception as error:
                if not is_away(error):
                    raise
                reason = getattr(error, "orig", error)
                log.warning("listener waits %s attempt=%d reason=%s", part, attempt, reason)
                self._stop.wait(LISTENER_WAIT_SECONDS)
            else:
                return
        tell()

    def _upkeep(self) -> None:
        """One step when a round is due, so that new points never wait long."""
        if time.monotonic() < self._upkeep_due:
            return
        try:
            self._in_round = self._store.maintain(self._clock.wall_ns())
        except StoreUnavailable as error:
            self.counts.store_failures += 1
            log.warning("upkeep put off reason=%s", error)
            self._in_round = False
        if not self._in_round:
            self._upkeep_due = time.monotonic() + self._upkeep_every_seconds


def _everything(_measurement: str, _tags: Mapping[str, str]) -> bool:
    return True
