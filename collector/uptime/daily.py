"""Each day of a month by itself: how much of it a school's network worked. For calendars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import msgspec

from collector.registry import Registry
from collector.uptime.availability import Tally, clipped, merged, minute_of, off_spans, tally, without
from collector.uptime.minutes import DAY_SECONDS, SCHOOL, joined
from collector.uptime.records import Records
from collector.uptime.report import LAG_MINUTES
from collector.uptime.settings import UptimeSettings
from config.calendar import SchoolCalendar
from config.school import School


class Day(msgspec.Struct, frozen=True):
    """One local day. ``tally`` is of all hours, without announced maintenance and expected power cuts; all of
    it is zero for a day to come.
    """

    day: date
    is_school_day: bool
    tally: Tally


class Daily:
    """Reads the uptime room's days."""

    def __init__(self, registry: Registry, calendar: SchoolCalendar, settings: UptimeSettings) -> None:
        self._records = Records(registry)
        self._calendar = calendar
        self._minute = float(settings.minute)
        self._per_day = round(DAY_SECONDS / self._minute)

    def days(self, school: School, start: datetime, end: datetime, now: datetime) -> list[Day]:
        """Every local day from ``start`` to before ``end``."""
        first, last = (minute_of(moment, self._minute) for moment in (start, end))
        until = max(first, min(last, minute_of(now, self._minute) - LAG_MINUTES))
        read = self._records.days_of_all(
            first // self._per_day, max(first, until) // self._per_day, [school.id], SCHOOL
        )
        strip = joined(read.get(school.id, {}).get(SCHOOL, {}), first, until, self._per_day)
        off = off_spans(self._calendar, school.power_cut, start, end, self._minute)
        taken = self._maintenance(school.id, start, end)
        found = []
        for day, begins, ends in self._local_days(start, end):
            spans = clipped([(minute_of(begins, self._minute), minute_of(ends, self._minute))], first, until)
            counted = tally(strip, without(spans, taken), off)
            found.append(Day(day, self._calendar.is_school_day(day), counted))
        return found

    def _maintenance(self, school_id: str, start: datetime, end: datetime) -> Sequence[tuple[int, int]]:
        return merged(
            (minute_of(each.starts_at, self._minute), minute_of(each.ends_at, self._minute))
            for each in self._records.maintenances(start, end)
            if each.school_id in (None, school_id)
        )

    def _local_days(self, start: datetime, end: datetime) -> Iterable[tuple[date, datetime, datetime]]:
        zone, day = self._calendar.time_zone, self._calendar.local_day(start)
        while (begins := datetime(day.year, day.month, day.day, tzinfo=zone)) < end:
            after = day + timedelta(days=1)
            yield day, begins, datetime(after.year, after.month, after.day, tzinfo=zone)
            day = after
