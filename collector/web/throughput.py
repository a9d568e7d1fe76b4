"""What moved on each interface of a school: the data of its charts. Missing windows stay missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from collector.store.interface import NS, Aggregate, RawPoint, SeriesPoints, SeriesWindows, Store

SAMPLES = "samples"
SUMS = ("rx_bits_per_second_sum", "tx_bits_per_second_sum")
GREATEST = ("rx_bits_per_second_max", "tx_bits_per_second_max")
FIELDS = (SAMPLES, *SUMS, *GREATEST)
HOUR = 3600
RAW_SPAN_SECONDS = 3 * HOUR
STEPS = (300, 900, HOUR, 3 * HOUR, 6 * HOUR, 86400)
POINTS = 1500
"""A chart is about that many pixels wide."""
ROLES = ("line", "lan", "other", "loopback")


class InterfaceSeries(msgspec.Struct, frozen=True):
    """One interface, bit/s at the IP layer: the mean of each window and its greatest 1 s rate; None where a
    window holds no rate. ``times`` are seconds since 1970 UTC, ascending.
    """

    interface: str
    role: str
    line: str | None
    window_seconds: float
    times: list[float]
    rx_bits_per_second: list[float | None]
    tx_bits_per_second: list[float | None]
    rx_max_bits_per_second: list[float | None]
    tx_max_bits_per_second: list[float | None]


class Throughput(msgspec.Struct, frozen=True):
    """Every interface of the agent's host over [start, end) in seconds since 1970 UTC, the lines first."""

    start: float
    end: float
    interfaces: list[InterfaceSeries]


def throughput(store: Store, school_id: str, start: float, end: float) -> Throughput:
    """Points as measured for a few hours, else windows, so that no series has many more than POINTS values.

    Interfaces of polled devices are left out: there may be thousands.
    """
    span: dict[str, Any] = {"start_ns": round(start) * NS, "end_ns": round(end) * NS}
    if end - start <= RAW_SPAN_SECONDS:
        found = store.points(school_id, "interface", fields=("window_seconds", *FIELDS), **span)
        series = [_of_points(one) for one in found if "device" not in one.tags]
    else:
        step = step_of(end - start)
        windows = store.series(school_id, "interface", fields=FIELDS, resolution_seconds=step, **span)
        series = [_of_windows(one) for one in windows if "device" not in one.tags]
    return Throughput(start, end, sorted(_joined(series), key=_rank))


def step_of(span_seconds: float) -> int:
    """The finest step that draws a span in no more than POINTS windows."""
    return next((step for step in STEPS if span_seconds / step <= POINTS), STEPS[-1])


def _of_points(one: SeriesPoints) -> InterfaceSeries:
    seconds = max((_number(point, "window_seconds") or 0.0 for point in one.points), default=0.0)
    columns: list[list[float | None]] = [[_point_mean(point, name) for point in one.points] for name in SUMS]
    columns += [[_number(point, name) for point in one.points] for name in GREATEST]
    return _series(one.tags, seconds, [point.time_ns / NS for point in one.points], columns)


def _of_windows(one: SeriesWindows) -> InterfaceSeries:
    columns: list[list[float | None]] = [
        [_window_mean(window.fields, name) for window in one.windows] for name in SUMS
    ]
    columns += [[_greatest(window.fields, name) for window in one.windows] for name in GREATEST]
    times = [window.start_ns / NS for window in one.windows]
    return _series(one.tags, float(one.resolution_seconds), times, columns)


def _series(
    tags: Mapping[str, str], seconds: float, times: list[float], columns: list[list[float | None]]
) -> InterfaceSeries:
    role, interface = tags.get("role", "other"), tags.get("interface", "?")
    return InterfaceSeries(interface, role, tags.get("line"), seconds, times, *columns)


def _point_mean(point: RawPoint, name: str) -> float | None:
    samples, total = _number(point, SAMPLES), _number(point, name)
    return total / samples if samples and samples > 0 and total is not None else None


def _window_mean(fields: Mapping[str, Aggregate], name: str) -> float | None:
    """Of all seconds: the sum of the sums by the sum of the samples, never a mean of means."""
    samples, total = fields.get(SAMPLES), fields.get(name)
    return total.sum / samples.sum if samples and samples.sum > 0 and total else None


def _greatest(fields: Mapping[str, Aggregate], name: str) -> float | None:
    found = fields.get(name)
    return found.max if found else None


def _number(point: RawPoint, name: str) -> float | None:
    value = point.fields.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _joined(series: Iterable[InterfaceSeries]) -> Iterable[InterfaceSeries]:
    """One series an interface: where its role changed meanwhile, the newest holds."""
    newest: dict[str, InterfaceSeries] = {}
    for one in sorted((each for each in series if each.times), key=lambda each: each.times[-1]):
        newest[one.interface] = one
    return newest.values()


def _rank(one: InterfaceSeries) -> tuple[int, str]:
    return (ROLES.index(one.role) if one.role in ROLES else len(ROLES), one.interface)
