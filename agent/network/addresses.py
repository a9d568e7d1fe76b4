"""IPv6 addresses of this host as the kernel has them."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec

TENTATIVE = 0x40
DADFAILED = 0x08
DEPRECATED = 0x20
"""IFA_F_* of linux/if_addr.h."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")
_TRANSITION = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))
"""6to4 (RFC 3056) and Teredo (RFC 4380): tunnels, no IPv6 of the carrier."""


class Address(msgspec.Struct, frozen=True):
    """One address of an interface, with the kernel's flags."""

    interface: str
    address: ipaddress.IPv6Address
    flags: int
    prefix_length: int = 64

    @property
    def is_global(self) -> bool:
        """Global unicast, and neither 6to4 nor Teredo. Link-local and unique local ones are not."""
        return self.address in _GLOBAL_UNICAST and not any(self.address in net for net in _TRANSITION)

    @property
    def is_unique_local(self) -> bool:
        """fc00::/7 (RFC 4193)."""
        return self.address in _UNIQUE_LOCAL

    @property
    def prefix(self) -> ipaddress.IPv6Network:
        """The network the address is in."""
        return ipaddress.IPv6Network((self.address, self.prefix_length), strict=False)

    @property
    def is_settled(self) -> bool:
        """Duplicate address detection is done and found none."""
        return not self.flags & (TENTATIVE | DADFAILED)


def read_addresses(proc: Path) -> list[Address] | None:
    """Addresses of all interfaces; None when the kernel has no IPv6."""
    try:
        return parse_addresses((proc / "net/if_inet6").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def parse_addresses(text: str) -> list[Address]:
    """Text of /proc/net/if_inet6: address, index, prefix length, scope, flags (all hex), name."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 6 and len(words[0]) == 32:
            address = ipaddress.IPv6Address(bytes.fromhex(words[0]))
            found.append(Address(words[5], address, int(words[4], 16), int(words[2], 16)))
    return found
