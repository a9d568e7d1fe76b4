"""What moved on each interface of a school lately: the data of the chart. Missing windows stay missing."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from collector.store.interface import NS, RawPoint, SeriesPoints, Store

FIELDS = ("samples", "window_seconds", "rx_bits_per_second_sum", "tx_bits_per_second_sum")
SPAN_SECONDS = 3600
ROLES = ("line", "lan", "other", "loopback")


class InterfaceSeries(msgspec.Struct, frozen=True):
    """One interface: the mean rate of each window, bit/s at the IP layer; None where a window holds no rate.

    ``times`` are seconds since 1970 UTC, ascending.
    """

    interface: str
    role: str
    line: str | None
    window_seconds: float
    times: list[float]
    rx_bits_per_second: list[float | None]
    tx_bits_per_second: list[float | None]


class Throughput(msgspec.Struct, frozen=True):
    """Every interface of the agent's host, the lines first."""

    interfaces: list[InterfaceSeries]


def throughput(store: Store, school_id: str, now_ns: int | None = None) -> Throughput:
    """The last hour. Interfaces of polled devices are left out: there may be thousands."""
    end_ns = (time.time_ns() if now_ns is None else now_ns) + NS
    found = store.points(
        school_id, "interface", fields=FIELDS, start_ns=end_ns - SPAN_SECONDS * NS, end_ns=end_ns
    )
    series = [_series_of(one) for one in found if one.points and "device" not in one.tags]
    return Throughput(sorted(_joined(series), key=_rank))


def _series_of(one: SeriesPoints) -> InterfaceSeries:
    return InterfaceSeries(
        interface=one.tags.get("interface", "?"),
        role=one.tags.get("role", "other"),
        line=one.tags.get("line"),
        window_seconds=max((_window(point) for point in one.points), default=0.0),
        times=[point.time_ns / NS for point in one.points],
        rx_bits_per_second=[_mean(point, "rx_bits_per_second_sum") for point in one.points],
        tx_bits_per_second=[_mean(point, "tx_bits_per_second_sum") for point in one.points],
    )


def _mean(point: RawPoint, field: str) -> float | None:
    samples, total = point.fields.get("samples"), point.fields.get(field)
    if not isinstance(samples, int) or samples <= 0 or not isinstance(total, int | float):
        return None
    return total / samples


def _window(point: RawPoint) -> float:
    seconds = point.fields.get("window_seconds", 0.0)
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _joined(series: Iterable[InterfaceSeries]) -> Iterable[InterfaceSeries]:
    """One series an interface: where its role changed meanwhile, the newest holds."""
    newest: dict[str, InterfaceSeries] = {}
    for one in sorted(series, key=lambda each: each.times[-1]):
        newest[one.interface] = one
    return newest.values()


def _rank(one: InterfaceSeries) -> tuple[int, str]:
    return (ROLES.index(one.role) if one.role in ROLES else len(ROLES), one.interface)
