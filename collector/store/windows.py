"""Windows made in Python, for an engine that cannot make them itself: of points, and of windows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from collector.store import histograms, tables
from collector.store.interface import NS, WINDOW_SECONDS, Aggregate, RawPoint, StoredWindow
from config.measurements import Measurement


def start_of(time_ns: int, seconds: int, day_offset_ns: int) -> int:
    """Where the window that holds a moment begins; days begin ``day_offset_ns`` before those of UTC."""
    offset = day_offset_ns if seconds % WINDOW_SECONDS[-1] == 0 else 0
    return (time_ns + offset) // (seconds * NS) * (seconds * NS) - offset


class Span(NamedTuple):
    """Kept windows of one length that begin from ``start_ns`` to before ``end_ns``."""

    seconds: int
    start_ns: int
    end_ns: int


def spans_of_histograms(start_ns: int, end_ns: int, day_offset_ns: int) -> list[Span]:
    """The fewest kept windows that hold a range: those of whole days, and of an hour before and behind."""
    hour, day = WINDOW_SECONDS[1:]
    first = start_of(start_ns - 1, day, day_offset_ns) + day * NS
    last = start_of(end_ns, day, day_offset_ns)
    if first >= last:
        return [Span(hour, start_ns, end_ns)]
    spans = (Span(hour, start_ns, first), Span(day, first, last), Span(hour, last, end_ns))
    return [span for span in spans if span.start_ns < span.end_ns]


def aggregate(values: Iterable[float]) -> Aggregate | None:
    """Count, sum, least and greatest; None without values."""
    found = list(values)
    return Aggregate(len(found), sum(found), min(found), max(found)) if found else None


def joined(parts: Sequence[Aggregate]) -> Aggregate:
    """One window of several, at least one."""
    return Aggregate(
        sum(part.count for part in parts),
        sum(part.sum for part in parts),
        min(part.min for part in parts),
        max(part.max for part in parts),
    )


def of_points(
    declared: Measurement, tags: dict[str, str], points: Iterable[RawPoint], seconds: int, day_offset_ns: int
) -> list[StoredWindow]:
    """The windows of one series' raw points, by time."""
    by_start: dict[int, list[RawPoint]] = {}
    for point in points:
        by_start.setdefault(start_of(point.time_ns, seconds, day_offset_ns), []).append(point)
    numeric, texts = tables.numeric_fields(declared), histograms.rate_histograms(declared)
    return [
        StoredWindow(tags, start, _aggregates(numeric, some), _rate_histograms(texts, some))
        for start, some in sorted(by_start.items())
    ]


def of_windows(
    declared: Measurement, windows: Iterable[StoredWindow], seconds: int, day_offset_ns: int
) -> list[StoredWindow]:
    """The longer windows of one series' 5-minute windows, by time."""
    by_start: dict[int, list[StoredWindow]] = {}
    for window in windows:
        by_start.setdefault(start_of(window.start_ns, seconds, day_offset_ns), []).append(window)
    means = histograms.mean_histograms(declared)
    return [
        StoredWindow(
            some[0].tags, start, regrouped(each.fields for each in some),
            _merged_histograms(some) | _means(means, some),
        )
        for start, some in sorted(by_start.items())
    ]  # fmt: skip


def regrouped(windows: Iterable[Mapping[str, Aggregate]]) -> dict[str, Aggregate]:
    """The fields of several windows as one."""
    parts: dict[str, list[Aggregate]] = {}
    for fields in windows:
        for name, each in fields.items():
            parts.setdefault(name, []).append(each)
    return {name: joined(some) for name, some in parts.items()}


def _aggregates(numeric: Iterable[str], points: Sequence[RawPoint]) -> dict[str, Aggregate]:
    found = {
        name: aggregate(point.fields[name] for point in points if name in point.fields)  # type: ignore[misc]
        for name in numeric
    }
    return {name: each for name, each in found.items() if each is not None}


def _rate_histograms(texts: Iterable[str], points: Sequence[RawPoint]) -> dict[str, Counter[int]]:
    found = {
        name: histograms.merged(histograms.read(point.fields.get(name)) for point in points) for name in texts
    }
    return {name: counts for name, counts in found.items() if counts}


def _merged_histograms(windows: Sequence[StoredWindow]) -> dict[str, Counter[int]]:
    names = {name for window in windows for name in window.histograms}
    return {
        name: histograms.merged(window.histograms.get(name, {}) for window in windows)
        for name in sorted(names)
    }


def _means(means: Iterable[histograms.Means], windows: Sequence[StoredWindow]) -> dict[str, Counter[int]]:
    found = {
        each.name: Counter(
            bucket for window in windows if (bucket := _mean_bucket(window, each.sum_field)) is not None
        )
        for each in means
    }
    return {name: counts for name, counts in found.items() if counts}


def _mean_bucket(window: StoredWindow, sum_field: str) -> int | None:
    rates, samples = window.fields.get(sum_field), window.fields.get(histograms.SAMPLES)
    if rates is None or samples is None:
        return None
    return histograms.mean_bucket(rates.sum, samples.sum)
