"""What came of a test: the collector's own counts, and round trips that are the browser's word. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from collector.terminals.kernel import Connection
from collector.terminals.running import Direction, Test
from config.points import FieldValue

IP_SHARE: dict[str, float] = {"ipv4": 1500 / 1448, "ipv6": 1500 / 1428}
"""Octets at the IP layer for each of payload: full segments with timestamps at MTU 1500 (RFC 7323)."""
MOST_RTT_SECONDS = 60.0
GRADES = ((0.005, "A+"), (0.030, "A"), (0.060, "B"), (0.200, "C"), (0.400, "D"))


class RoundTrips(msgspec.Struct, frozen=True):
    """Medians that a browser tells, in seconds; None where it has none."""

    idle: float | None = None
    down: float | None = None
    up: float | None = None


class Result(msgspec.Struct, frozen=True):
    """Of one test. Rates of payload and at the IP layer in bit/s; None where the load was too short."""

    family: str
    counted_by: str
    down_bits_per_second: int | None = None
    up_bits_per_second: int | None = None
    down_ip_bits_per_second: int | None = None
    up_ip_bits_per_second: int | None = None
    down_bytes: int = 0
    up_bytes: int = 0
    down_seconds: float | None = None
    up_seconds: float | None = None
    idle_rtt_seconds: float | None = None
    down_rtt_seconds: float | None = None
    up_rtt_seconds: float | None = None
    latency_grade: str | None = None


def result_of(test: Test, told: RoundTrips) -> Result:
    """The test as far as it came."""
    down, up = test.loads["down"], test.loads["up"]
    rates = {name: load.meter.rate() for name, load in test.loads.items()}
    least = down.connection.least_rtt_seconds if down.connection else None
    idle, loaded_down, loaded_up = (believed(each, least) for each in (told.idle, told.down, told.up))
    by_kernel = down.counted_by_kernel and not test.caller.by_proxy
    return Result(
        family=test.caller.family,
        counted_by="kernel" if by_kernel else "server",
        down_bits_per_second=rates["down"].bits_per_second if rates["down"] else None,
        up_bits_per_second=rates["up"].bits_per_second if rates["up"] else None,
        down_ip_bits_per_second=_at_ip(test, "down"),
        up_ip_bits_per_second=_at_ip(test, "up"),
        down_bytes=down.meter.bytes,
        up_bytes=up.meter.bytes,
        down_seconds=rates["down"].seconds if rates["down"] else None,
        up_seconds=rates["up"].seconds if rates["up"] else None,
        idle_rtt_seconds=idle,
        down_rtt_seconds=loaded_down,
        up_rtt_seconds=loaded_up,
        latency_grade=_grade(idle, loaded_down, loaded_up),
    )


def fields_of(result: Result, address: str, place: str) -> dict[str, FieldValue]:
    """The fields of its point; what is not known is absent."""
    told: Mapping[str, FieldValue | None] = msgspec.structs.asdict(result)
    found = {name: value for name, value in told.items() if value is not None and name != "family"}
    return {**found, "address": address, **({"place": place} if place else {})}


def believed(told: float | None, least_rtt_seconds: float | None) -> float | None:
    """A round trip as told, where it can be one, and never below the shortest that the kernel saw."""
    if told is None or not math.isfinite(told) or not 0 < told < MOST_RTT_SECONDS:
        return None
    return max(told, least_rtt_seconds or 0.0)


def _at_ip(test: Test, direction: Direction) -> int | None:
    rate = test.loads[direction].meter.rate()
    connection: Connection | None = test.loads["down"].connection
    share = IP_SHARE[test.caller.family]
    if connection is not None and not test.caller.by_proxy:
        share = min(connection.ip_share, share)  # jumbo frames of a loopback carry fewer headers
    return round(rate.bits_per_second * share) if rate else None


def grade(added_seconds: float) -> str:
    """Latency under load, by how much it adds to the round trip; the agents' tests are graded alike."""
    return next((name for limit, name in GRADES if added_seconds < limit), "F")


def _grade(idle: float | None, *loaded: float | None) -> str | None:
    known = [each for each in loaded if each is not None]
    return grade(max(known) - idle) if idle is not None and known else None
