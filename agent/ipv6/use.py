"""Check 15: IPv6's share of what comes in by the lines, from the kernel's own counters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.network.counters import increase, parse_ipv6_octets, parse_net_dev
from config.readiness import Finding, failed, passed, unknown

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


def actual_use(before: Reading | None, after: Reading | None, floor_percent: float | None) -> Finding:
    """IPv6's share of the octets at the IP layer between two readings."""
    if floor_percent is None:
        return unknown(15, "no_floor")
    moved = _moved(before, after)
    if moved is None or moved.octets < LEAST_BYTES:
        return unknown(15, "no_traffic_seen")
    whole = moved.octets - ETHERNET_HEADER_BYTES * moved.packets
    percent = round(100 * min(1.0, moved.ipv6_octets / max(1, whole)), 1)
    make, code = (passed, "use") if percent >= floor_percent else (failed, "little_use")
    return make(15, code, percent=percent, floor=floor_percent)


def _moved(before: Reading | None, after: Reading | None) -> Reading | None:
    if before is None or after is None:
        return None
    steps = [
        increase(old, new)
        for old, new in zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    ]
    known = [step for step in steps if step is not None]
    return Reading(*known) if len(known) == len(steps) else None
