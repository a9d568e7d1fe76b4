"""What a line can carry: one TCP test for each direction and family against the collector's responder."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import msgspec

from agent.capacity.exchange import Exchange
from agent.capacity.order import Wanted, ask
from agent.capacity.outcome import Options, Progress, TooBusy
from agent.capacity.report import failed_point, point_of
from agent.capacity.wire import Direction, Family
from agent.lines import line_interfaces
from agent.probe import NoData, Probe, ProbeFailed, Run, Site
from config.points import Point
from config.settings import SettingsError
from config.units import BitsPerSecond, Seconds

HELP = "Capacity of the school's lines: down and up, IPv4 and IPv6, against the collector's responder"
PROVES = {
    "gateway": "what a line carries, users' traffic included, when its own counter saw the test",
    "lan": "what reaches a client in the LAN: shown; the line's counter is not readable from here",
}
CONTINUOUS = False
HOURS = "outside_school"
"""Unless settings say otherwise, no test takes the line from a lesson."""
LOADS_LINE = True
"""Nothing else is measured beside a test: it would measure the test."""

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]

LEAST_SECONDS = 15.0
"""A test is not begun with less time left than that."""

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How capacity is tested."""

    every: Seconds = Seconds(86400)
    """Time between two runs."""
    mode: Literal["search", "verify"] = "search"
    """``search``: how much can the line do; ``verify``: does it reach ``rate``."""
    rate: BitsPerSecond | None = None
    """The nominal rate that a verify run asks about."""
    max_rate: BitsPerSecond | None = BitsPerSecond(10**10)
    """The most that a search goes to; bounds its bytes too."""
    directions: tuple[Direction, ...] = ("down", "up")
    """Seen from the school."""
    families: tuple[Family, ...] = ("ipv4", "ipv6")
    """Each is forced, never silently the other."""
    lines: tuple[str, ...] = ()
    """Ids of lines to bind tests to, each in turn; none: one test, as the host routes it."""
    responder: str | None = None
    """Id of the far end; absent: the collector's own."""
    streams: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """At most so many TCP streams; absent: as the ticket says."""
    congestion_control: str | None = None
    """Of whoever sends; absent: the sending host's own."""
    reached_from: Share = 0.95
    """A nominal rate counts as reached from this part of it on, at the IP layer."""
    cpu_limit: Share = 0.85
    """With a core busier than this at either end a result is limited by that end; 1 turns it off."""
    busy_cpu: Share = 0.30
    """With a core busier than this before a test it is tried again, then skipped."""
    full: Share = 0.80
    """The same, when users alone fill this part of the line."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    """How often in all."""
    retry_pause: Seconds = Seconds(5)
    """Pause between tries."""


def build(settings: Settings, site: Site) -> Probe:
    """The probe. Raises SettingsError for settings that contradict each other or the school."""
    return Capacity(settings, site)


class Capacity:
    """Runs the tests one after the other: one at a time on a path (RFC 9097)."""

    def __init__(
        self, settings: Settings, site: Site, show: Callable[[Wanted, Progress], None] | None = None
    ) -> None:
        _refuse_contradictions(settings, site)
        self._settings = settings
        self._site = site
        self._show = show

    def measure(self, run: Run) -> list[Point]:
        """A point a test. What gave nothing is a point that says why, unless nothing gave anything."""
        points: list[Point] = []
        failures: list[tuple[Wanted, NoData | ProbeFailed, int]] = []
        for wanted in self._tests():
            at_ns = run.clock.wall_ns()
            try:
                points.append(self._tested(wanted, run))
            except (NoData, ProbeFailed) as error:
                log.info("capacity test gave nothing %s reason=%s", _words(wanted), error)
                failures.append((wanted, error, at_ns))
        if not points and failures:
            raise _worst([error for _, error, _ in failures])
        return points + [
            failed_point(wanted, wanted.responder or "", str(error), at_ns)
            for wanted, error, at_ns in failures
        ]

    def _tests(self) -> Iterator[Wanted]:
        settings = self._settings
        lines: Sequence[str | None] = settings.lines or (None,)
        rate = None if settings.max_rate is None else int(settings.max_rate)
        if settings.mode == "verify" and settings.rate is not None:
            rate = round(settings.rate * settings.reached_from)
        for line, family, direction in itertools.product(lines, settings.families, settings.directions):
            yield Wanted(
                direction=direction,
                family=family,
                mode=settings.mode,
                line=line,
                responder=settings.responder,
                bits_per_second=rate,
            )

    def _tested(self, wanted: Wanted, run: Run) -> Point:
        for again in range(self._settings.tries - 1, -1, -1):
            try:
                return self._test(wanted, run)
            except TooBusy:
                if not again or not run.wait(self._settings.retry_pause):
                    raise
        raise AssertionError("unreachable")

    def _test(self, wanted: Wanted, run: Run) -> Point:
        if run.stopped or run.remaining_seconds() < LEAST_SECONDS:
            raise NoData(f"no time left for a test: it needs {LEAST_SECONDS:.0f} s")
        settings = self._settings
        lines = line_interfaces(self._site)
        options = Options(
            streams=settings.streams,
            congestion_control=settings.congestion_control,
            interface=_interface(lines, wanted.line),
            busy_cpu_share=settings.busy_cpu,
            full_share=settings.full,
        )
        granted = ask(self._site, wanted)
        at_ns = run.clock.wall_ns()
        outcome = Exchange(
            self._site, wanted, granted, lines=lines, run=run, options=options, show=self._shown(wanted)
        ).run()
        grant = granted[0]
        return point_of(
            wanted,
            outcome,
            responder=grant.responder.id,
            cap=grant.bits_per_second,
            at_ns=at_ns,
            cpu_limit=settings.cpu_limit,
        )

    def _shown(self, wanted: Wanted) -> Callable[[Progress], None]:
        show = self._show
        return (lambda progress: show(wanted, progress)) if show else (lambda _: None)


def _interface(lines: dict[str, str], line: str | None) -> str | None:
    if line is None:
        return None
    found = next((interface for interface, each in lines.items() if each == line), None)
    if found is None:
        raise NoData(f"line {line} has no interface on this host to bind a test to")
    return found


def _worst(errors: Sequence[NoData | ProbeFailed]) -> NoData | ProbeFailed:
    """A failure before a reason for having nothing; each reason once."""
    failed = [error for error in errors if isinstance(error, ProbeFailed)]
    text = "; ".join(dict.fromkeys(str(error) for error in failed or errors))
    return ProbeFailed(text) if failed else NoData(text)


def _refuse_contradictions(settings: Settings, site: Site) -> None:
    declared = [line.id for line in site.school.lines]
    unknown = [line for line in settings.lines if line not in declared]
    checks = [
        (settings.mode == "verify" and not settings.rate, "rate: is missing; mode verify needs it"),
        (not settings.directions, "directions: is empty; allowed: down, up"),
        (not settings.families, "families: is empty; allowed: ipv4, ipv6"),
        (bool(unknown), f"lines: {', '.join(unknown)} is no line; allowed: {', '.join(declared) or 'none'}"),
    ]
    for wrong, text in checks:
        if wrong:
            raise SettingsError(f"key probes.capacity.{text}")


def _words(wanted: Wanted) -> str:
    return f"direction={wanted.direction} family={wanted.family} mode={wanted.mode} line={wanted.line}"
