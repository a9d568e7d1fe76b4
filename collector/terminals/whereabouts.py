"""Who a terminal is: its address, its family, and the school whose networks it comes from. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from config.school import School

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Family: TypeAlias = Literal["ipv4", "ipv6"]


class Caller(NamedTuple):
    """Where a request comes from. ``by_proxy``: a trusted proxy said so; the connection is its own."""

    address: Address
    by_proxy: bool

    @property
    def family(self) -> Family:
        """What the terminal's connection runs over."""
        return "ipv6" if self.address.version == 6 else "ipv4"


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as settings write them; host bits are allowed. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def caller(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Caller | None:
    """The nearest address that is no trusted proxy: X-Forwarded-For (one text for each header) is read from
    its end, and believed only as long as trusted proxies wrote it. None where there is no address.
    """
    address = read_address(peer)
    by_proxy = False
    hops = [hop for header in forwarded_for for hop in header.split(",")]
    while address is not None and hops and _within(address, trusted):
        address = read_address(hops.pop())
        by_proxy = True
    return None if address is None else Caller(address, by_proxy)


def read_address(text: str) -> Address | None:
    """An address, an IPv4 one out of its IPv6 form (``::ffff:192.0.2.1``, RFC 4291 2.5.5.2); else None."""
    bare = text.strip().strip('"').removeprefix("[").partition("]")[0].partition("%")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def school_at(address: Address, schools: Mapping[str, School]) -> str | None:
    """The school whose network has the address, the narrowest one; None where there is none, or two."""
    found = [
        (network.prefixlen, school.id)
        for school in schools.values()
        for network in networks_of(school)
        if network.version == address.version and address in network
    ]
    narrowest = max((length for length, _ in found), default=0)
    named = {school_id for length, school_id in found if length == narrowest}
    return named.pop() if len(named) == 1 else None


def networks_of(school: School) -> list[Network]:
    """Where a school's terminals come from: its networks, and its gateways' public addresses behind NAT."""
    texts = [*school.networks, *(line.public_address for line in school.lines if line.public_address)]
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:  # a host name, which may be anywhere tomorrow
            continue
    return found


def _within(address: Address, trusted: Sequence[Network]) -> bool:
    return any(network.version == address.version and address in network for network in trusted)
