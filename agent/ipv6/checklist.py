"""Runs the fifteen checks from where this agent stands; one whose prerequisite failed is not even tried."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.ipv6 import dns, echo, lan, reach, use, wan
from agent.ipv6.advertisement import Advertisement
from agent.ipv6.far_end import FarEnd, Unavailable, granted
from agent.ipv6.fetch import Bounds
from agent.ipv6.links import lan_interfaces
from agent.ipv6.platforms import Platform, SiteReport, look_at, sum_up
from agent.ipv6.reach import Target, Tried
from agent.ipv6.solicitation import hear_routers
from agent.lines import line_interfaces
from agent.network.addresses import Address, read_addresses
from agent.network.icmp import Family
from agent.network.neighbours import Neighbour, read_neighbours
from agent.network.routes import DefaultRoute, default_routes
from agent.probe import Run, Site
from config.readiness import Finding, Result, settle, unknown

log = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
_POLL_SECONDS = 0.2


class Options(msgspec.Struct, frozen=True):
    """What the checks are told; see the settings of the probe ``ipv6_checks``."""

    lans: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()
    wait_seconds: float = 10.0
    ask_seconds: float = 4.5
    targets: tuple[Target, ...] = ()
    tries: int = 7
    timeout_seconds: float = 2.0
    resolvers: tuple[str, ...] = ()
    dns_name: str = ""
    interval_seconds: float | None = None
    use_floor_percent: float | None = None
    platforms: tuple[Platform, ...] = ()
    bounds: Bounds = Bounds()


class Checklist:
    """The checks of one place; holds the counters between two runs, for check 15, and in ``sites`` what the
    last run saw of each site.
    """

    def __init__(
        self,
        site: Site,
        options: Options,
        neighbours: Callable[[], list[Neighbour]] = read_neighbours,
        resolv_conf: Path = RESOLV_CONF,
    ) -> None:
        self._site = site
        self._options = options
        self._neighbours = neighbours
        self._resolv_conf = resolv_conf
        self._before: use.Reading | None = use.Reading(0, 0, 0)
        self._routed = False
        self.sites: list[SiteReport] = []

    def run(self, run: Run) -> list[Finding]:
        """All fifteen, settled, in order."""
        found: dict[int, Finding] = {}
        self.sites = []
        self._wan(found)
        self._lans(found)
        if self._has_ground(found) and not run.stopped:
            self._beyond(found, run)
        self._use(found)
        found[12] = unknown(12, "not_listening")
        if not self._in_lan:
            found[13] = unknown(13, "needs_lan_agent")
        return settle(found.values())

    def _has_ground(self, found: dict[int, Finding]) -> bool:
        """Whether it makes sense to look further than the LAN: a client needs its address for that."""
        if self._in_lan:
            return all(number in found and found[number].result is Result.PASS for number in (4, 6))
        return not any(found[number].result is Result.FAIL for number in (1, 2))

    @property
    def _in_lan(self) -> bool:
        return self._site.stands_on == "lan"

    def _wan(self, found: dict[int, Finding]) -> None:
        if self._in_lan:
            found.update({number: unknown(number, "not_from_lan") for number in (1, 2, 3)})
            return
        wans = self._wans()
        asked = wan.ask_next_hops(wans, self._neighbours)
        known = [msgspec.structs.replace(each, neighbours=asked) for each in wans]
        self._routed = any(each.routes for each in wans)
        found[1], found[2] = wan.wan_address(known), wan.default_route(known)

    def _wans(self) -> list[wan.Wan]:
        routes = [route for route in default_routes(self._site.proc) if route.family == "ipv6"]
        addresses = read_addresses(self._site.proc)
        names = sorted(line_interfaces(self._site) or {route.interface for route in routes})
        return [_wan_of(name, addresses, routes) for name in names]

    def _lans(self, found: dict[int, Finding]) -> None:
        lans = [self._lan(name) for name in self._lan_names()]
        if not self._in_lan:
            found[3] = self._prefix(lans, found[2])
            found[6] = unknown(6, "needs_lan_agent")
        if found[3].result is Result.FAIL:
            return
        routed = None if self._in_lan else self._routed
        heard = [self._asked(each, routed) for each in lans]
        found[4] = lan.on_each(heard, lan.advertisement, 4)
        found[5] = lan.on_each(heard, lan.dns, 5)
        if self._in_lan:
            hopeless = found[4].result is Result.FAIL
            known = [self._addressed(each, wait=not hopeless) for each in heard]
            found[6] = lan.on_each(known, lan.client_address, 6)

    def _prefix(self, lans: Sequence[lan.Lan], route: Finding) -> Finding:
        """Check 3; where a LAN has no prefix though the line works, the carrier's servers are asked why."""
        finding = lan.on_each(lans, lan.prefix, 3)
        if finding.code not in {"lan_without_prefix", "lan_only_ula"} or route.result is not Result.PASS:
            return finding
        from agent.ipv6.helper import ask_delegation  # noqa: PLC0415 (only where a prefix is missing)

        offers = []
        for line in self._wans():
            reply = ask_delegation(line.interface, self._options.ask_seconds)
            if reply.error:
                log.info("cannot ask for a prefix interface=%s error=%s", line.interface, reply.error)
            else:
                offers.append(lan.Offer(line.interface, reply.found, reply.servers))
        return lan.undelegated(finding, offers)

    def _lan_names(self) -> list[str]:
        if self._options.lans:
            return list(self._options.lans)
        routes = default_routes(self._site.proc)
        if self._in_lan:
            return sorted({route.interface for route in routes})[:1]
        outside = {*line_interfaces(self._site), *(route.interface for route in routes)}
        return lan_interfaces(self._site.sys, outside)

    def _lan(self, name: str) -> lan.Lan:
        return lan.Lan(name, _addresses_on(self._site, name), None, 0.0, None, lambda _: True,
                       interval_seconds=self._options.interval_seconds)  # fmt: skip

    def _asked(self, bare: lan.Lan, routed: bool | None) -> lan.Lan:
        own = lan.own_link_locals(bare.addresses)
        begun = time.monotonic()
        try:
            heard = hear_routers(bare.interface, own, self._options.ask_seconds)
        except OSError as error:
            log.info("cannot ask for routers interface=%s error=%s", bare.interface, error)
            return bare
        return msgspec.structs.replace(
            bare,
            advertisements=heard,
            asked_seconds=time.monotonic() - begun,
            wan_routed=routed,
            expected=lan.expected_router(self._options.routers, own, in_lan=self._in_lan),
            dhcp=self._dhcp(bare.interface, heard),
        )

    def _dhcp(self, interface: str, heard: Sequence[Advertisement]) -> lan.DhcpAnswer | None:
        if not any((each.managed or each.other) and not each.rdnss for each in heard):
            return None
        if not self._in_lan:
            return lan.DhcpAnswer(why_not="a gateway cannot ask its own server; an agent in the LAN can")
        from agent.ipv6.helper import ask_dhcp  # noqa: PLC0415 (only where DHCPv6 is pointed to)

        return ask_dhcp(interface, self._options.ask_seconds)

    def _addressed(self, heard: lan.Lan, *, wait: bool) -> lan.Lan:
        """The same, once this client has its address, at most the set time after asking, or as it is now."""
        begun = time.monotonic()
        while True:
            addresses = _addresses_on(self._site, heard.interface)
            seconds = heard.asked_seconds + time.monotonic() - begun
            if any(each.is_global and each.is_settled for each in addresses):
                break
            if not wait or seconds >= self._options.wait_seconds:
                break
            time.sleep(_POLL_SECONDS)
        return msgspec.structs.replace(heard, addresses=addresses, address_seconds=seconds)

    def _beyond(self, found: dict[int, Finding], run: Run) -> None:
        tried, resolved = self._tried_twice()
        found[7] = reach.reachability(tried)
        if found[7].result is Result.FAIL or run.stopped:
            return
        options = self._options
        resolvers = [*options.resolvers, *dns.resolvers_of(self._resolv_conf)]
        found[8] = dns.over_ipv6(resolvers, self._name(), options.timeout_seconds)
        answering = {each.target for each in tried if each.family == "ipv6" and each.seconds}
        found[10] = echo.icmpv6(
            {name: both["ipv6"] for name, both in resolved.items() if name in answering and "ipv6" in both},
            options.timeout_seconds * echo.TRIES,
        )
        found[11] = reach.parity(tried)
        self._with_far_end(found)
        if found[8].result is not Result.FAIL and not run.stopped:
            self.sites = look_at(options.platforms, options.bounds, resolvers)
            found[14] = sum_up(self.sites, options.bounds.certificate_days)

    def _with_far_end(self, found: dict[int, Finding]) -> None:
        """Checks 9, 10 and 13, where the collector has a far end for them."""
        try:
            far = FarEnd(granted(self._site), self._options.timeout_seconds)
            far.require_answer()
            found[9] = far.path_mtu()
            if found[10].result is not Result.FAIL:
                found[10] = far.icmpv6()
            if self._in_lan:
                found[13] = far.inbound()
        except (Unavailable, OSError) as error:
            log.info("no far end for ICMPv6 checks error=%s", error)
            for number in (9, 13):
                found.setdefault(number, unknown(number, "needs_responder"))

    def _tried_twice(self) -> tuple[list[Tried], Mapping[str, Mapping[Family, str]]]:
        """The tries of checks 7 and 11; what answers in part, or more slowly, is tried once more, since a
        busy host or line may lose a packet of either family.
        """
        tried, resolved = self._tried()
        failing = Result.FAIL in {reach.reachability(tried).result, reach.parity(tried).result}
        if not failing or not any(each.seconds for each in tried if each.family == "ipv6"):
            return tried, resolved
        return reach.together(tried, self._tried()[0]), resolved

    def _tried(self) -> tuple[list[Tried], Mapping[str, Mapping[Family, str]]]:
        options = self._options
        resolved: dict[str, Mapping[Family, str]] = {}
        for target in options.targets:
            try:
                resolved[target.name] = reach.addresses_of(target)
            except OSError as error:
                log.info("target has no address target=%s error=%s", target.name, error)
        tried = reach.try_targets(
            options.targets, resolved, tries=options.tries, timeout_seconds=options.timeout_seconds
        )
        return tried, resolved

    def _name(self) -> str:
        """A name that has AAAA: the one set, else that of the first platform."""
        first = next((urlsplit(each.url).hostname or "" for each in self._options.platforms), "")
        return self._options.dns_name or first

    def _use(self, found: dict[int, Finding]) -> None:
        if self._in_lan:
            found[15] = unknown(15, "not_from_lan")
            return
        try:
            now = use.read(self._site.proc, line_interfaces(self._site))
        except OSError:
            now = None
        found[15] = use.actual_use(self._before, now, self._hosts(), self._options.use_floor_percent)
        if found[15].code != "no_traffic_seen":
            self._before = now

    def _hosts(self) -> use.Hosts | None:
        """Who is active on the LANs; None where the neighbour tables cannot be read."""
        try:
            known = [*self._neighbours(), *read_neighbours(socket.AF_INET)]
            return use.active_hosts(known, [socket.if_nametoindex(name) for name in self._lan_names()])
        except OSError:
            return None


def _wan_of(name: str, addresses: Sequence[Address] | None, routes: Sequence[DefaultRoute]) -> wan.Wan:
    own = None if addresses is None else [each for each in addresses if each.interface == name]
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        index = None
    return wan.Wan(name, index, own, [route for route in routes if route.interface == name], None)


def _addresses_on(site: Site, name: str) -> list[Address]:
    return [each for each in read_addresses(site.proc) or [] if each.interface == name]
