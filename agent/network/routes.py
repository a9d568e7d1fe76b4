"""Default routes, from the kernel's main routing tables."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

Family = Literal["ipv4", "ipv6"]

_UP = 0x1
_REJECT = 0x200


class DefaultRoute(msgspec.Struct, frozen=True):
    """One default route. ``gateway`` is None where the link has no next hop (point to point)."""

    family: Family
    interface: str
    gateway: str | None
    metric: int


def default_routes(proc: Path) -> list[DefaultRoute]:
    """Default routes of both families, each family's preferred one first. A missing file gives none."""
    return parse_ipv4_routes(_text(proc / "net/route")) + parse_ipv6_routes(_text(proc / "net/ipv6_route"))


def next_hops(routes: Sequence[DefaultRoute]) -> dict[str, str]:
    """Interface → address of its own default router: IPv4's, else IPv6's.

    A link-local address is left out: two routers on two links may both be fe80::1, and one router may have
    two such addresses, so that it tells no router from another.
    """
    found: dict[str, str] = {}
    for route in routes:
        if route.gateway and not ipaddress.ip_address(route.gateway).is_link_local:
            found.setdefault(route.interface, route.gateway)
    return found


def parse_ipv4_routes(text: str) -> list[DefaultRoute]:
    """Text of /proc/net/route: addresses are hex in the host's byte order. Only the first of equal next hops
    is in that file.
    """
    routes = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= 8 and words[1] == "00000000" and words[7] == "00000000" and _usable(words[3]):
            gateway = ipaddress.IPv4Address(int(words[2], 16).to_bytes(4, sys.byteorder))
            routes.append(DefaultRoute("ipv4", words[0], _or_none(gateway), int(words[6])))
    return sorted(routes, key=lambda route: route.metric)


def parse_ipv6_routes(text: str) -> list[DefaultRoute]:
    """Text of /proc/net/ipv6_route: addresses, lengths and the metric are hex in network order."""
    routes = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 10 and words[0] == "0" * 32 and words[1] == "00" and _usable(words[8]):
            gateway = ipaddress.IPv6Address(bytes.fromhex(words[4]))
            routes.append(DefaultRoute("ipv6", words[9], _or_none(gateway), int(words[5], 16)))
    return sorted(routes, key=lambda route: route.metric)


def _usable(flags: str) -> bool:
    value = int(flags, 16)
    return bool(value & _UP) and not value & _REJECT


def _or_none(gateway: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    return str(gateway) if int(gateway) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
