"""Ports of a device from the interfaces MIB, and what moved between two polls (RFC 2863, RFC 3635). Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agent.network.counters import increase, is_impossible
from agent.network.peak import LEAST_SPAN_SECONDS
from agent.snmp.session import Oid, Value
from config.points import FieldValue

SYS_UP_TIME: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_IF: Oid = (1, 3, 6, 1, 2, 1, 2, 2, 1)
_IFX: Oid = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1)
COLUMNS: Mapping[str, Oid] = {
    "name": (*_IFX, 1),
    "alias": (*_IFX, 18),
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
    "kind": (*_IF, 3),
    "status": (*_IF, 8),
    "rx_octets_32": (*_IF, 10),
    "tx_octets_32": (*_IF, 16),
    "rx_drops": (*_IF, 13),
    "rx_errors": (*_IF, 14),
    "tx_drops": (*_IF, 19),
    "tx_errors": (*_IF, 20),
}

ETHERNET = 6
ETHERNET_FRAMING = 18
"""ifInOctets of an Ethernet port counts header and checksum (RFC 3635 3.2.5): taken off at each packet."""
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


class Poll(msgspec.Struct, frozen=True):
    """All ports of a device at one poll, read between two moments of the monotonic clock."""

    began_ns: int
    ended_ns: int
    up_time_ticks: int | None
    ports: dict[str, PortReading]


def read_ports(table: Mapping[Oid, Mapping[str, Value]]) -> dict[str, PortReading]:
    """Rows of the two interface tables → ports by name; rows without a name or octets are passed over."""
    found = {}
    for index, row in table.items():
        name = _text(row.get("name"), _MOST_NAME)
        octets, bits = _octets(row)
        if name and octets:
            found[name] = _port(name, index, row, octets, bits)
    return found


def moved(before: Poll | None, after: Poll, name: str) -> dict[str, FieldValue]:
    """Fields of a port: what it is now, and what moved since the last poll where that is known.

    A restart (sysUpTime fell), a discontinuity, another ifIndex under the name, a 64-bit counter that fell, a
    32-bit one that may have wrapped twice, and a rate above the link's drop the sample: it counts, no more.
    """
    port = after.ports[name]
    fields: dict[str, FieldValue] = {"alias": port.alias} if port.alias else {}
    if port.operational is not None:
        fields["operational"] = port.operational
    if port.speed_bits_per_second:
        fields["port_bits_per_second"] = port.speed_bits_per_second
    rates = _increase(before, after, name)
    return fields | (rates or {"samples": 0, "samples_dropped": 1})


def _increase(before: Poll | None, after: Poll, name: str) -> dict[str, FieldValue] | None:
    if before is None or _restarted(before, after) or name not in before.ports:
        return None
    old, new = before.ports[name], after.ports[name]
    seconds = (after.ended_ns - before.began_ns) / 1e9
    if not _continues(old, new) or not _cannot_wrap_twice(new, seconds):
        return None
    fields: dict[str, FieldValue] = {"window_seconds": (after.began_ns - before.began_ns) / 1e9}
    for direction in ("rx", "tx"):
        octets = increase(old.octets[direction], new.octets[direction], new.octet_bits)
        if octets is None or is_impossible(8 * octets, seconds, new.speed_bits_per_second):
            return None
        fields[f"{direction}_bytes"] = octets
        fields |= _peak(direction, octets, _packets(old, new, direction), new.framing_bytes, seconds)
    for key, value in new.others.items():
        step = increase(old.others[key], value, 32) if key in old.others else None
        fields |= {key: step} if step is not None else {}
    if any("_peak_" in key for key in fields):
        fields["peak_seconds"] = seconds
    return fields | {"samples": 1, "samples_dropped": 0}


def _peak(
    direction: str, octets: int, packets: int | None, framing: int, seconds: float
) -> dict[str, FieldValue]:
    """The mean since the last poll is a peak over that time, where packets tell the IP layer."""
    if packets is None:
        return {}
    fields: dict[str, FieldValue] = {f"{direction}_packets": packets}
    if seconds >= LEAST_SPAN_SECONDS:
        ip_bytes = max(0, octets - framing * packets)
        fields[f"{direction}_peak_bits_per_second"] = int(8 * ip_bytes / seconds)
    return fields


def _packets(old: PortReading, new: PortReading, direction: str) -> int | None:
    before, after = old.packets[direction], new.packets[direction]
    return None if before is None or after is None else increase(before, after)


def _restarted(before: Poll, after: Poll) -> bool:
    if before.up_time_ticks is None or after.up_time_ticks is None:
        return False
    return after.up_time_ticks < before.up_time_ticks


def _continues(old: PortReading, new: PortReading) -> bool:
    same = (old.index, old.discontinuity, old.octet_bits) == (new.index, new.discontinuity, new.octet_bits)
    return same and old.octets.keys() == new.octets.keys()


def _cannot_wrap_twice(port: PortReading, seconds: float) -> bool:
    """Whether a 32-bit counter tells the truth at this speed and interval (RFC 2863 3.1.6)."""
    if port.octet_bits == 64:
        return True
    return port.speed_bits_per_second is not None and port.speed_bits_per_second * seconds < 8 * 2**32


def _port(name: str, index: Oid, row: Mapping[str, Value], octets: dict[str, int], bits: int) -> PortReading:
    speed = row.get("high_speed")
    status = row.get("status")
    others = {
        key: value
        for key in ("rx_errors", "tx_errors", "rx_drops", "tx_drops")
        if isinstance(value := row.get(key), int)
    }
    discontinuity = row.get("discontinuity")
    return PortReading(
        name=name,
        index=index,
        octets=octets,
        octet_bits=bits,
        packets={direction: _packet_count(row, direction) for direction in ("rx", "tx")},
        others=others,
        speed_bits_per_second=speed * 10**6 if isinstance(speed, int) and speed > 0 else None,
        operational=status == 1 if isinstance(status, int) else None,
        alias=_text(row.get("alias"), _MOST_ALIAS),
        framing_bytes=ETHERNET_FRAMING if row.get("kind") == ETHERNET else 0,
        discontinuity=discontinuity if isinstance(discontinuity, int) else 0,
    )


def _octets(row: Mapping[str, Value]) -> tuple[dict[str, int], int]:
    for suffix, bits in (("", 64), ("_32", 32)):
        rx, tx = row.get(f"rx_octets{suffix}"), row.get(f"tx_octets{suffix}")
        if isinstance(rx, int) and isinstance(tx, int):
            return {"rx": rx, "tx": tx}, bits
    return {}, 64


def _packet_count(row: Mapping[str, Value], direction: str) -> int | None:
    counts = [row.get(f"{direction}_{kind}") for kind in ("unicast", "multicast", "broadcast")]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if len(known) == len(counts) else None


def _text(value: Value | None, most: int) -> str:
    """A device's text, shortened, without what cannot be printed; a backslash may not end it."""
    if not isinstance(value, bytes):
        return ""
    text = value[: 4 * most].decode("utf-8", errors="replace")
    return "".join(letter for letter in text if letter.isprintable())[:most].strip().rstrip("\\")
