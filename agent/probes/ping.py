"""Echo probes at random times to a few targets, each family apart (RFC 2678, RFC 6673, RFC 5481)."""

from __future__ import annotations

import errno
import logging
import select
from collections import deque
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from agent.lines import line_interfaces, remember
from agent.network.icmp import FAMILIES, EchoSocket, Family, NotPermitted, interface_index, new_payload
from agent.network.names import Names
from agent.network.pinging import Aim, Flight, Window
from agent.network.routes import default_routes
from agent.probe import NoData, Run, Site
from agent.probe import Probe as AnyProbe
from config.points import FieldValue, Point
from config.units import Seconds

log = logging.getLogger(__name__)

HELP = "Echo probes to the default gateway, the collector and other targets: loss and round-trip times"
PROVES = {
    "gateway": "whether each line reaches beyond itself, and how fast; by a line of its own where named",
    "lan": "the same for a true client behind the gateway, through whichever line the gateway chooses",
}
CONTINUOUS = True

DEFAULT_GATEWAY = "default-gateway"
COLLECTOR = "collector"
LONGEST_SLEEP_SECONDS = 0.5


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target. ``host`` is a name, an address, ``default-gateway`` or ``collector``.

    With ``line`` the probes leave by that line's interface only.
    """

    name: str
    """Its name in the points."""
    host: str
    family: Literal["ipv4", "ipv6", "both"] = "both"
    """Which families are asked, each by itself."""
    line: str | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or self.name.endswith("\\") or not self.host:
            raise ValueError("a target needs a printable name and a host")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe. ``wait`` is how long an answer may take before its probe counts as lost."""

    window: Seconds = Seconds(60)
    """Length of a window."""
    probes: int = 20
    """Echo requests a window and target, at random times."""
    wait: Seconds = Seconds(10)
    targets: tuple[Target, ...] = (
        Target(name="gateway", host=DEFAULT_GATEWAY),
        Target(name="collector", host=COLLECTOR),
    )
    each_line: bool = True
    """In a school of several lines, targets that name no line are asked through each of them besides."""
    lookup_every: Seconds = Seconds(300)
    """How often a target's name is looked up again."""
    lookup_timeout: Seconds = Seconds(5)
    """Of one look-up."""

    def __post_init__(self) -> None:
        if not 1 <= self.probes <= 600:
            raise ValueError("probes is from 1 to 600 in each window")
        if not 0 < self.wait <= 60:
            raise ValueError("wait is from 1ms to 60s")
        if not 1 <= self.window <= 3600:
            raise ValueError("window is from 1s to 1h")
        if not 1 <= len(self.targets) <= 32:
            raise ValueError("targets are from 1 to 32")
        if len({target.name for target in self.targets}) < len(self.targets):
            raise ValueError("each target needs a name of its own")


def asks_outside(settings: Settings) -> bool:
    """Whether a target is neither the next hop nor the county's own node: without one, an outage of that node
    cannot be told from one of the line.
    """
    return any(_place(target) == "outside" for target in settings.targets)


def build(settings: Settings, site: Site) -> AnyProbe:
    """The probe on this host."""
    return Ping(settings, site, Names())


class Ping:
    """Probes all targets from one thread.

    A run gives its window's points when the last wait for one of its probes is over: at the window's end when
    all were answered, at most ``wait`` later else. The next window's probes are sent meanwhile, so time is
    covered without a gap.
    """

    def __init__(self, settings: Settings, site: Site, names: Names) -> None:
        self._settings = settings
        self._site = site
        self._names = names
        self._flight = Flight(round(settings.wait * 1e9))
        self._windows: deque[Window] = deque()
        self._sockets: dict[tuple[Family, str | None, int], EchoSocket] = {}
        self._gateways: dict[tuple[str | None, Family], str] = {}
        self._lines: dict[str, str] = {}
        self._looked_up_ns: int | None = None
        self._told: set[str] = set()

    def measure(self, run: Run) -> list[Point]:
        """Probe for ``run.window_seconds``; one point for each target and family."""
        self._begin(run)
        window = self._windows[0]
        while not run.stopped and run.remaining_seconds() > 0:
            now_ns = run.clock.monotonic_ns()
            if window.is_over(now_ns):
                break
            if now_ns >= self._windows[-1].end_ns:
                self._open_window(run, self._windows[-1].end_ns)
            self._send(now_ns, run)
            self._receive(run, self._sleep_seconds(run))
            self._flight.expire(run.clock.monotonic_ns())
        if window.open:
            self._flight.abandon()
        self._windows.popleft()
        end_ns = min(window.end_ns, run.clock.monotonic_ns())
        return list(_points(window, (end_ns - window.start_ns) / 1e9, _wall_of(run, end_ns)))

    def _begin(self, run: Run) -> None:
        """Go on with the window that is under way, or open one now."""
        now_ns = run.clock.monotonic_ns()
        if self._windows and now_ns > self._windows[0].end_ns + self._settings.wait * 1e9:
            self._flight.abandon()
            self._windows.clear()
        if not self._windows:
            self._open_window(run, now_ns, self._first_length_ns(run))

    def _first_length_ns(self, run: Run) -> int:
        """Until the wall clock's next whole window, so that windows are minutes and outages begin on time;
        as long as asked for when a person waits.
        """
        length_ns = round(run.window_seconds * 1e9)
        if run.window_seconds != self._settings.window:
            return length_ns
        left_ns = length_ns - run.clock.wall_ns() % length_ns
        return left_ns if 2 * left_ns >= length_ns else left_ns + length_ns

    def _open_window(self, run: Run, start_ns: int, length_ns: int | None = None) -> None:
        aims = self._aims(run)
        end_ns = start_ns + (length_ns or round(run.window_seconds * 1e9))
        self._windows.append(Window(start_ns, end_ns, aims, self._settings.probes))

    def _send(self, now_ns: int, run: Run) -> None:
        for window in self._windows:
            for aim in window.due(now_ns):
                self._flight.launch(window, aim, new_payload(), run.clock.monotonic_ns(), self._launch)

    def _launch(self, aim: Aim, sequence: int, payload: bytes) -> bool:
        try:
            return self._socket(aim.family, aim.interface).send(aim.address, sequence, payload)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise

    def _receive(self, run: Run, seconds: float) -> None:
        sockets = {each.fileno(): each for each in self._sockets.values()}
        poll = select.poll()
        for number in sockets:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(max(1, round(seconds * 1000))):
            self._drain(sockets[number], run)

    def _drain(self, echo: EchoSocket, run: Run) -> None:
        while True:
            try:
                reply = echo.receive()
            except BlockingIOError:
                return
            if reply is not None:
                self._flight.land(echo.family, reply, run.clock.monotonic_ns(), run.clock.wall_ns())

    def _sleep_seconds(self, run: Run) -> float:
        moments = [window.next_ns for window in self._windows]
        moments += [self._flight.next_ns, self._windows[-1].end_ns]
        soonest_ns = min(each for each in moments if each is not None)
        until = (soonest_ns - run.clock.monotonic_ns()) / 1e9
        return min(LONGEST_SLEEP_SECONDS, run.remaining_seconds(), max(0.0, until))

    def _aims(self, run: Run) -> list[Aim]:
        """What can be probed now. Raises NoData when nothing can, with every reason."""
        self._lines = remember(self._lines, line_interfaces(self._site))
        self._refresh_names(run)
        self._refresh_gateways()
        reasons: list[str] = []
        targets = [each for target in self._settings.targets for each in self._by_each_line(target)]
        aims = [aim for target in targets for aim in self._aims_of(target, reasons)]
        for reason in reasons:
            self._tell(reason)
        if not aims:
            raise NoData("; ".join(dict.fromkeys(reasons)))
        self._close_unused(aims)
        return aims

    def _by_each_line(self, target: Target) -> list[Target]:
        """The target as it is and, where the school has several lines, bound to each of them."""
        lines = sorted(set(self._lines.values()))
        if target.line is not None or not self._settings.each_line or len(lines) < 2:
            return [target]
        return [target, *(msgspec.structs.replace(target, line=line) for line in lines)]

    def _aims_of(self, target: Target, reasons: list[str]) -> Iterator[Aim]:
        interface, place = self._interface_of(target.line), _place(target)
        if target.line is not None and interface is None:
            reasons.append(f"{target.name}: no interface is known for line {target.line}")
            return
        for family in FAMILIES if target.family == "both" else (target.family,):
            address = self._address(target, family)
            try:
                if address is not None:
                    self._socket(family, interface)
                    yield Aim(target.name, family, address, target.line, interface, place)
                else:
                    reasons.append(f"{target.name}: has no {family} address")
            except NotPermitted as error:
                reasons.append(str(error))
            except OSError as error:
                if error.errno == errno.ENODEV and address is not None:
                    yield Aim(target.name, family, address, target.line, interface, place)
                reasons.append(f"{target.name}: no {family} socket: {error.strerror}")

    def _address(self, target: Target, family: Family) -> str | None:
        if target.host == DEFAULT_GATEWAY:
            return self._gateways.get((self._interface_of(target.line), family))
        host = self._host(target)
        return self._names.addresses(host).get(family) if host else None

    def _host(self, target: Target) -> str | None:
        if target.host == COLLECTOR:
            return urlsplit(self._site.collector_url).hostname if self._site.collector_url else None
        return target.host

    def _interface_of(self, line: str | None) -> str | None:
        return next((name for name, known in self._lines.items() if known == line), None)

    def _refresh_names(self, run: Run) -> None:
        now_ns = run.clock.monotonic_ns()
        hosts = [self._host(each) for each in self._settings.targets if each.host != DEFAULT_GATEWAY]
        if self._looked_up_ns is None:
            self._names.refresh([host for host in hosts if host], self._settings.lookup_timeout)
        elif now_ns - self._looked_up_ns >= self._settings.lookup_every * 1e9:
            self._names.refresh([host for host in hosts if host], 0)
        else:
            return
        self._looked_up_ns = now_ns

    def _refresh_gateways(self) -> None:
        """Next hops as they stand. One that went with its route is kept: not reaching it is the news."""
        for route in reversed(default_routes(self._site.proc)):
            if route.gateway is None:
                continue
            zone = f"%{route.interface}" if route.gateway.startswith("fe80:") else ""
            for interface in (route.interface, None):
                self._gateways[interface, route.family] = route.gateway + zone

    def _socket(self, family: Family, interface: str | None) -> EchoSocket:
        key = (family, interface, interface_index(interface) if interface else 0)
        if key not in self._sockets:
            for stale in [other for other in self._sockets if other[:2] == key[:2]]:
                self._sockets.pop(stale).close()
            self._sockets[key] = EchoSocket(family, interface)
        return self._sockets[key]

    def _close_unused(self, aims: list[Aim]) -> None:
        used = {(aim.family, aim.interface) for window in self._windows for aim in window.tallies}
        used |= {(aim.family, aim.interface) for aim in aims}
        for key in [key for key in self._sockets if key[:2] not in used]:
            self._sockets.pop(key).close()

    def _tell(self, reason: str) -> None:
        if reason not in self._told and len(self._told) < 100:
            self._told.add(reason)
            log.info("not_probed reason=%s", reason)


def _wall_of(run: Run, at_ns: int) -> int:
    """The wall clock's time of a moment of the monotonic clock, by both clocks as they stand now."""
    return run.clock.wall_ns() - (run.clock.monotonic_ns() - at_ns)


def _place(target: Target) -> str:
    """Only what lies beyond a line says whether the line works: its next hop does not."""
    return {DEFAULT_GATEWAY: "next_hop", COLLECTOR: "centre"}.get(target.host, "outside")


def _points(window: Window, window_seconds: float, time_ns: int) -> Iterator[Point]:
    for aim, tally in window.tallies.items():
        tags = {"target": aim.target, "family": aim.family}
        if aim.line is not None:
            tags["line"] = aim.line
        fields = tally.fields()
        if fields:
            about: dict[str, FieldValue] = {"place": aim.place, "window_seconds": window_seconds}
            yield Point("ping", tags, fields | about, time_ns)
