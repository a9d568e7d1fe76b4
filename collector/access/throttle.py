"""Waits after wrong passwords, for one place and one user: no account is ever locked for its owner elsewhere.

A place is the browser, where it is one that the user has logged in from before (its cookie says so), else
the address, of IPv6 its /64. So those who share an address with a user, a school's pupils with its admin,
cannot make him wait at his own computer either.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict
from typing import NamedTuple

from collector.access.settings import PasswordSettings
from config.clock import Clock

MAX_PLACES = 20_000
NS = 10**9


class _Misses(NamedTuple):
    number: int
    until_ns: int


class Throttle:
    """Counts wrong passwords in memory. Safe to share between threads."""

    def __init__(self, settings: PasswordSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._misses: OrderedDict[tuple[str, str], _Misses] = OrderedDict()
        self._lock = threading.Lock()

    def wait_seconds(self, place: str, user: str) -> int:
        """How long the next try has to wait, 0 when it may come now."""
        with self._lock:
            misses = self._misses.get((place, user))
        if misses is None:
            return 0
        return max(0, math.ceil((misses.until_ns - self._clock.monotonic_ns()) / NS))

    def missed(self, place: str, user: str) -> None:
        """A wrong password."""
        limits = self._settings
        with self._lock:
            number = self._misses.pop((place, user), _Misses(0, 0)).number + 1
            over = number - limits.free_tries
            wait = 0.0 if over < 0 else min(limits.longest_wait, limits.first_wait * 2.0 ** min(over, 40))
            until_ns = self._clock.monotonic_ns() + round(wait * NS)
            self._misses[(place, user)] = _Misses(number, until_ns)
            while len(self._misses) > MAX_PLACES:
                self._misses.popitem(last=False)

    def hit(self, place: str, user: str) -> None:
        """The right password: what was missed before is forgotten."""
        with self._lock:
            self._misses.pop((place, user), None)


def place_of(address: str) -> str:
    """An address as a place: one household or school has a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
