"""Availability beside a plain count, minute by minute, on random histories and calendars."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.uptime.availability import (
    Tally,
    clipped,
    intersected,
    merged,
    minute_of,
    off_spans,
    school_spans,
    tally,
    without,
)
from collector.uptime.minutes import Strip
from config.calendar import CalendarSettings, Days, SchoolCalendar

START = datetime(2026, 2, 27, 16, 0, tzinfo=UTC)
DAY_MINUTES = 1440
HOURS = ("08:00-12:00", "14:00-17:30", "00:00-01:00", "22:30-06:00", "07:55-08:05", "23:59-00:00")

calendars = st.builds(
    CalendarSettings,
    time_zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "UTC"]),
    school_hours=st.lists(st.sampled_from(HOURS), min_size=1, max_size=3).map(tuple),
    terms=st.sampled_from([(), (Days(date(2026, 2, 20), date(2026, 3, 3)),)]),
    holidays=st.sampled_from([(), (Days(date(2026, 3, 2), date(2026, 3, 2)),)]),
    make_up_days=st.sampled_from([(), (date(2026, 2, 28),), (date(2026, 3, 7),)]),
    public_holidays=st.sampled_from(["none", "china"]),
    expected_off=st.lists(st.sampled_from(HOURS), max_size=1).map(tuple),
)
runs = st.lists(st.tuples(st.sampled_from(b"uuudx?UDpcao"), st.integers(1, 700)), min_size=1, max_size=25)
spans = st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 900)), max_size=4)


def strip_of(pieces: list[tuple[int, int]]) -> Strip:
    codes = b"".join(bytes([letter]) * length for letter, length in pieces)
    return Strip(minute_of(START), codes)


def plainly(
    strip: Strip,
    calendar: SchoolCalendar,
    in_school: bool,
    off_hours: tuple[str, ...],
    taken: list[tuple[int, int]],
) -> Tally:
    """The words of the method, one minute at a time."""
    counts = dict.fromkeys(Tally.__struct_fields__, 0)
    for minute, letter in enumerate(strip.codes, strip.first):
        moment = datetime.fromtimestamp(minute * 60, UTC)
        if in_school and not calendar.in_school_hours(moment):
            continue
        if any(first <= minute < end for first, end in taken):
            continue
        code = chr(letter)
        silent = code in "?ca"
        if code == "o" or (silent and calendar.expected_off(moment, off_hours)):
            continue
        counts["scheduled"] += 1
        name = {"u": "up", "U": "up", "d": "degraded", "D": "degraded", "x": "down", "p": "down"}
        counts[name.get(code, "unknown")] += 1
        counts["centre"] += code == "c"
        counts["one_line"] += code in "UD"
    return Tally(**counts)


@settings(max_examples=60, deadline=None)
@given(calendars, runs, st.lists(st.sampled_from(HOURS), max_size=1).map(tuple), spans, st.booleans())
def test_availability_is_that_of_a_plain_count(
    asked: CalendarSettings, pieces: list[tuple[int, int]], off_hours: tuple[str, ...],
    maintenance: list[tuple[int, int]], in_school: bool,
) -> None:  # fmt: skip
    calendar, strip = SchoolCalendar(asked), strip_of(pieces)
    end = START + timedelta(minutes=len(strip.codes))
    taken = merged((strip.first + first, strip.first + first + length) for first, length in maintenance)
    inside = school_spans(calendar, START, end) if in_school else [(strip.first, strip.end)]
    found = tally(strip, without(inside, taken), off_spans(calendar, off_hours, START, end))
    assert found == plainly(strip, calendar, in_school, off_hours, taken)
    assert found.scheduled == found.known + found.unknown
    assert found.availability is None or 0 <= found.availability <= 1


def test_a_year_that_the_holidays_do_not_know_is_told_and_has_weekdays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calendar = SchoolCalendar(CalendarSettings(school_hours=("08:00-09:00",)))
    start = datetime(2090, 5, 1, 0, 0, tzinfo=calendar.time_zone)
    with caplog.at_level(logging.WARNING):
        found = school_spans(calendar, start, start + timedelta(days=7))
    assert len(found) == 5
    assert "public holidays unknown" in caplog.text


def test_a_make_up_day_is_a_school_day() -> None:
    saturday = datetime(2026, 2, 28, 0, 0, tzinfo=SchoolCalendar().time_zone)
    for china, minutes in (("china", 60), ("none", 0)):
        calendar = SchoolCalendar(CalendarSettings(school_hours=("08:00-09:00",), public_holidays=china))  # type: ignore[arg-type]
        found = school_spans(calendar, saturday, saturday + timedelta(days=1))
        assert sum(end - first for first, end in found) == minutes


def test_too_little_known_is_no_verdict() -> None:
    assert tally(Strip(0, b"u" * 95 + b"?" * 5)).counts
    assert not tally(Strip(0, b"u" * 94 + b"?" * 6)).counts
    assert tally(Strip(0, b"")).availability is None
    assert tally(Strip(0, b"")).coverage is None


sets = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=6).map(
    lambda pairs: merged((first, first + length) for first, length in pairs)
)


@given(sets, sets, st.integers(0, 70), st.integers(0, 70))
def test_spans_are_sets_of_minutes(
    ones: list[tuple[int, int]], others: list[tuple[int, int]], a: int, b: int
) -> None:
    def minutes(some: list[tuple[int, int]]) -> set[int]:
        return {minute for first, end in some for minute in range(first, end)}

    assert minutes(without(ones, others)) == minutes(ones) - minutes(others)
    assert minutes(intersected(ones, others)) == minutes(ones) & minutes(others)
    assert minutes(clipped(ones, a, b)) == minutes(ones) & set(range(a, b))
