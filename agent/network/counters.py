"""Interface counters, and the one rule that turns two readings into an increase."""

from __future__ import annotations

import msgspec

IMPOSSIBLE_SHARE = 1.05
"""A rate above this share of the link's speed is a fault of the counter, not traffic."""


class Counters(msgspec.Struct, frozen=True):
    """Totals of one interface since some past moment, in the order of /proc/net/dev."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_drops: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_drops: int


_COLUMNS = (0, 1, 2, 3, 8, 9, 10, 11)


def parse_net_dev(text: str) -> dict[str, Counters]:
    """Text of /proc/net/dev → counters by interface name. Lines of another shape are passed over."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        numbers = rest.split()
        if len(numbers) >= 16 and all(number.isdigit() for number in numbers):
            found[name.strip()] = Counters(*(int(numbers[column]) for column in _COLUMNS))
    return found


def parse_ipv6_octets(text: str) -> int | None:
    """Text of /proc/net/dev_snmp6/IF → Ip6InOctets, forwarded traffic included; None where it is not told."""
    for line in text.splitlines():
        name, _, value = line.partition("\t")
        if name.strip() == "Ip6InOctets" and value.strip().isdigit():
            return int(value)
    return None


def increase(before: int, after: int, bits: int = 64) -> int | None:
    """How far a counter moved. A fall is a wrap when it is 32 bits wide, a reset otherwise (None).

    Whoever knows of a restart in between must not ask. Source: RFC 2863 section 3.1.6.
    """
    if after >= before:
        return after - before
    if bits == 32 and before < 2**32:
        return after - before + 2**32
    return None


def increases(before: Counters, after: Counters, bits: int = 64) -> Counters | None:
    """How far all counters moved; None when any of them was reset."""
    moved = [
        increase(old, new, bits)
        for old, new in zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    ]
    known = [step for step in moved if step is not None]
    return Counters(*known) if len(known) == len(moved) else None


def total(first: Counters, second: Counters) -> Counters:
    """The sum of two increases."""
    pairs = zip(msgspec.structs.astuple(first), msgspec.structs.astuple(second), strict=True)
    return Counters(*(a + b for a, b in pairs))


def is_impossible(bits: int, seconds: float, link_bits_per_second: int | None) -> bool:
    """True when so many bits in so many seconds do not fit the link. Unknown speed: nothing is impossible."""
    return link_bits_per_second is not None and bits > IMPOSSIBLE_SHARE * link_bits_per_second * seconds
