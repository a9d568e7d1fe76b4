"""Whether a test left by a line of the school, and what that line's own counter moved meanwhile."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from agent.capacity.estimate import Mark
from agent.capacity.wire import Family
from agent.network.counters import parse_net_dev
from agent.probe import Site

COUNTS_FROM_SHARE = 0.90
ETHERNET = "1"
ETHERNET_HEADER_BYTES = 14
"""What Linux counts of the frame's header; interfaces of another type (tun, ppp) count from the IP layer."""

SAME_HOST = "the far end is on this host: the path leaves by no line"
IN_LAN = "the agent stands in the LAN: it cannot read the line's own counter"
NOT_A_LINE = "the path leaves by {interface}, which is no declared line"
NO_INTERFACE = "the path's interface is not known"


class Way(msgspec.Struct, frozen=True):
    """Where a connection leaves: the line's id and interface, or why there is none."""

    line: str | None = None
    interface: str | None = None
    why: str = ""


def way_of(site: Site, local: str, peer: str, lines: Mapping[str, str]) -> Way:
    """The line that a connection from ``local`` to ``peer`` leaves by. ``lines``: interface → id."""
    ours, far = ipaddress.ip_address(local), ipaddress.ip_address(peer)
    if far.is_loopback or ours == far:
        return Way(why=SAME_HOST)
    if site.stands_on == "lan":
        return Way(why=IN_LAN)
    interface = interface_of(local)
    if interface is None:
        return Way(why=NO_INTERFACE)
    if interface not in lines:
        return Way(why=NOT_A_LINE.format(interface=interface))
    return Way(line=lines[interface], interface=interface)


def interface_of(address: str) -> str | None:
    """The interface that holds a local address."""
    import psutil  # noqa: PLC0415

    for name, held in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == address for each in held):
            return str(name)
    return None


def held(families: Sequence[Family]) -> tuple[Family, ...]:
    """Without IPv6 where no interface of this host holds an address of it that reaches beyond its link."""
    import psutil  # noqa: PLC0415

    addresses = [
        ipaddress.IPv6Address(each.address.partition("%")[0])
        for every in psutil.net_if_addrs().values()
        for each in every
        if each.family == socket.AF_INET6
    ]
    beyond = any(not (each.is_link_local or each.is_loopback) for each in addresses)
    return tuple(family for family in families if family != "ipv6" or beyond) or tuple(families)


class Counter(Protocol):
    """What tells the bits that a line moved since it was made."""

    def mark(self, seconds: float) -> Mark | None:
        """Now, which is so many seconds after the start; None when it cannot be told."""
        ...


class LineCounter:
    """Bits at the IP layer that one interface took in, or gave out, since the first reading."""

    def __init__(self, proc: Path, sys: Path, interface: str, incoming: bool) -> None:
        self._file = proc / "net/dev"
        self._interface = interface
        self._incoming = incoming
        self._header_bytes = ETHERNET_HEADER_BYTES if _is_ethernet(sys, interface) else 0
        self._first = self._read()

    def mark(self, seconds: float) -> Mark | None:
        """Read now; None when the counter is gone or was reset."""
        now = self._read()
        if now is None or self._first is None or now < self._first:
            return None
        return Mark(seconds, float(now - self._first))

    def _read(self) -> int | None:
        counters = parse_net_dev(self._file.read_text(encoding="ascii")).get(self._interface)
        if counters is None:
            return None
        moved, packets = (
            (counters.rx_bytes, counters.rx_packets)
            if self._incoming
            else (counters.tx_bytes, counters.tx_packets)
        )
        return 8 * (moved - self._header_bytes * packets)


def _is_ethernet(sys: Path, interface: str) -> bool:
    try:
        return (sys / "class/net" / interface / "type").read_text(encoding="ascii").strip() == ETHERNET
    except OSError:
        return False
