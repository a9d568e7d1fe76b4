"""The terminals' room: who may test now, and what becomes of a result."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from collector.batch import Series, batch_of, encode_batch
from collector.registry import Registry
from collector.terminals import codes
from collector.terminals.records import Records
from collector.terminals.result import Result, RoundTrips, fields_of, result_of
from collector.terminals.running import Test
from collector.terminals.settings import TerminalSettings
from collector.terminals.whereabouts import Caller, Network, networks, school_at
from config.clock import Clock, SystemClock
from config.plan import Plan, TargetKind
from config.settings import SettingsError

NS = 10**9
AGENT = "browser"
"""Who measured, as the tag of the points has it; no agent is enrolled under it by its own name."""
CHUNK_BYTES = 256 * 1024
CHUNKS = 8
PLACE_CHARACTERS = 40
GUESSERS_KEPT = 4096
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Refused(Exception):
    """A test that may not be. ``why`` is a code that the page has words for."""

    def __init__(self, why: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_seconds = retry_after_seconds


class TerminalRoom:
    """Browsers' tests of every school. ``keep`` takes an encoded batch to the journal."""

    def __init__(
        self,
        registry: Registry,
        settings: TerminalSettings,
        plans: Mapping[str, Plan],
        keep: Callable[[bytes], object],
        clock: Clock | None = None,
    ) -> None:
        """Raises SettingsError for a trusted proxy that is no network."""
        self.settings = settings
        self.records = Records(registry)
        self.trusted = _trusted(settings)
        random = os.urandom(CHUNK_BYTES + CHUNKS)
        self.chunks = tuple(random[place : place + CHUNK_BYTES] for place in range(CHUNKS))
        self._registry = registry
        self._plans = plans
        self._keep = keep
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._running: dict[str, Test] = {}
        self._guesses: dict[str, deque[float]] = {}

    def begin(self, caller: Caller, code: str, place: str) -> Test:
        """A new test. Raises Refused."""
        if not self.settings.enabled:
            raise Refused("disabled")
        school_id = self.school_of(caller, code)
        now = self._now()
        address = str(caller.address)
        with self._lock:
            self._forget_ended()
            self._refuse_busy(school_id)
            self._refuse_too_many(school_id, address, now)
            test = Test(secrets.token_hex(16), school_id, caller, place[:PLACE_CHARACTERS], self.settings)
            self.records.begin(test, now, now - timedelta(seconds=self.settings.keep))
            self._running[test.id] = test
        return test

    def running(self, test_id: str, caller: Caller | None) -> Test | None:
        """The test that this caller runs; None for any other, and when its time is over."""
        with self._lock:
            self._forget_ended()
            test = self._running.get(test_id)
        same = test is not None and caller is not None and test.caller.address == caller.address
        return test if same else None

    def finish(self, test: Test, told: RoundTrips) -> Result:
        """What came of it, written down and on its way to evidence. Raises JournalFull."""
        with self._lock:
            if self._running.pop(test.id, None) is None:
                raise Refused("ended")
        result = result_of(test, told)
        now = self._now()
        self.records.finish(test.id, result, now)
        if result.down_bits_per_second or result.up_bits_per_second:
            self._keep(self._batch(test, result, now))
        return result

    def school_of(self, caller: Caller, code: str) -> str:
        """By the code where one is given, else by the address. Raises Refused."""
        if not code.strip():
            found = school_at(caller.address, self._registry.schools())
            if found is None:
                raise Refused("no_school")
            return found
        self._refuse_guesser(str(caller.address))
        found = codes.school_of_code(self._registry, code)
        if found is None:
            self._count_guess(str(caller.address))
            raise Refused("wrong_code")
        return found

    def known_school(self, caller: Caller) -> str | None:
        """The school of an address."""
        return school_at(caller.address, self._registry.schools())

    def target(self) -> tuple[int, str] | None:
        """The greatest rate that a judged plan asks of terminals, bit/s, with its words; None without one."""
        asked = [
            (int(target.rate), target.quote)
            for plan in self._plans.values()
            for target in plan.targets
            if target.kind is TargetKind.TERMINAL_SPEED and target.rate
        ]
        return max(asked, default=None)

    def _refuse_busy(self, school_id: str) -> None:
        others = [test for test in self._running.values() if test.school_id == school_id]
        if others:
            raise Refused("school_busy", max(test.seconds_left for test in others))
        if len(self._running) >= self.settings.at_once:
            raise Refused("busy", min(test.seconds_left for test in self._running.values()))

    def _refuse_too_many(self, school_id: str, address: str, now: datetime) -> None:
        limits = self.settings
        counts = (
            (self.records.count_since(now - HOUR, address=address), limits.per_address, HOUR),
            (self.records.count_since(now - DAY, school_id=school_id), limits.per_school, DAY),
            (self.records.count_since(now - DAY), limits.per_day, DAY),
        )
        for count, most, span in counts:
            if count >= most:
                raise Refused("too_many", span.total_seconds() / most)

    def _refuse_guesser(self, address: str) -> None:
        guesses = self._guesses.get(address, deque())
        while guesses and guesses[0] < time.monotonic() - HOUR.total_seconds():
            guesses.popleft()
        if len(guesses) >= self.settings.code_tries:
            raise Refused("too_many", HOUR.total_seconds())

    def _count_guess(self, address: str) -> None:
        guesses = self._guesses.pop(address, deque())
        guesses.append(time.monotonic())
        self._guesses[address] = guesses
        while len(self._guesses) > GUESSERS_KEPT:
            self._guesses.pop(next(iter(self._guesses)))

    def _forget_ended(self) -> None:
        for test_id in [test.id for test in self._running.values() if not test.seconds_left]:
            del self._running[test_id]

    def _batch(self, test: Test, result: Result, now: datetime) -> bytes:
        own = {"school": test.school_id, "agent": AGENT, "family": result.family}
        time_ns = round(now.timestamp() * 1e6) * 1000
        fields = fields_of(result, str(test.caller.address), test.place)
        series = [Series("terminal_test", own)]
        return encode_batch(batch_of(test.school_id, AGENT, time_ns, series, [(0, time_ns, fields)]))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / NS, UTC)


def _trusted(settings: TerminalSettings) -> tuple[Network, ...]:
    try:
        return networks(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"key terminals.trusted_proxies: {error}") from None
