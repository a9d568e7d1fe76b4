"""Check 15: IPv6's share of what comes in by the lines, and of the hosts that speak, both from the kernel."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from agent.network.counters import increase, parse_ipv6_octets, parse_net_dev
from agent.network.neighbours import Neighbour
from config.readiness import Finding, failed, passed, unknown

ACTIVE_SECONDS = 600.0
"""A host that the kernel heard of within this time is active."""
LEAST_BYTES = 10_000_000
ETHERNET_HEADER_BYTES = 14


class Reading(msgspec.Struct, frozen=True):
    """Totals of the lines' interfaces: octets with link headers, packets, and IPv6 octets."""

    octets: int
    packets: int
    ipv6_octets: int


def read(proc: Path, interfaces: Iterable[str]) -> Reading | None:
    """The counters now; None where an interface does not tell."""
    counters = parse_net_dev((proc / "net/dev").read_text(encoding="ascii"))
    octets = packets = ipv6 = 0
    for name in interfaces:
        path = proc / "net/dev_snmp6" / name
        seen = parse_ipv6_octets(path.read_text(encoding="ascii")) if path.exists() else None
        if name not in counters or seen is None:
            return None
        octets += counters[name].rx_bytes
        packets += counters[name].rx_packets
        ipv6 += seen
    return Reading(octets, packets, ipv6)


class Hosts(msgspec.Struct, frozen=True):
    """Active hosts of the LANs, by MAC: all, and those that speak IPv6 beyond their link."""

    all: int
    ipv6: int


def active_hosts(neighbours: Sequence[Neighbour], lans: Iterable[int]) -> Hosts:
    """Who was heard of on the interfaces of those numbers; ``neighbours`` are of both families."""
    numbers = set(lans)
    active = [
        each
        for each in neighbours
        if each.interface_index in numbers and each.mac and each.answers(ACTIVE_SECONDS)
    ]
    by_ipv6 = {each.mac for each in active if _reaches_beyond(each.address)}
    return Hosts(len({each.mac for each in active}), len(by_ipv6))


def _reaches_beyond(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.version == 6 and not address.is_link_local


def actual_use(
    before: Reading | None, after: Reading | None, hosts: Hosts | None, floor_percent: float | None
) -> Finding:
    """IPv6's share of the octets at the IP layer between two readings, and of the active hosts."""
    if floor_percent is None:
        return unknown(15, "no_floor")
    moved = _moved(before, after)
    if moved is None or moved.octets < LEAST_BYTES:
        return unknown(15, "no_traffic_seen")
    whole = moved.octets - ETHERNET_HEADER_BYTES * moved.packets
    percent = round(100 * min(1.0, moved.ipv6_octets / max(1, whole)), 1)
    if percent < floor_percent:
        return failed(15, "little_use", percent=percent, floor=floor_percent)
    if hosts is None or not hosts.all:
        return unknown(15, "no_hosts_seen", percent=percent)
    told = {"percent": percent, "floor": floor_percent, "hosts": hosts.all, "ipv6_hosts": hosts.ipv6}
    if 100 * hosts.ipv6 < floor_percent * hosts.all:
        return failed(15, "few_hosts", **told)
    return passed(15, "use", **told)


def _moved(before: Reading | None, after: Reading | None) -> Reading | None:
    if before is None or after is None:
        return None
    steps = [
        increase(old, new)
        for old, new in zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    ]
    known = [step for step in steps if step is not None]
    return Reading(*known) if len(known) == len(steps) else None
