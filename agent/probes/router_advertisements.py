"""Listens for router advertisements on each LAN, all the time: check 12 (RFC 6104, RFC 6105)."""

from __future__ import annotations

import logging
import select
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agent.ipv6.advertisement import Advertisement
from agent.ipv6.capture import Capture
from agent.ipv6.lan import expected_router, own_link_locals
from agent.ipv6.links import lan_interfaces
from agent.ipv6.listener import OTHERS, Listener, News, Sender
from agent.lines import line_interfaces
from agent.network.addresses import read_addresses
from agent.network.routes import default_routes
from agent.probe import NoData, Probe, Run, Site
from agent.probes.ipv6_checks import points_of
from config.points import FieldValue, Point
from config.readiness import Finding, Result, failed, passed, unknown
from config.units import Seconds

if TYPE_CHECKING:
    from agent.ipv6.switch_port import PortFinder

log = logging.getLogger(__name__)

HELP = "Routers that advertise on the LANs; an alarm within seconds when one is not expected"
PROVES = {
    "gateway": "who advertises on each of its LANs; without a list every router but itself is a stranger",
    "lan": "who advertises on this client's own LAN; without a list the routers it uses are expected",
}
CONTINUOUS = True
SOURCE = "router_advertisements"
BURST = 64
"""Packets taken at a time: in a flood the kernel drops the rest, and a few hundred a second are looked at."""
TURN_SECONDS = 0.25
RENEW_SECONDS = 60.0
TELL_SECONDS = 600.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe."""

    window: Seconds = Seconds(1)
    """How often what was heard is looked through; a stranger is told of within three windows."""
    lans: tuple[str, ...] = ()
    """Interfaces of the LANs; empty means every Ethernet interface that is up and no line's."""
    routers: tuple[str, ...] = ()
    """MAC or link-local addresses of the routers that may advertise, beside this host itself."""
    listen: Seconds = Seconds(86400)
    """Check 12 passes once nothing strange was heard for so long."""
    switches: tuple[dict[str, Any], ...] = ()
    """Switches to ask at which port a stranger's MAC was learnt; the keys are those of a device of the probe
    ``snmp``."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.window <= 10:
            raise ValueError("window is from 100ms to 10s")
        if not 1 <= self.listen <= 30 * 86400:
            raise ValueError("listen is from 1s to 30d")
        if len(self.switches) > 32:
            raise ValueError("at most 32 switches")


def build(settings: Settings, site: Site) -> Probe:
    """The probe on this host. Raises SettingsError for a switch that cannot be asked so."""
    return RouterAdvertisements(settings, site, _port_finder(settings, site))


def _port_finder(settings: Settings, site: Site) -> PortFinder | None:
    """What asks the switches; SNMP is loaded only where some are named."""
    if not settings.switches:
        return None
    from agent.ipv6.switch_port import PortFinder, devices_of, find_port  # noqa: PLC0415

    switches = devices_of(settings.switches, "probes.router_advertisements.switches")
    return PortFinder(lambda mac: find_port(mac, switches, site.settings_directory))


class RouterAdvertisements:
    """Holds a socket for each LAN; tells of a router when it is new, when it changes, and each hour."""

    def __init__(self, settings: Settings, site: Site, ports: PortFinder | None = None) -> None:
        self._settings = settings
        self._site = site
        self._ports = ports
        self._placed: set[Sender] = set()
        self._captures: dict[str, Capture] = {}
        self._renewed_seconds: float | None = None
        self._since_seconds: float | None = None
        self._told_seconds: float | None = None
        self._told: Finding | None = None
        self._listener = Listener(self._expected)
        self._own = own_link_locals(())

    def measure(self, run: Run) -> list[Point]:
        """Hear for one window. Raises NoData without CAP_NET_RAW or without a LAN."""
        now = run.clock.monotonic_ns() / 1e9
        if self._renewed_seconds is None or now - self._renewed_seconds >= RENEW_SECONDS:
            self._renew(now)
        self._hear(run)
        return list(self._told_of(run))

    def _renew(self, now: float) -> None:
        """Follow interfaces as they come and go; what is listened on goes on being listened on."""
        self._renewed_seconds = now
        self._own = own_link_locals(read_addresses(self._site.proc) or ())
        names = self._names()
        for name in [each for each in self._captures if each not in names]:
            self._captures.pop(name).close()
        problem = "no LAN interface is known; name them in lans"
        for name in names:
            if name not in self._captures:
                problem = self._open(name) or problem
        if not self._captures:
            self._renewed_seconds = self._since_seconds = None
            raise NoData(problem)
        if self._since_seconds is None:
            self._since_seconds = now

    def _open(self, name: str) -> str:
        """Why ``name`` cannot be listened on; empty when it is."""
        try:
            self._captures[name] = Capture(name)
        except PermissionError:
            return "needs CAP_NET_RAW"
        except OSError as error:
            return f"cannot listen on {name}: {error.strerror}"
        return ""

    def _names(self) -> Sequence[str]:
        if self._settings.lans:
            return self._settings.lans
        routes = default_routes(self._site.proc)
        if self._site.stands_on == "lan":
            return sorted({route.interface for route in routes})[:1]
        outside = {*line_interfaces(self._site), *(route.interface for route in routes)}
        return lan_interfaces(self._site.sys, outside)

    def _expected(self, sender: Sender, advertisement: Advertisement) -> bool:
        """Who may advertise: those set, this host, and for a client without a list the routers it uses."""
        said = msgspec.structs.replace(advertisement, link_address=sender.mac)
        if expected_router(self._settings.routers, self._own, in_lan=False)(said):
            return True
        if self._settings.routers or self._site.stands_on != "lan":
            return False
        used = {route.gateway for route in default_routes(self._site.proc) if route.family == "ipv6"}
        return str(said.router) in used

    def _hear(self, run: Run) -> None:
        end_ns = run.clock.monotonic_ns() + round(run.window_seconds * 1e9)
        while not run.stopped and (left := (end_ns - run.clock.monotonic_ns()) / 1e9) > 0:
            ready = select.select(list(self._captures.values()), [], [], min(left, TURN_SECONDS))[0]
            names = [name for name, capture in self._captures.items() if capture in ready]
            more = [self._drain(name, run) for name in names]
            if any(more):
                run.wait(TURN_SECONDS)

    def _drain(self, name: str, run: Run) -> bool:
        """Take what waits, at most a burst of it. True when there was more."""
        capture, now = self._captures[name], run.clock.monotonic_ns() / 1e9
        try:
            for _ in range(BURST):
                heard = capture.receive()
                if heard is None:
                    return False
                self._listener.take(name, heard.mac, heard.packet, now)
            self._listener.count_dropped(name, capture.dropped())
        except OSError as error:
            log.warning("interface cannot be heard interface=%s error=%s", name, error)
            self._captures.pop(name).close()
            self._renewed_seconds = None
        return True

    def _told_of(self, run: Run) -> Iterator[Point]:
        now, wall_ns = run.clock.monotonic_ns() / 1e9, run.clock.wall_ns()
        for news in self._listener.news(now):
            yield _point(news, self._port(news.sender.mac), wall_ns)
            if not news.expected:
                run.urgent = True
                log.warning("router not expected interface=%s mac=%s", *news.sender)
        for news in self._located():
            yield _point(news, self._port(news.sender.mac), wall_ns)
        self._listener.forget_silent(now, float(self._settings.listen))
        finding = self._finding(now)
        if self._is_due(finding, now):
            run.urgent = run.urgent or finding.result is Result.FAIL
            self._told, self._told_seconds = finding, now
            yield from points_of([finding], self._site.stands_on, SOURCE, wall_ns)

    def _port(self, mac: str) -> str:
        """The switch port of a stranger, empty as long as it is not known; asking goes on meanwhile."""
        if self._ports is None or mac == OTHERS:
            return ""
        if any(sender.mac == mac for sender, _ in self._listener.rogue_since()):
            self._ports.ask(mac)
        return self._ports.of(mac)

    def _located(self) -> Iterator[News]:
        """Strangers whose port has become known since they were told of."""
        rogue = {sender: said for sender, said in self._listener.rogue_since() if self._port(sender.mac)}
        for sender in rogue.keys() - self._placed:
            yield News(sender, expected=False, advertisement=rogue[sender], heard=0, malformed=0)
        self._placed = set(rogue)

    def _is_due(self, finding: Finding, now: float) -> bool:
        """At once when the answer changes, else every ten minutes: the hours listened grow all the time."""
        if self._told is None or self._told_seconds is None:
            return True
        changed = (self._told.result, self._told.code) != (finding.result, finding.code)
        return changed or now - self._told_seconds >= TELL_SECONDS

    def _finding(self, now: float) -> Finding:
        for sender, said in self._listener.rogue_since():
            about = {
                "mac": sender.mac,
                "router": str(said.router),
                "interface": sender.interface,
                "prefix": ", ".join(str(prefix.network) for prefix in said.prefixes) or "-",
            }
            port = self._port(sender.mac)
            return failed(12, "rogue_at", **about, port=port) if port else failed(12, "rogue", **about)
        return self._silence(now)

    def _silence(self, now: float) -> Finding:
        listened = now - (self._since_seconds or now)
        hours, needed = round(listened / 3600, 1), round(self._settings.listen / 3600, 1)
        if listened >= self._settings.listen:
            return passed(12, "none_rogue", hours=hours)
        return unknown(12, "listening", hours=hours, needed=needed)


def _point(news: News, port: str, time_ns: int) -> Point:
    fields: dict[str, FieldValue] = {
        "expected": news.expected,
        "heard": news.heard,
        "malformed": news.malformed,
    }
    said = news.advertisement
    if port:
        fields["switch_port"] = port
    if said is not None and news.sender.mac != OTHERS:
        fields["router"] = str(said.router)
        fields["prefix"] = ",".join(str(prefix.network) for prefix in said.prefixes)
        fields["router_lifetime_seconds"] = float(said.lifetime_seconds)
    tags = {"interface": news.sender.interface, "mac": news.sender.mac}
    return Point("router_advertisement", tags, fields, time_ns)
