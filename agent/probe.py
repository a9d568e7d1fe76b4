"""What a probe is: the types that every file in ``agent/probes`` speaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from config.clock import Clock
from config.points import Point
from config.school import School


class NoData(Exception):
    """There is nothing to measure here, or a privilege is missing: *unknown*, with this reason."""


class ProbeFailed(Exception):
    """The measurement was tried and failed, with this reason."""


class Site(msgspec.Struct, frozen=True):
    """Where an agent stands, what it is told about the school, and where the kernel's files are.

    ``stands_on`` is ``gateway`` (sees every line and all traffic) or ``lan`` (a true client behind it).
    ``settings_directory`` is where paths in settings are relative to.
    ``credential`` gives the token of the moment, which the agent replaces now and then: ask ``token()``.
    ``devices`` are those that the snmp probe of this host polls, as its settings have them: the counters of
    their ports tell what a line moved.
    ``collector_url`` is None when the agent runs alone (``xiaotong-agent check`` before enrolment).
    """

    school: School
    stands_on: str = "gateway"
    collector_url: str | None = None
    collector_token: str | None = None
    collector_ca_file: Path | None = None
    credential: Callable[[], str] | None = None
    state_directory: Path | None = None
    settings_directory: Path = Path()
    devices: tuple[Any, ...] = ()
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")

    def token(self) -> str | None:
        """The agent's token as it is now; None before enrolment."""
        return self.credential() if self.credential is not None else self.collector_token


class Run:
    """One run of a probe: its clocks, its deadline, and how long a watching probe shall watch.

    The caller owns all three; a probe asks ``remaining_seconds()`` and waits only through ``wait()``. One
    that found what people must hear of within seconds sets ``urgent``: its points are then sent at once.
    """

    def __init__(
        self, *, clock: Clock, stop: threading.Event, deadline_seconds: float, window_seconds: float
    ) -> None:
        self.clock = clock
        self.window_seconds = window_seconds
        self.urgent = False
        self._stop = stop
        self._deadline_ns = clock.monotonic_ns() + round(deadline_seconds * 1e9)

    @property
    def stopped(self) -> bool:
        """True once the agent shuts down: return what is known by now, soon."""
        return self._stop.is_set()

    def remaining_seconds(self) -> float:
        """Seconds until the deadline, never below 0."""
        return max(0.0, (self._deadline_ns - self.clock.monotonic_ns()) / 1e9)

    def wait(self, seconds: float) -> bool:
        """Wait so long, at most until the deadline. False when the agent shuts down meanwhile."""
        return not self._stop.wait(min(max(0.0, seconds), self.remaining_seconds()))


class Probe(Protocol):
    """One measurement. A module in ``agent/probes`` holds exactly one and these names:

    ``HELP``: one line. ``PROVES``: ``{"gateway": …, "lan": …}``, what it can prove from each place.
    ``CONTINUOUS``: True when it watches all the time, window after window, in a thread of its own; False when
    the schedule starts it. ``Settings``: a frozen msgspec Struct with ``forbid_unknown_fields``, the default
    of every field, and (not continuous) ``every: Seconds``; continuous ones have ``window: Seconds``.
    ``build(settings, site) -> Probe``.
    """

    def measure(self, run: Run) -> Iterable[Point]:
        """Measure once and give the points. Raises NoData or ProbeFailed; anything else is a bug, caught and
        told by the runner. State between runs is the probe's own.
        """
        ...


ProbeSettings = Any
