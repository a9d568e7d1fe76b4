"""What a line can carry: one TCP test for each direction and family against the collector's responder."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from agent.capacity import iperf3
from agent.capacity.box import targets_of
from agent.capacity.exchange import Exchange
from agent.capacity.line import held
from agent.capacity.order import Due, Grant, NotNow, Wanted, ask, over
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
    "lan": "the same where the snmp probe reads the line's port on the school's router; else shown only",
}
CONTINUOUS = False
HOURS = "outside_school"
"""Unless settings say otherwise, no test takes the line from a lesson."""
LOADS_LINE = True
"""Nothing else is measured beside a test: it would measure the test."""

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]

LEAST_SECONDS = 15.0
"""A test is not begun with less time left than that."""
LEAST_LAN_SECONDS = 30.0
"""The same for a box, which waits for the router to show what the test moved."""

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How capacity is tested."""

    every: Seconds = Seconds(120)
    """Time between two runs; with mode ``due`` how often the collector is asked for a test."""
    mode: Literal["due", "search", "verify"] = "due"
    """``due``: whatever test the collector wants now, mostly none; ``search``: how much can the line do;
    ``verify``: does it reach ``rate``."""
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
    method: Literal["tcp", "iperf3"] = "tcp"
    """``tcp``: our own test with the collector's ticket; ``iperf3``: against the server below."""
    iperf3: iperf3.Server = iperf3.Server()
    """The iperf3 server, for ``method: iperf3``."""
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
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 4
    """How often in all: once, and three times again."""
    retry_pause: Seconds = Seconds(5)
    """Pause between tries."""


def build(settings: Settings, site: Site) -> Probe:
    """The probe. Raises SettingsError for settings that contradict each other or the school."""
    return Capacity(settings, site)


class Capacity:
    """Runs the tests one after the other: one at a time on a path (RFC 9097)."""

    def __init__(
        self,
        settings: Settings,
        site: Site,
        show: Callable[[Wanted, Progress], None] | None = None,
        *,
        now: bool = False,
        force: bool = False,
    ) -> None:
        """``show`` hears of progress; ``now`` and ``force`` are for a person who waits."""
        _refuse_contradictions(settings, site)
        self._settings = settings
        self._site = site
        self._show = show
        self._now = now
        self._force = force
        self._not_before = 0.0
        self._why_not = ""

    def measure(self, run: Run) -> list[Point]:
        """A point a test. What gave nothing is a point that says why, unless nothing gave anything."""
        return self._measure_due(run) if self._settings.mode == "due" else self._measure_own(run)

    def _measure_due(self, run: Run) -> list[Point]:
        """Test as long as the collector wants one and time is left. Raises NotNow when it wants none."""
        if time.monotonic() < self._not_before:
            raise NoData(self._why_not)
        points: list[Point] = []
        while not points or run.remaining_seconds() > self._least_seconds:
            try:
                points.append(self._next_due(run))
            except NotNow as refusal:
                self._hold(refusal)
                if points:
                    break
                raise
        return points

    def _hold(self, refusal: NotNow) -> None:
        """Do not ask again before the collector wants to be asked."""
        self._not_before = time.monotonic() + refusal.retry_after_seconds
        self._why_not = str(refusal)

    def _next_due(self, run: Run) -> Point:
        """The test that the collector wants; one that it wanted and that gave nothing is a point too."""
        settings, lines = self._settings, self._testable()
        families = held(settings.families)
        granted = ask(self._site, Due(families, lines, settings.responder))
        wanted = granted[0].test
        if wanted is None:
            raise ProbeFailed("the collector's ticket does not say for which test it is")
        at_ns = run.clock.wall_ns()
        try:
            return self._tested(wanted, run, granted)
        except (NoData, ProbeFailed) as error:
            log.info("capacity test gave nothing %s reason=%s", _words(wanted), error)
            return failed_point(wanted, granted[0].responder.id, error, at_ns)

    def _testable(self) -> tuple[str, ...]:
        """Ids of the lines whose counter can be read from here."""
        if self._site.stands_on == "lan":
            return tuple(dict.fromkeys(each.line for each in targets_of(self._site)))
        return tuple(line_interfaces(self._site).values())

    def _measure_own(self, run: Run) -> list[Point]:
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
            failed_point(wanted, wanted.responder or "", error, at_ns) for wanted, error, at_ns in failures
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
                mode="verify" if settings.mode == "verify" else "search",
                line=line,
                responder=settings.iperf3.id if settings.method == "iperf3" else settings.responder,
                bits_per_second=rate,
                now=self._now,
                force=self._force,
                method=settings.method,
                seconds=float(settings.iperf3.seconds) if settings.method == "iperf3" else None,
            )

    def _tested(self, wanted: Wanted, run: Run, granted: tuple[Grant, str] | None = None) -> Point:
        """One test, tried again while it is too busy here, or there is no room yet at the far end.

        ``granted``: what the first try has already. Each try has a ticket of its own, so that no pause holds
        up others.
        """
        busy: TooBusy | None = None
        for again in range(self._settings.tries - 1, -1, -1):
            try:
                return self._test(wanted, run, granted)
            except TooBusy as reason:
                busy = reason
                if not again or not run.wait(self._settings.retry_pause):
                    raise
            except NotNow as refusal:
                wait = refusal.retry_after_seconds
                hopeless = not wait or wait + self._least_seconds > run.remaining_seconds()
                if hopeless or not again:
                    raise busy or refusal from None
                until = datetime.fromtimestamp(run.clock.wall_ns() / 1e9 + wait).astimezone()
                log.warning("capacity test waits for %s until %s", refusal, f"{until:%H:%M:%S}")
                if not run.wait(wait):
                    raise busy or refusal from None
            granted = None
        raise AssertionError("unreachable")

    def _test(self, wanted: Wanted, run: Run, granted: tuple[Grant, str] | None) -> Point:
        if granted is not None:
            return self._run_granted(wanted, granted, run)
        if run.stopped or run.remaining_seconds() < self._least_seconds:
            raise NoData(f"no time left for a test: it needs {self._least_seconds:.0f} s")
        if self._settings.method == "iperf3":
            return self._run_iperf3(wanted, run)
        if self._binds:
            _interface(line_interfaces(self._site), wanted.line)
        return self._run_granted(wanted, ask(self._site, wanted), run)

    def _run_iperf3(self, wanted: Wanted, run: Run) -> Point:
        """In a slot of the collector's, where the site has one."""
        site, server = self._site, self._settings.iperf3
        if site.collector_url is None:
            return iperf3.Test(site, wanted, server).run(run)
        grant, _ = ask(site, wanted)
        test = iperf3.Test(site, wanted, server, grant)
        try:
            return test.run(run)
        finally:
            over(site, grant.test_id, test.moved_bytes)

    def _run_granted(self, wanted: Wanted, granted: tuple[Grant, str], run: Run) -> Point:
        grant = granted[0]
        at_ns = run.clock.wall_ns()
        if grant.warning:
            log.warning("capacity test warning=%r", grant.warning)
        exchange = None
        try:
            exchange = self._exchange(wanted, granted, run)
            outcome = exchange.run()
        finally:
            over(self._site, grant.test_id, exchange.moved_bytes if exchange is not None else 0)
        return point_of(
            wanted,
            outcome,
            responder=grant.responder.id,
            cap=grant.bits_per_second,
            at_ns=at_ns,
            cpu_limit=self._settings.cpu_limit,
        )

    def _exchange(self, wanted: Wanted, granted: tuple[Grant, str], run: Run) -> Exchange:
        settings, lines = self._settings, line_interfaces(self._site)
        options = Options(
            streams=settings.streams,
            congestion_control=settings.congestion_control,
            interface=_interface(lines, wanted.line) if self._binds else None,
            busy_cpu_share=settings.busy_cpu,
            full_share=settings.full,
        )
        show = self._shown(wanted)
        return Exchange(self._site, wanted, granted, lines=lines, run=run, options=options, show=show)

    @property
    def _least_seconds(self) -> float:
        return LEAST_LAN_SECONDS if self._site.stands_on == "lan" else LEAST_SECONDS

    @property
    def _binds(self) -> bool:
        """A school's only line needs no binding: its path is the host's own."""
        if self._site.stands_on == "lan":
            return False  # the router chooses the line; its counters tell which
        return bool(self._settings.lines) or len(self._site.school.lines) > 1

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
        (
            settings.method == "iperf3" and not settings.iperf3.host,
            "iperf3.host: is missing; method iperf3 needs it",
        ),
        (
            settings.method == "iperf3" and settings.mode == "due",
            "mode: due needs method tcp; allowed with iperf3: search, verify",
        ),
        (bool(unknown), f"lines: {', '.join(unknown)} is no line; allowed: {', '.join(declared) or 'none'}"),
    ]
    for wrong, text in checks:
        if wrong:
            raise SettingsError(f"key probes.capacity.{text}")


def _words(wanted: Wanted) -> str:
    return f"direction={wanted.direction} family={wanted.family} mode={wanted.mode} line={wanted.line}"
