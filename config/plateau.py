"""Plateaus: a line flat at a rate for minutes while delay or loss rises carries at least that rate. Pure.

Found from windows of a line and of the pings beyond it, so in the collector and not in a probe: a probe knows
no other, and the counters of a line may come by SNMP from one agent and its pings from another. Congestion
further on looks the same, so a plateau is a lower bound that asks for a verify run at once, and no upper one.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from config import histogram
from config.evidence import Evidence, EvidenceKind, moment_of
from config.points import Point
from config.school import School

LEAST_SECONDS = 180.0
LONGEST_SECONDS = 86400.0
"""Devices are polled once a day at least; a ping's window is shorter (``config.uptime``)."""
MOST_BITS_PER_SECOND = 1e18
"""A window that is longer, or whose rates are more together or below zero, was not measured: nothing of it is
kept.
"""
LEAST_WINDOWS = 3
LEAST_BITS_PER_SECOND = 1_000_000
"""A line that is flat below this is idle."""
FLAT_SHARE = 0.9
"""So much of a window's 1 s rates lies within one bucket of the median, which is about 6 % either way."""
SAME_RATE = 0.95
"""The least window's mean, as a share of the greatest one's."""
GAP = 1.5
"""Windows follow each other when no more than half a window lies between them."""
LEAST_RISE_SECONDS = 0.010
LEAST_RISE_SHARE = 0.25
LEAST_LOSS = 0.02
"""Delay rises by both of the first, or loss by this, against the best quarter of the hour before the plateau:
an hour that had another plateau in it is still measured against its calm.
"""
BASELINE_NS = 3600 * 10**9
BASELINE_WINDOWS = 3
WINDOWS_KEPT = 64
SERIES_KEPT = 64

_Direction: TypeAlias = Literal["down", "up"]
_DIRECTIONS: tuple[tuple[str, _Direction], ...] = (("rx", "down"), ("tx", "up"))


class RateWindow(NamedTuple):
    """A window of one direction of a line: its mean at the IP layer, and 1.0 where it was flat by itself."""

    end_ns: int
    start_ns: int
    bits_per_second: float
    flat: float


class PingWindow(NamedTuple):
    """A window of pings to one target. ``rtt_seconds`` is NaN where the median was lost."""

    end_ns: int
    rtt_seconds: float
    loss: float


Window = TypeVar("Window", RateWindow, PingWindow)


class Windows(Generic[Window]):
    """The newest windows of one series, in the order of their ends.

    Columns of plain numbers: the six million windows of ten thousand schools took 900 MB as objects.
    """

    __slots__ = ("_columns", "_of")

    def __init__(self, of: type[Window], typecodes: str) -> None:
        self._of: type[Window] = of
        self._columns: tuple[array[Any], ...] = tuple(map(array, typecodes))

    def __len__(self) -> int:
        """How many."""
        return len(self._columns[0])

    def keep(self, window: Window) -> None:
        """Take one; the same again is passed over, and the oldest goes when there are too many."""
        ends = self._columns[0]
        place = bisect_left(ends, window.end_ns)
        if place < len(ends) and ends[place] == window.end_ns:
            return
        for column, value in zip(self._columns, window, strict=True):
            column.insert(place, value)
            del column[:-WINDOWS_KEPT]

    def newest_first(self) -> Iterator[Window]:
        """From the one that ended last."""
        for place in reversed(range(len(self))):
            yield self._of(*(column[place] for column in self._columns))


class PlateauWatch:
    """The plateaus of one school, as its points come in. Each is told once; all that is kept is bounded."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], Windows[RateWindow]] = {}
        self._pings: dict[tuple[str, str, str], Windows[PingWindow]] = {}
        self._told_until_ns: dict[tuple[str, _Direction], int] = {}

    def add(self, points: Iterable[Point], school: School) -> list[Evidence]:
        """Take points in whatever order; gives the plateaus that they complete, window by window: a push may
        bring an hour.
        """
        touched: dict[str, None] = {}
        found: list[Evidence] = []
        for point in sorted(points, key=lambda each: each.time_ns):
            line = self._take(point, school)
            if line is not None:
                touched[line] = None
                if point.measurement == "interface":
                    found += self._of_line(line)
        return [*found, *(evidence for line in touched for evidence in self._of_line(line))]

    def _of_line(self, line: str) -> list[Evidence]:
        found = (self._completed(line, direction) for _, direction in _DIRECTIONS)
        return [evidence for evidence in found if evidence is not None]

    def _take(self, point: Point, school: School) -> str | None:
        line = line_of(point, school)
        if line is None:
            return None
        if point.measurement == "interface":
            for prefix, direction in _DIRECTIONS:
                rate = rate_window(point, prefix)
                if rate is not None:
                    key = line, direction
                    rates = self._rates.get(key) or self._rates.setdefault(key, Windows(RateWindow, "qqdd"))
                    rates.keep(rate)
            return line
        ping = ping_window(point)
        if ping is not None:
            target = (line, point.tags.get("target", ""), point.tags.get("family", ""))
            pings = self._pings.get(target)
            if pings is None and len(self._pings) < SERIES_KEPT:
                pings = self._pings[target] = Windows(PingWindow, "qdd")
            if pings is not None:
                pings.keep(ping)
        return line

    def _completed(self, line: str, direction: _Direction) -> Evidence | None:
        rates = self._rates.get((line, direction))
        run = flat_run(rates.newest_first()) if rates else []
        if not run:
            return None
        place = (line, direction)
        if run[0].start_ns <= self._told_until_ns.get(place, -1):
            self._told_until_ns[place] = run[-1].end_ns
            return None
        targets = (list(each.newest_first()) for (of, *_), each in self._pings.items() if of == line)
        if not any(suffers(windows, run[0].start_ns, run[-1].end_ns) for windows in targets):
            return None
        self._told_until_ns[place] = run[-1].end_ns
        return Evidence(
            EvidenceKind.PLATEAU,
            line,
            moment_of(Point("", {}, {}, run[-1].end_ns)),
            direction,
            lower_bits_per_second=int(min(window.bits_per_second for window in run)),
        )


def line_of(point: Point, school: School) -> str | None:
    """The line that a window speaks of: its own, or the only one for a ping that was bound to none."""
    ids = [line.id for line in school.lines]
    if point.measurement == "interface" and point.tags.get("line") in ids:
        return point.tags["line"]
    if point.measurement != "ping" or point.fields.get("place") == "next_hop":
        return None
    line = point.tags.get("line", ids[0] if len(ids) == 1 else "")
    return line if line in ids else None


def rate_window(point: Point, prefix: str) -> RateWindow | None:
    """One direction of an interface's point. Without a histogram (SNMP) it is as flat as one mean can be."""
    seconds, total = point.fields.get("window_seconds"), point.fields.get(f"{prefix}_bits_per_second_sum")
    samples, text = point.fields.get("samples"), point.fields.get(f"{prefix}_histogram")
    if not (isinstance(seconds, float) and isinstance(total, float) and isinstance(samples, int)):
        return None
    if not (0 < seconds <= LONGEST_SECONDS and samples > 0 and 0 <= total <= MOST_BITS_PER_SECOND):
        return None
    start_ns = point.time_ns - round(seconds * 1e9)
    flat = is_flat(text) if isinstance(text, str) else True
    return RateWindow(point.time_ns, start_ns, total / samples, float(flat))


def is_flat(text: str) -> bool:
    """Whether the rates of a histogram lie together."""
    try:
        counts = histogram.decode(text)
    except ValueError:
        return False
    middle = histogram.percentile(counts, 0.5)
    if middle is None:
        return False
    bucket = histogram.bucket_of(middle)
    near = sum(counts.get(bucket + step, 0) for step in (-1, 0, 1))
    return near >= FLAT_SHARE * sum(counts.values())


def ping_window(point: Point) -> PingWindow | None:
    """A ping's point; None where nothing was sent."""
    sent, lost = point.fields.get("sent"), point.fields.get("lost")
    rtt = point.fields.get("rtt_median_seconds")
    if not (isinstance(sent, int) and isinstance(lost, int)) or sent <= 0:
        return None
    return PingWindow(point.time_ns, rtt if isinstance(rtt, float) else math.nan, lost / sent)


def flat_run(newest_first: Iterable[RateWindow]) -> list[RateWindow]:
    """The newest windows that follow each other flat at one rate; empty when they are too short or idle."""
    run: list[RateWindow] = []
    for window in newest_first:
        if not window.flat or (run and not _follows(window, run)):
            break
        run.insert(0, window)
    if len(run) < LEAST_WINDOWS or run[-1].end_ns - run[0].start_ns < LEAST_SECONDS * 1e9:
        return []
    return run if min(window.bits_per_second for window in run) >= LEAST_BITS_PER_SECOND else []


def suffers(windows: Sequence[PingWindow], start_ns: int, end_ns: int) -> bool:
    """Whether delay or loss to a target is higher within a time than before it; unknown is no."""
    before = [each for each in windows if start_ns - BASELINE_NS <= each.end_ns <= start_ns]
    within = [each for each in windows if start_ns < each.end_ns <= end_ns]
    if len(before) < BASELINE_WINDOWS or not within:
        return False
    if median(each.loss for each in within) >= _best_quarter(each.loss for each in before) + LEAST_LOSS:
        return True
    usual = [each.rtt_seconds for each in before if not math.isnan(each.rtt_seconds)]
    seen = [each.rtt_seconds for each in within if not math.isnan(each.rtt_seconds)]
    if not usual or not seen:
        return False
    base = _best_quarter(usual)
    return median(seen) - base >= max(LEAST_RISE_SECONDS, LEAST_RISE_SHARE * base)


def _best_quarter(values: Iterable[float]) -> float:
    """What a quarter of them do not exceed."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 4]


def _follows(older: RateWindow, run: Sequence[RateWindow]) -> bool:
    newer = run[0]
    length = newer.end_ns - newer.start_ns
    if newer.start_ns - older.end_ns > (GAP - 1) * length:
        return False
    rates = [older.bits_per_second, *(window.bits_per_second for window in run)]
    return min(rates) >= SAME_RATE * max(rates)
