"""IPv6 readiness as the kernel of this host has it, without sending anything: checks 1 and 2 (RFC 7084)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

import msgspec

from agent.lines import line_interfaces, remember
from agent.network.addresses import DADFAILED, Address, read_addresses
from agent.network.neighbours import Neighbour, read_neighbours
from agent.network.routes import DefaultRoute, default_routes
from agent.probe import NoData, Probe, Run, Site
from config.points import FieldValue, Point
from config.units import Seconds

HELP = "IPv6 addresses, default route and next hop of each line, as the kernel has them"
PROVES = {
    "gateway": "that a line has a global address and a way out whose next hop answers",
    "lan": "the same of this client's own interface; nothing about a line",
}
CONTINUOUS = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe."""

    every: Seconds = Seconds(60)
    """How often the kernel's tables are read."""
    recent: Seconds = Seconds(600)
    """A next hop confirmed within this time answers neighbour discovery."""

    def __post_init__(self) -> None:
        if not 1 <= self.every <= 86400:
            raise ValueError("every is from 1s to 1d")
        if not 1 <= self.recent <= 86400:
            raise ValueError("recent is from 1s to 1d")


class State(msgspec.Struct, frozen=True):
    """What the kernel says of one interface. ``addresses`` is None when it has no IPv6 at all, ``neighbours``
    when they could not be asked for.
    """

    interface: str
    addresses: Sequence[Address] | None
    routes: Sequence[DefaultRoute]
    neighbours: Sequence[Neighbour] | None
    recent_seconds: float


class Finding(msgspec.Struct, frozen=True):
    """The answer of one check, None when it is unknown; ``words`` say what an admin should know."""

    passed: bool | None
    words: str = ""


class Check(msgspec.Struct, frozen=True):
    """One row of the table: its number in the list of checks, the field it fills, and how it judges."""

    number: int
    field: str
    judge: Callable[[State], Finding]


def global_address(state: State) -> Finding:
    """Check 1: a global address, duplicate address detection done (RFC 4862 5.4)."""
    if state.addresses is None:
        return Finding(False, "IPv6 is switched off in this kernel")
    wide = [each for each in state.addresses if each.is_global]
    if any(each.is_settled for each in wide):
        return Finding(True)
    if any(each.flags & DADFAILED for each in wide):
        return Finding(False, "another host uses the same address: duplicate address detection failed")
    if wide:
        return Finding(None, "the global address is tentative: duplicate address detection is under way")
    if state.addresses:
        kinds = ", ".join(str(each.address) for each in state.addresses)
        return Finding(False, f"no global address, only {kinds}")
    return Finding(False, "no IPv6 address")


def default_route(state: State) -> Finding:
    """Check 2, first half: a default route by this interface."""
    return Finding(True) if state.routes else Finding(False, "no IPv6 default route by this interface")


def next_hop(state: State) -> Finding:
    """Check 2, second half: the next hop answers neighbour discovery (RFC 4861 7.3)."""
    hops = [route.gateway for route in state.routes if route.gateway]
    if not state.routes:
        return Finding(None)
    if not hops:
        return Finding(None, "the default route has no next hop to ask (point to point)")
    if state.neighbours is None:
        return Finding(None, "the neighbour table cannot be read")
    answers = [_answer(state, hop) for hop in hops]
    if True in answers:
        return Finding(True)
    if None in answers:
        return Finding(None, f"next hop {hops[answers.index(None)]} was not asked lately")
    return Finding(False, f"next hop {hops[0]} does not answer neighbour discovery")


CHECKS = (
    Check(1, "global_address", global_address),
    Check(2, "default_route", default_route),
    Check(2, "next_hop_answers", next_hop),
)


def judge(state: State) -> dict[str, FieldValue]:
    """Fields of one interface: each check's answer where it is known, and the findings in words."""
    fields: dict[str, FieldValue] = {}
    words = []
    for check in CHECKS:
        finding = check.judge(state)
        if finding.passed is not None:
            fields[check.field] = finding.passed
        if finding.words:
            words.append(finding.words)
    fields["finding"] = "; ".join(words) or "global address, default route and next hop are in order"
    return fields


def build(settings: Settings, site: Site) -> Probe:
    """The probe on this host."""
    return IPv6(settings, site, read_neighbours)


class IPv6:
    """Reads the kernel's tables and judges each line's interface, or every interface that speaks IPv6."""

    def __init__(self, settings: Settings, site: Site, neighbours: Callable[[], list[Neighbour]]) -> None:
        self._settings = settings
        self._site = site
        self._neighbours = neighbours
        self._lines: dict[str, str] = {}

    def measure(self, run: Run) -> list[Point]:
        """One point for each interface. Raises NoData where there is no interface to speak of."""
        points = list(self._points(run.clock.wall_ns()))
        if not points:
            raise NoData("no line's interface is known, and no other interface has IPv6 beyond link-local")
        return points

    def _points(self, time_ns: int) -> Iterator[Point]:
        self._lines = remember(self._lines, line_interfaces(self._site))
        addresses = read_addresses(self._site.proc)
        routes = [route for route in default_routes(self._site.proc) if route.family == "ipv6"]
        neighbours = self._asked() if routes else None
        for name in self._watched(addresses or [], routes):
            own = None if addresses is None else [each for each in addresses if each.interface == name]
            leaving = [route for route in routes if route.interface == name]
            state = State(name, own, leaving, neighbours, self._settings.recent)
            line = {"line": self._lines[name]} if name in self._lines else {}
            yield Point("ipv6", {"interface": name, **line}, judge(state), time_ns)

    def _asked(self) -> list[Neighbour] | None:
        try:
            return self._neighbours()
        except OSError:
            return None

    def _watched(self, addresses: Sequence[Address], routes: Sequence[DefaultRoute]) -> list[str]:
        """The lines; where none is known the way out; where there is none whatever speaks IPv6."""
        speaking = {each.interface for each in addresses if not _stays_on_link(each)}
        return sorted(self._lines or {route.interface for route in routes} or speaking)


def _stays_on_link(address: Address) -> bool:
    return address.address.is_link_local or address.address.is_loopback


def _answer(state: State, hop: str) -> bool | None:
    index = _index(state.interface)
    for neighbour in state.neighbours or ():
        if str(neighbour.address) == hop and index in {None, neighbour.interface_index}:
            return neighbour.answers(state.recent_seconds)
    return None


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
