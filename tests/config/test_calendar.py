"""School days and hours."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from config.calendar import CalendarSettings, Days, SchoolCalendar, default_calendar, load_calendar
from config.settings import SettingsError

INVALID = sorted((Path(__file__).parent / "invalid" / "calendars").glob("*.yaml"))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_broken_file_has_one_line(path: Path) -> None:
    """Its message stands in its first line."""
    message = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    with pytest.raises(SettingsError) as caught:
        load_calendar(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("day", "is_school_day"),
    [
        (date(2025, 9, 26), True),  # Friday
        (date(2025, 9, 27), False),  # Saturday
        (date(2025, 9, 28), True),  # Sunday, worked for the National Day holiday (调休)
        (date(2025, 10, 1), False),  # National Day, a Wednesday
        (date(2025, 10, 8), False),
        (date(2025, 10, 11), True),  # Saturday, worked
    ],
)
def test_the_default_knows_public_holidays_and_make_up_days(day: date, is_school_day: bool) -> None:
    assert default_calendar().is_school_day(day) is is_school_day


def test_a_year_not_announced_warns_once_and_keeps_weekdays(caplog: pytest.LogCaptureFixture) -> None:
    calendar = default_calendar()
    with caplog.at_level(logging.WARNING):
        assert calendar.is_school_day(date(2099, 10, 1))  # a Thursday
        assert not calendar.is_school_day(date(2099, 10, 3))  # a Saturday
    assert [record.getMessage() for record in caplog.records] == [
        "public holidays unknown, weekday rules hold year=2099"
    ]


def test_terms_holidays_and_make_up_days_of_the_county() -> None:
    calendar = SchoolCalendar(
        CalendarSettings(
            terms=(Days(date(2026, 9, 1), date(2026, 12, 31)),),
            holidays=(Days(date(2026, 10, 12), date(2026, 10, 13), "运动会"),),
            make_up_days=(date(2026, 10, 18), date(2026, 8, 31)),
            public_holidays="none",
        )
    )
    assert not calendar.is_school_day(date(2026, 8, 28))
    assert not calendar.is_school_day(date(2026, 10, 12))
    assert calendar.is_school_day(date(2026, 10, 14))
    assert calendar.is_school_day(date(2026, 10, 18))  # a Sunday
    assert calendar.is_school_day(date(2026, 8, 31))  # before the term
    assert calendar.school_days_between(date(2026, 10, 9), date(2026, 10, 16)) == 3
    assert calendar.school_days_between(date(2026, 10, 16), date(2026, 10, 9)) == 0


def test_hours_are_local() -> None:
    calendar = SchoolCalendar(CalendarSettings(public_holidays="none", expected_off=("22:30-06:00",)))
    assert calendar.in_school_hours(datetime(2026, 11, 18, 0, 0, tzinfo=UTC))  # 08:00 in Shanghai
    assert not calendar.in_school_hours(datetime(2026, 11, 18, 9, 30, tzinfo=UTC))  # 17:30
    assert not calendar.in_school_hours(datetime(2026, 11, 22, 4, 0, tzinfo=UTC))  # Sunday
    assert calendar.local_day(datetime(2026, 11, 18, 16, 0, tzinfo=UTC)) == date(2026, 11, 19)
    off = {
        hour: calendar.expected_off(datetime(2026, 11, 18, hour, 30, tzinfo=UTC)) for hour in (13, 14, 21, 22)
    }
    assert off == {13: False, 14: True, 21: True, 22: False}  # 21:30, 22:30, 05:30, 06:30 in Shanghai
    assert calendar.expected_off(datetime(2026, 11, 18, 4, 30, tzinfo=UTC), ["12:00-13:00"])
