"""The address plan inside the lab: nothing of it ever leaves a namespace.

IPv4 is private. IPv6 is 2001:db8::/32, the documentation prefix, because a ULA is not «global» to check 1.
k counts carriers, n lines, m schools; all from 1.
"""

from __future__ import annotations

CORE_TO_CENTRE = ("10.1.0.1/16", "2001:db8:1::1/48")
CORE_TO_OUTSIDE = ("10.2.0.1/16", "2001:db8:2::1/48")
CENTRE = ("10.1.0.10", "2001:db8:1::10")
OUTSIDE = ("10.2.0.10", "2001:db8:2::10")
OUTSIDE_HOSTS = (("10.2.0.11", "2001:db8:2::11"), ("10.2.0.12", "2001:db8:2::12"))
ROGUE_PREFIX = "2001:db8:bad:1::/64"


def centre_on(k: int) -> tuple[str, str]:
    """The centre's own address in the network of carrier ``k``: a responder beyond that carrier's lines."""
    return f"10.1.{k}.10", f"2001:db8:1:{k:x}::10"


def core_to_carrier(k: int, host: int) -> tuple[str, str]:
    """Host 1 is the core, 2 the carrier."""
    return f"10.0.{k}.{host}", f"2001:db8:0:{k:x}::{host}"


def carrier_to_access(n: int, host: int) -> tuple[str, str]:
    """Host 1 is the carrier, 2 the access node of line ``n``."""
    return f"10.3.{n}.{host}", f"2001:db8:3:{n:x}::{host}"


def access_to_gateway(n: int, host: int) -> tuple[str, str]:
    """Host 1 is the access node, 2 the school's gateway."""
    return f"10.4.{n}.{host}", f"2001:db8:4:{n:x}::{host}"


def lan(m: int, host: int) -> tuple[str, str]:
    """Host 1 is the gateway, 10 the box, 101 on the terminals (whose IPv6 address is their own, by SLAAC)."""
    return f"10.5.{m}.{host}", f"2001:db8:{0x1000 + m:x}:1::{host:x}"


def school_prefix(m: int) -> str:
    """What is routed to school ``m``."""
    return f"2001:db8:{0x1000 + m:x}::/48"


def lan_prefix(m: int) -> str:
    """The /64 of the LAN of school ``m``."""
    return f"2001:db8:{0x1000 + m:x}:1::/64"
