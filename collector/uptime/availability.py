"""How much of the time a school's network worked: by the school calendar, and 24 x 7 beside it. Pure.

A = up / (up + down); degraded counts as up. Announced maintenance and hours of an expected power cut (where
nothing was heard) are outside. Coverage is known / scheduled; under 95 % nothing is claimed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta

import msgspec

from collector.uptime import minutes as code
from collector.uptime.minutes import Strip
from config.calendar import SchoolCalendar

COVERAGE_NEEDED = 0.95

Spans = Sequence[tuple[int, int]]
"""Minute numbers [first, end), sorted, not overlapping."""


class Tally(msgspec.Struct, frozen=True):
    """Minutes counted. ``scheduled`` are all that count towards coverage; ``one_line`` are among up and
    degraded, ``centre`` among unknown.
    """

    scheduled: int = 0
    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    centre: int = 0
    one_line: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in Tally.__struct_fields__))

    def __sub__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) - getattr(other, name) for name in Tally.__struct_fields__))

    @property
    def known(self) -> int:
        """Minutes with an answer."""
        return self.up + self.degraded + self.down

    @property
    def availability(self) -> float | None:
        """The share of known minutes in which it worked; None where none is known."""
        return (self.up + self.degraded) / self.known if self.known else None

    @property
    def coverage(self) -> float | None:
        """The share of scheduled minutes that are known; None where none is scheduled."""
        return self.known / self.scheduled if self.scheduled else None

    @property
    def counts(self) -> bool:
        """Enough is known for a verdict."""
        return (self.coverage or 0.0) >= COVERAGE_NEEDED


def tally(strip: Strip, scheduled: Spans | None = None, expected_off: Spans = ()) -> Tally:
    """Count a strip's minutes: all of them, or those of ``scheduled``.

    Minutes of ``expected_off`` in which nothing was heard count nowhere.
    """
    found = _sum(strip, scheduled)
    if not expected_off:
        return found
    off = expected_off if scheduled is None else intersected(scheduled, expected_off)
    silent = _sum(strip, off)
    return found - Tally(scheduled=silent.unknown, unknown=silent.unknown, centre=silent.centre)


def _sum(strip: Strip, spans: Spans | None) -> Tally:
    if spans is None:
        return count(strip.codes)
    parts = [
        strip.codes[max(0, first - strip.first) : max(0, end - strip.first)]
        for first, end in spans
        if end > strip.first and first < strip.end
    ]
    return count(b"".join(parts))


def count(codes: bytes) -> Tally:
    """Count minutes by code; what is expected off counts nowhere."""
    # what is rare is counted, what is common is the rest: bytes.count takes longer for each hit
    number = codes.count
    centre, degraded_alone = number(code.CENTRE), number(code.DEGRADED_ON_ONE_LINE)
    unknown = number(code.UNKNOWN) + centre + number(code.AGENT) + number(code.RESTART)
    down = number(code.DOWN) + number(code.POWER) + number(code.REBOOT)
    degraded = number(code.DEGRADED) + degraded_alone
    scheduled = len(codes) - number(code.OFF)
    one_line = number(code.UP_ON_ONE_LINE) + degraded_alone
    return Tally(scheduled, scheduled - unknown - down - degraded, degraded, down, unknown, centre, one_line)


def school_spans(
    calendar: SchoolCalendar, start: datetime, end: datetime, minute_seconds: float = 60.0
) -> list[tuple[int, int]]:
    """The minutes that begin in school hours of school days, from ``start`` to before ``end``."""
    found = (
        span
        for day in _days(calendar, start, end)
        if calendar.is_school_day(day)
        for hours in calendar.settings.school_hours
        for span in _spans_of_hours(calendar, day, hours, minute_seconds)
    )
    return clipped(merged(found), minute_of(start, minute_seconds), minute_of(end, minute_seconds))


def off_spans(
    calendar: SchoolCalendar,
    hours: Iterable[str],
    start: datetime,
    end: datetime,
    minute_seconds: float = 60.0,
) -> list[tuple[int, int]]:
    """The minutes in which power is expected off, by the calendar or the school's own ``hours``."""
    spans = (*calendar.settings.expected_off, *hours)
    found = (
        span
        for day in _days(calendar, start, end)
        for hours_off in spans
        for span in _spans_of_hours(calendar, day, hours_off, minute_seconds)
    )
    return clipped(merged(found), minute_of(start, minute_seconds), minute_of(end, minute_seconds))


def without(spans: Spans, taken: Spans) -> list[tuple[int, int]]:
    """``spans`` without what ``taken`` covers; both sorted."""
    found = []
    for first, end in spans:
        for other_first, other_end in taken:
            if other_end <= first:
                continue
            if other_first >= end:
                break
            if other_first > first:
                found.append((first, other_first))
            first = other_end  # noqa: PLW2901 what is left of this span
        if first < end:
            found.append((first, end))
    return found


def intersected(spans: Spans, others: Spans) -> list[tuple[int, int]]:
    """What both cover."""
    pairs = ((max(a, c), min(b, d)) for a, b in spans for c, d in others if a < d and c < b)
    return sorted(pairs)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, and joined where they touch or overlap."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif first < end:
            found.append((first, end))
    return found


def clipped(spans: Spans, first: int, end: int) -> list[tuple[int, int]]:
    """What of the spans lies in [first, end)."""
    return [(max(a, first), min(b, end)) for a, b in spans if a < end and b > first]


def minute_of(moment: datetime, minute_seconds: float = 60.0) -> int:
    """The number of the first minute that begins at a moment or after it."""
    return int(-(-moment.timestamp() // minute_seconds))


def _days(calendar: SchoolCalendar, start: datetime, end: datetime) -> list[date]:
    first = calendar.local_day(start) - timedelta(days=1)
    return [first + timedelta(days=n) for n in range((calendar.local_day(end) - first).days + 1)]


@functools.lru_cache(maxsize=4096)
def _moments(calendar: SchoolCalendar, day: date, hours: str) -> tuple[tuple[datetime, datetime], ...]:
    """The hours of one local day; hours over midnight are the day's first and last ones."""
    starts, ends = map(time.fromisoformat, hours.split("-"))
    zone = calendar.time_zone
    midnight = datetime.combine(day, time.min, zone)
    next_midnight = datetime.combine(day + timedelta(days=1), time.min, zone)
    at = [datetime.combine(day, each, zone) for each in (starts, ends)]
    return ((at[0], at[1]),) if starts <= ends else ((midnight, at[1]), (at[0], next_midnight))


def _spans_of_hours(
    calendar: SchoolCalendar, day: date, hours: str, minute_seconds: float
) -> list[tuple[int, int]]:
    moments = _moments(calendar, day, hours)
    return [(minute_of(first, minute_seconds), minute_of(end, minute_seconds)) for first, end in moments]
