"""Counts wrong codes: each address has a few, then waits; whoever was never wrong never waits."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque

from collector.enrolment.settings import EnrolmentSettings
from config.clock import Clock

MINUTE_SECONDS = 60.0
IPV6_PREFIX = 64
"""One customer has at least a /64 to guess from."""


class TooManyGuesses(Exception):
    """An address that has to wait."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__("too many wrong codes; wait")
        self.wait_seconds = wait_seconds


class Guesses:
    """A bucket of tries for each address, and a window over all that were wrong. Safe between threads."""

    def __init__(self, settings: EnrolmentSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._wrong: deque[float] = deque(maxlen=settings.guesses_in_all)

    def wait_seconds(self, address: str) -> float:
        """How long this address has to wait before its code is looked at; 0 when it need not."""
        now = self._now()
        with self._lock:
            spent = self._spent_by(bucket_of(address), now)
            own = (spent - self._settings.guesses_per_address + 1) * self._settings.guess_pause
            if spent > 0 and self._is_crowded(now):
                own = max(own, spent * float(self._settings.guess_pause))
        return max(0.0, own)

    def wrong(self, address: str) -> None:
        """This address brought a code that opens nothing."""
        now, bucket = self._now(), bucket_of(address)
        with self._lock:
            self._spent[bucket] = (self._spent_by(bucket, now) + 1, now)
            self._spent.move_to_end(bucket)
            while len(self._spent) > self._settings.addresses_remembered:
                self._spent.popitem(last=False)
            self._wrong.append(now)

    def _spent_by(self, bucket: str, now: float) -> float:
        """Tries that count against it: one is forgiven each ``guess_pause``."""
        spent, at = self._spent.get(bucket, (0.0, now))
        left = spent - (now - at) / max(1e-3, float(self._settings.guess_pause))
        return left if left > 1e-9 else 0.0

    def _is_crowded(self, now: float) -> bool:
        full = len(self._wrong) == self._wrong.maxlen
        return full and now - self._wrong[0] < MINUTE_SECONDS

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def bucket_of(address: str) -> str:
    """Who counts as one: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
