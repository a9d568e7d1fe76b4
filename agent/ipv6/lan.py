"""Checks 3 to 6: prefix, router advertisement, DNS and client address of each LAN. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

import msgspec

from agent.ipv6.advertisement import Advertisement, Prefix
from agent.network.addresses import DEPRECATED, Address
from config.readiness import Finding, Result, failed, passed, unknown

MOST_INTERVAL_SECONDS = 1800
"""MaxRtrAdvInterval is never more (RFC 4861 6.2.1): a lifetime of three times that is always enough."""
INFINITE_SECONDS = 0xFFFFFFFF
_WORST_FIRST = (Result.FAIL, Result.UNKNOWN, Result.PASS)


class DhcpAnswer(msgspec.Struct, frozen=True):
    """What asking DHCPv6 for other configuration gave: the DNS servers, or why it could not be asked."""

    servers: tuple[str, ...] = ()
    why_not: str = ""


class Offer(msgspec.Struct, frozen=True):
    """What the carrier's DHCPv6 servers on one line offer: prefixes, and how many answers there were."""

    wan: str
    prefixes: tuple[str, ...]
    answers: int


class Lan(msgspec.Struct, frozen=True):
    """One LAN interface: its addresses, and what was heard within ``asked_seconds`` of asking.

    ``advertisements`` is None where nobody could ask (no CAP_NET_RAW). ``wan_routed`` is None where the WAN
    is not seen from here. ``expected`` says whether a router may advertise here.
    """

    interface: str
    addresses: Sequence[Address]
    advertisements: Sequence[Advertisement] | None
    asked_seconds: float
    wan_routed: bool | None
    expected: Callable[[Advertisement], bool]
    interval_seconds: float | None = None
    dhcp: DhcpAnswer | None = None
    address_seconds: float = 0.0


def on_each(lans: Sequence[Lan], judge: Callable[[Lan], Finding], check: int) -> Finding:
    """The worst of all LANs: one that fails is what somebody must see to."""
    found = [judge(lan) for lan in lans]
    worst = min(found, key=lambda finding: _WORST_FIRST.index(finding.result), default=None)
    return worst or unknown(check, "no_lan")


def prefix(lan: Lan) -> Finding:
    """Check 3: a global /64 stands on the LAN. The kernel drops an address whose valid lifetime has ended."""
    wide = [each for each in lan.addresses if each.is_global]
    where = lan.interface
    if not wide:
        local = ", ".join(str(each.address) for each in lan.addresses if each.is_unique_local)
        if local:
            return failed(3, "lan_only_ula", interface=where, addresses=local)
        return failed(3, "lan_without_prefix", interface=where)
    usable = [each for each in wide if each.prefix_length <= 64]
    if not usable:
        return failed(3, "prefix_too_long", interface=where, prefix=str(wide[0].prefix))
    current = [each for each in usable if not each.flags & DEPRECATED]
    if not current:
        return failed(3, "prefix_deprecated", interface=where, prefix=str(usable[0].prefix))
    return passed(3, "prefixes", prefixes=", ".join(sorted({str(each.prefix) for each in current})))


def undelegated(finding: Finding, offers: Sequence[Offer]) -> Finding:
    """Check 3, why a LAN has no prefix, from what the carrier offers; as it was where nobody was asked."""
    where = finding.values["interface"]
    if not offers:
        return finding
    for offer in offers:
        if offer.prefixes:
            listed = ", ".join(offer.prefixes)
            return failed(3, "delegation_unused", interface=where, wan=offer.wan, prefix=listed)
    answering = [offer.wan for offer in offers if offer.answers]
    code = "no_delegation" if answering else "no_delegating_server"
    asked = answering or [offer.wan for offer in offers]
    return failed(3, code, interface=where, wan=", ".join(asked))


def advertisement(lan: Lan) -> Finding:
    """Check 4: an expected router advertises a usable prefix, and its lifetime fits the WAN's route."""
    if lan.advertisements is None:
        return unknown(4, "needs_capability")
    strange = [each for each in lan.advertisements if not lan.expected(each)]
    ours = [each for each in lan.advertisements if lan.expected(each)]
    if not ours:
        if strange:
            return failed(4, "unexpected_router", router=str(strange[0].router), interface=lan.interface)
        return failed(4, "no_advertisement", interface=lan.interface, seconds=round(lan.asked_seconds))
    findings = [_of_router(lan, each) for each in ours]
    return max(findings, key=lambda finding: _WORST_FIRST.index(finding.result))


def _of_router(lan: Lan, heard: Advertisement) -> Finding:
    where: dict[str, str | float] = {"router": str(heard.router), "interface": lan.interface}
    return (
        _lifetime(lan, heard, where)
        or _prefixes(heard, where)
        or passed(
            4,
            "managed" if heard.managed and not _global(heard) else "advertised",
            lifetime=heard.lifetime_seconds,
            prefix=", ".join(str(each.network) for each in _global(heard)),
            **where,
        )
    )


def _lifetime(lan: Lan, heard: Advertisement, where: dict[str, str | float]) -> Finding | None:
    if heard.lifetime_seconds == 0:
        if lan.wan_routed is None:
            return unknown(4, "lifetime_zero_lan", **where)
        return (
            failed(4, "lifetime_zero", **where)
            if lan.wan_routed
            else passed(4, "advertised_no_way_out", **where)
        )
    if lan.wan_routed is False:
        return failed(4, "lifetime_without_route", lifetime=heard.lifetime_seconds, **where)
    return None


def _prefixes(heard: Advertisement, where: dict[str, str | float]) -> Finding | None:
    wide = _global(heard)
    if not wide:
        return None if heard.managed else failed(4, "no_prefix_advertised", **where)
    about = {"prefix": str(wide[0].network), "interface": where["interface"]}
    if not any(each.valid_seconds for each in wide):
        return failed(4, "prefix_expired", **about)
    if not any(each.on_link for each in wide):
        return failed(4, "not_on_link", **about)
    if not any(each.autonomous for each in wide) and not heard.managed:
        return failed(4, "not_autonomous", **about)
    return None


def _global(heard: Advertisement) -> list[Prefix]:
    return [each for each in heard.prefixes if Address("", each.network.network_address, 0).is_global]


def dns(lan: Lan) -> Finding:
    """Check 5: RDNSS that outlives lost advertisements (RFC 8106 5.1), or DNS by DHCPv6."""
    if lan.advertisements is None:
        return unknown(5, "needs_capability")
    ours = [each for each in lan.advertisements if lan.expected(each)]
    for heard in ours:
        if heard.rdnss:
            return _rdnss(lan, heard)
    if any(heard.managed or heard.other for heard in ours):
        return _dhcp(lan)
    return failed(5, "no_dns", interface=lan.interface)


def _rdnss(lan: Lan, heard: Advertisement) -> Finding:
    lifetime = max(each.lifetime_seconds for each in heard.rdnss)
    interval = heard.interval_seconds or lan.interval_seconds
    enough = 3 * (MOST_INTERVAL_SECONDS if interval is None else interval)
    servers = ", ".join(str(server) for each in heard.rdnss for server in each.servers)
    if lifetime == 0:
        return failed(5, "rdnss_zero")
    if lifetime >= enough or lifetime == INFINITE_SECONDS:
        return passed(5, "rdnss", servers=servers, lifetime=lifetime)
    if interval is None:
        return unknown(5, "interval_unknown", lifetime=lifetime)
    return failed(5, "rdnss_short", lifetime=lifetime, interval=interval)


def _dhcp(lan: Lan) -> Finding:
    if lan.dhcp is None or lan.dhcp.why_not:
        return unknown(5, "dhcpv6_not_asked", why=lan.dhcp.why_not if lan.dhcp else "-")
    if lan.dhcp.servers:
        return passed(5, "dhcpv6_dns", servers=", ".join(lan.dhcp.servers))
    return failed(5, "dhcpv6_silent", interface=lan.interface)


def client_address(lan: Lan) -> Finding:
    """Check 6, from a host in the LAN: this very client has a global address."""
    for each in lan.addresses:
        if each.is_global and each.is_settled:
            return passed(
                6, "client_address", address=str(each.address), interface=lan.interface,
                seconds=round(lan.address_seconds, 1),
            )  # fmt: skip
    return failed(6, "no_client_address", interface=lan.interface, seconds=round(lan.address_seconds))


def own_link_locals(addresses: Iterable[Address]) -> frozenset[ipaddress.IPv6Address]:
    """Link-local addresses of this host: its own router daemon advertises from one of them."""
    return frozenset(each.address for each in addresses if each.address.is_link_local)


def expected_router(
    routers: Sequence[str], own: frozenset[ipaddress.IPv6Address], *, in_lan: bool
) -> Callable[[Advertisement], bool]:
    """Who may advertise: those set (by address or MAC) and this host itself; a client in the LAN that is told
    of none takes any, and leaves it to check 12 who else is there.
    """
    allowed = {each.lower() for each in routers}

    def expected(heard: Advertisement) -> bool:
        if heard.router in own or (in_lan and not allowed):
            return True
        return str(heard.router) in allowed or heard.link_address in allowed

    return expected
