"""Ports of a device by the interfaces MIB, what moved between two polls (RFC 2863, 3635, 4293). Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agent.network.counters import increase, is_impossible
from agent.snmp.session import Oid, Value
from config.points import FieldValue

SYS_OBJECT_ID: Oid = (1, 3, 6, 1, 2, 1, 1, 2, 0)
SYS_UP_TIME: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
TABLE_LAST_CHANGE: Oid = (1, 3, 6, 1, 2, 1, 31, 1, 5, 0)
"""ifTableLastChange: sysUpTime when a row came or went."""
_IF: Oid = (1, 3, 6, 1, 2, 1, 2, 2, 1)
_IFX: Oid = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1)

DESCRIPTIONS: Mapping[str, Oid] = {
    "name": (*_IFX, 1),
    "alias": (*_IFX, 18),
    "kind": (*_IF, 3),
    "duplex": (1, 3, 6, 1, 2, 1, 10, 7, 2, 1, 19),
}
"""Columns that seldom change: read at the first poll, after a change of the table, and now and then."""

READINGS: Mapping[str, Oid] = {
    "status": (*_IF, 8),
    "high_speed": (*_IFX, 15),
    "discontinuity": (*_IFX, 19),
    "rx_octets": (*_IFX, 6),
    "tx_octets": (*_IFX, 10),
    "rx_unicast": (*_IFX, 7),
    "rx_multicast": (*_IFX, 8),
    "rx_broadcast": (*_IFX, 9),
    "tx_unicast": (*_IFX, 11),
    "tx_multicast": (*_IFX, 12),
    "tx_broadcast": (*_IFX, 13),
    "rx_drops": (*_IF, 13),
    "rx_errors": (*_IF, 14),
    "tx_drops": (*_IF, 19),
    "tx_errors": (*_IF, 20),
}
"""Columns of every poll."""

NARROW: Mapping[str, Oid] = {"rx_octets_32": (*_IF, 10), "tx_octets_32": (*_IF, 16)}
"""Asked only of devices without 64-bit octets."""

IPV6: Mapping[str, Oid] = {"rx_ipv6_octets": (1, 3, 6, 1, 2, 1, 4, 31, 3, 1, 6, 2)}
"""ipIfStatsHCInOctets of version 2, which is IPv6: In alone, as RFC 4293 lets Out count less."""

COLUMNS: Mapping[str, Oid] = {**DESCRIPTIONS, **READINGS, **NARROW, **IPV6}

ETHERNET = 6
ETHERNET_FRAMING = 18
"""ifInOctets of an Ethernet port counts header and checksum (RFC 3635 3.2.5): taken off at each packet."""
WITHOUT_FRAMING = frozenset({23, 24, 131})
"""ppp, softwareLoopback, tunnel (IANAifType). Vendors call aggregates of Ethernet ports 53 or 161, so what is
none of these counts as Ethernet: at worst the IP layer is told a little too low.
"""
DUPLEX = {2: "half", 3: "full"}
"""dot3StatsDuplexStatus of RFC 3635; 1 is unknown."""
_MOST_NAME = 64
_MOST_ALIAS = 128


class PortReading(msgspec.Struct, frozen=True):
    """One port at one poll. Octets are 64-bit counters, or 32-bit ones where the device has no others."""

    name: str
    index: Oid
    octets: dict[str, int]
    octet_bits: int
    packets: dict[str, int | None]
    others: dict[str, int]
    speed_bits_per_second: int | None
    operational: bool | None
    alias: str
    framing_bytes: int
    discontinuity: int
    kind: int | None = None
    duplex: str | None = None
    ipv6_octets: int | None = None


class Poll(msgspec.Struct, frozen=True):
    """All ports of a device at one poll, read between two moments of the monotonic clock."""

    began_ns: int
    ended_ns: int
    up_time_ticks: int | None
    ports: dict[str, PortReading]


class Step(msgspec.Struct, frozen=True):
    """What moved on a port between two polls.

    ``counters`` are the fields of the point; ``ip_bytes`` are octets at the IP layer, for each direction
    whose packets are known. ``seconds`` lie between the starts of the two polls, at most ``longest_seconds``
    between the two readings of a counter.
    """

    seconds: float
    longest_seconds: float
    counters: dict[str, int]
    ip_bytes: dict[str, int]


def read_ports(table: Mapping[Oid, Mapping[str, Value]]) -> dict[str, PortReading]:
    """Rows of the two interface tables → ports by name; rows without a name or octets are passed over."""
    found = {}
    for index, row in table.items():
        name = text_of(row.get("name"), _MOST_NAME)
        octets, bits = _octets(row)
        if name and octets:
            found[name] = _port(name, index, row, octets, bits)
    return found


def state(port: PortReading) -> dict[str, FieldValue]:
    """Fields that say how a port stands; what the device does not tell is absent."""
    told: dict[str, FieldValue | None] = {
        "alias": port.alias or None,
        "operational": port.operational,
        "port_bits_per_second": port.speed_bits_per_second,
        "duplex": port.duplex,
    }
    return {key: value for key, value in told.items() if value is not None}


def step(before: Poll | None, after: Poll, name: str) -> Step | None:
    """What moved since the last poll; None when that is not known, so that the sample is dropped.

    Dropped: the first one, a restart (sysUpTime fell), a discontinuity, another ifIndex under the name, a
    64-bit counter that fell, a 32-bit one that may have wrapped twice, a rate above the link's.
    """
    if before is None or restarted(before, after) or name not in before.ports:
        return None
    old, new = before.ports[name], after.ports[name]
    longest = (after.ended_ns - before.began_ns) / 1e9
    if longest <= 0 or not _continues(old, new) or not _cannot_wrap_twice(new, longest):
        return None
    counters, ip_bytes = {}, {}
    for direction in ("rx", "tx"):
        octets = increase(old.octets[direction], new.octets[direction], new.octet_bits)
        if octets is None or is_impossible(8 * octets, longest, new.speed_bits_per_second):
            return None
        counters[f"{direction}_bytes"] = octets
        packets = _packets(old, new, direction)
        if packets is not None:
            counters[f"{direction}_packets"] = packets
            ip_bytes[direction] = max(0, octets - new.framing_bytes * packets)
            counters[f"{direction}_ip_bytes"] = ip_bytes[direction]
    counters |= _other_counters(old, new)
    return Step((after.began_ns - before.began_ns) / 1e9, longest, counters, ip_bytes)


def restarted(before: Poll, after: Poll) -> bool:
    """The device began anew: its sysUpTime fell (it wraps after 497 days, which costs one sample)."""
    if before.up_time_ticks is None or after.up_time_ticks is None:
        return False
    return after.up_time_ticks < before.up_time_ticks


def text_of(value: Value | None, most: int) -> str:
    """A device's text, shortened, without what cannot be printed; a backslash may not end it."""
    if not isinstance(value, bytes):
        return ""
    text = value[: 4 * most].decode("utf-8", errors="replace")
    return "".join(letter for letter in text if letter.isprintable())[:most].strip().rstrip("\\")


def _other_counters(old: PortReading, new: PortReading) -> dict[str, int]:
    counters = {}
    for key, value in new.others.items():
        moved = increase(old.others[key], value, 32) if key in old.others else None
        if moved is not None:
            counters[key] = moved
    if old.ipv6_octets is not None and new.ipv6_octets is not None:
        moved = increase(old.ipv6_octets, new.ipv6_octets)
        if moved is not None:
            counters["rx_ipv6_bytes"] = moved
    return counters


def _packets(old: PortReading, new: PortReading, direction: str) -> int | None:
    before, after = old.packets[direction], new.packets[direction]
    return None if before is None or after is None else increase(before, after)


def _continues(old: PortReading, new: PortReading) -> bool:
    same = (old.index, old.discontinuity, old.octet_bits) == (new.index, new.discontinuity, new.octet_bits)
    return same and old.octets.keys() == new.octets.keys()


def _cannot_wrap_twice(port: PortReading, seconds: float) -> bool:
    """Whether a 32-bit counter tells the truth at this speed and interval (RFC 2863 3.1.6)."""
    if port.octet_bits == 64:
        return True
    return port.speed_bits_per_second is not None and port.speed_bits_per_second * seconds < 8 * 2**32


def _port(name: str, index: Oid, row: Mapping[str, Value], octets: dict[str, int], bits: int) -> PortReading:
    speed, status, kind = (_number(row, key) for key in ("high_speed", "status", "kind"))
    others = {
        key: value
        for key in ("rx_errors", "tx_errors", "rx_drops", "tx_drops")
        if (value := _number(row, key)) is not None
    }
    return PortReading(
        name=name,
        index=index,
        octets=octets,
        octet_bits=bits,
        packets={direction: _packet_count(row, direction) for direction in ("rx", "tx")},
        others=others,
        speed_bits_per_second=speed * 10**6 if speed is not None and speed > 0 else None,
        operational=None if status is None else status == 1,
        alias=text_of(row.get("alias"), _MOST_ALIAS),
        kind=kind,
        framing_bytes=0 if kind in WITHOUT_FRAMING else ETHERNET_FRAMING,
        discontinuity=_number(row, "discontinuity") or 0,
        duplex=DUPLEX.get(_number(row, "duplex") or 0),
        ipv6_octets=_number(row, "rx_ipv6_octets"),
    )


def _number(row: Mapping[str, Value], key: str) -> int | None:
    value = row.get(key)
    return value if isinstance(value, int) else None


def _octets(row: Mapping[str, Value]) -> tuple[dict[str, int], int]:
    for suffix, bits in (("", 64), ("_32", 32)):
        rx, tx = _number(row, f"rx_octets{suffix}"), _number(row, f"tx_octets{suffix}")
        if rx is not None and tx is not None:
            return {"rx": rx, "tx": tx}, bits
    return {}, 64


def _packet_count(row: Mapping[str, Value], direction: str) -> int | None:
    counts = [_number(row, f"{direction}_{kind}") for kind in ("unicast", "multicast", "broadcast")]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
