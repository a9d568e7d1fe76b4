"""The school calendar: school days, school hours, and hours when power is expected off."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from config.settings import SettingsError, load

log = logging.getLogger(__name__)

CALENDARS_DIRECTORY = Path(__file__).parent / "calendars"
DEFAULT_CALENDAR = CALENDARS_DIRECTORY / "china.yaml"
SATURDAY = 5
LONGEST_LOOK_BACK = 3660
"""Days; a school that was closed for longer has no evidence that is too old."""

Hours: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]\Z")
]
"""«08:00-17:30», the end not included; an end before the start is on the next day («22:30-06:00»)."""


class Days(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A span of days, both included."""

    starts: date
    """The first day."""
    ends: date
    """The last day."""
    name: str = ""
    """What people call it."""

    def __contains__(self, day: date) -> bool:
        return self.starts <= day <= self.ends


class CalendarSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A calendar file.

    Without ``terms`` every day may be a school day; with them none outside. ``holidays`` are the school's
    own, ``make_up_days`` school days come what may (调休). ``public_holidays`` «china» adds those of the
    State Council with their make-up days, «none» leaves weekdays. ``expected_off`` are hours when schools
    are without power every day.
    """

    time_zone: str = "Asia/Shanghai"
    """The local time of days and hours."""
    school_hours: tuple[Hours, ...] = ("08:00-17:30",)
    """When lessons are on school days, «08:00-17:30»."""
    terms: tuple[Days, ...] = ()
    holidays: tuple[Days, ...] = ()
    make_up_days: tuple[date, ...] = ()
    public_holidays: Literal["china", "none"] = "china"
    expected_off: tuple[Hours, ...] = ()
    exams: tuple[Days, ...] = ()
    """Days of examinations: what is not severe waits, nobody is disturbed by messages."""


class SchoolCalendar:
    """Answers about days and hours; days are local ones of ``time_zone``, moments are aware datetimes."""

    def __init__(self, settings: CalendarSettings | None = None) -> None:
        """Raises ValueError for a time zone that the system does not know."""
        self.settings = settings or CalendarSettings()
        try:
            self.time_zone = ZoneInfo(self.settings.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zone = self.settings.time_zone
            raise ValueError(f"{zone!r} is no time zone; allowed: a name like Asia/Shanghai") from None
        self._make_up_days = frozenset(self.settings.make_up_days)
        self._unknown_years: set[int] = set()
        self.is_school_day = functools.lru_cache(maxsize=4096)(self._is_school_day)
        self.counts_from = functools.lru_cache(maxsize=64)(self._counts_from)
        self.school_days_between = functools.lru_cache(maxsize=4096)(self._school_days_between)

    def local_day(self, moment: datetime) -> date:
        """The local day of a moment."""
        return moment.astimezone(self.time_zone).date()

    def in_school_hours(self, moment: datetime) -> bool:
        """Whether a moment lies in the school hours of a school day."""
        local = moment.astimezone(self.time_zone)
        return self.is_school_day(local.date()) and _in_hours(local.time(), self.settings.school_hours)

    def expected_off(self, moment: datetime, hours_of_school: Iterable[Hours] = ()) -> bool:
        """Whether power is expected off at a moment, by the calendar's hours or the school's own."""
        local = moment.astimezone(self.time_zone).time()
        return _in_hours(local, (*self.settings.expected_off, *hours_of_school))

    def age_school_days(self, at: datetime, now: datetime) -> int:
        """The school days that passed since ``at``: 0 on the same day, and over any holiday."""
        return self.school_days_between(self.local_day(at), self.local_day(now))

    def _counts_from(self, today: date, school_days: int) -> datetime:
        """The moment from which on nothing is older than so many school days on ``today``, in UTC."""
        first = today
        age = 0
        for _ in range(LONGEST_LOOK_BACK):
            age += self.is_school_day(first)
            if age > school_days:
                return datetime.combine(first, time(), self.time_zone).astimezone(UTC)
            first -= timedelta(days=1)
        return datetime.min.replace(tzinfo=UTC)

    def _is_school_day(self, day: date) -> bool:
        if day in self._make_up_days:
            return True
        if any(day in holiday for holiday in self.settings.holidays):
            return False
        if self.settings.terms and not any(day in term for term in self.settings.terms):
            return False
        return self._is_workday(day)

    def _school_days_between(self, first: date, last: date) -> int:
        """The school days after ``first`` up to ``last``; 0 when ``last`` is not later."""
        return sum(map(self.is_school_day, _days_after(first, last)))

    def _is_workday(self, day: date) -> bool:
        if self.settings.public_holidays == "none" or day.year in self._unknown_years:
            return day.weekday() < SATURDAY
        try:
            import chinese_calendar  # noqa: PLC0415 (only where a calendar asks for it)

            return bool(chinese_calendar.is_workday(day))
        except (ImportError, NotImplementedError):
            self._unknown_years.add(day.year)
            log.warning("public holidays unknown, weekday rules hold year=%d", day.year)
            return day.weekday() < SATURDAY


def load_calendar(path: Path) -> SchoolCalendar:
    """Read a calendar file. Raises SettingsError, one line: file, key, what is allowed."""
    settings = load(path, CalendarSettings)
    for key, spans in (("terms", settings.terms), ("holidays", settings.holidays), ("exams", settings.exams)):
        for number, days in enumerate(spans):
            if days.ends < days.starts:
                raise SettingsError(
                    f"{path}: key {key}[{number}].ends: {days.ends} is before starts, {days.starts}; "
                    "allowed: that day or later"
                )
    try:
        return SchoolCalendar(settings)
    except ValueError as error:
        raise SettingsError(f"{path}: key time_zone: {error}") from None


def default_calendar() -> SchoolCalendar:
    """The calendar that comes with the program: China's public holidays, no terms."""
    return load_calendar(DEFAULT_CALENDAR)


def _days_after(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=count) for count in range(1, (last - first).days + 1))


def _in_hours(local: time, spans: Iterable[Hours]) -> bool:
    return any(_in_span(local, *map(time.fromisoformat, span.split("-"))) for span in spans)


def _in_span(local: time, starts: time, ends: time) -> bool:
    if starts <= ends:
        return starts <= local < ends
    return local >= starts or local < ends
