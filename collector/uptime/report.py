"""Outages and availability of a month, as JSON, the command line and the pages need them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from collector.registry import Registry
from collector.uptime import spells
from collector.uptime.availability import (
    Spans,
    Tally,
    clipped,
    merged,
    minute_of,
    off_spans,
    school_spans,
    tally,
    without,
)
from collector.uptime.history import Correction, Outage
from collector.uptime.minutes import DAY_SECONDS, SCHOOL, joined
from collector.uptime.records import Maintenance, Records
from collector.uptime.settings import UptimeSettings
from config.calendar import SchoolCalendar
from config.school import School

OF_KNOWN = ("up", "degraded", "down", "one_line")

LAG_MINUTES = 2
"""The newest minutes are not judged yet."""


class Uptime(msgspec.Struct, frozen=True):
    """How a subject worked: in school hours of school days, and 24 x 7."""

    subject: str
    school_hours: Tally
    all_hours: Tally


class SchoolUptime(msgspec.Struct, frozen=True):
    """The availability of a school and each of its lines and families."""

    school: str
    start: datetime
    end: datetime
    subjects: tuple[Uptime, ...]

    def of(self, subject: str = SCHOOL) -> Uptime:
        """One subject; nothing known when there is nothing."""
        return next(
            (each for each in self.subjects if each.subject == subject), Uptime(subject, Tally(), Tally())
        )


class Report:
    """Reads the uptime room's tables."""

    def __init__(self, registry: Registry, calendar: SchoolCalendar, settings: UptimeSettings) -> None:
        self._registry = registry
        self._records = Records(registry)
        self._calendar = calendar
        self._settings = settings
        self._minute = float(settings.minute)
        self._per_day = round(DAY_SECONDS / self._minute)

    def month(self, month: str | None, now: datetime) -> tuple[datetime, datetime]:
        """The first and the next month's first moment of «YYYY-MM», local; None is the month of ``now``.

        Raises ValueError.
        """
        zone = self._calendar.time_zone
        local = self._calendar.local_day(now)
        first = date.fromisoformat(f"{month}-01") if month else local.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
        start, end = (datetime(day.year, day.month, 1, tzinfo=zone) for day in (first, after))
        return start.astimezone(UTC), end.astimezone(UTC)

    def availability(
        self,
        start: datetime,
        end: datetime,
        now: datetime,
        *,
        school_id: str | None = None,
        subject: str | None = None,
    ) -> Iterator[SchoolUptime]:
        """The availability of schools, all or one, of all subjects or one; up to ``now``."""
        schools = self._schools(school_id)
        first, last = self._minutes(start, end, now)
        found = self._records.days_of_all(
            first // self._per_day, last // self._per_day, [school_id] if school_id else None, subject
        )
        in_school = clipped(school_spans(self._calendar, start, end, self._minute), first, last)
        maintenances = self._records.maintenances(start, end)

        @functools.cache
        def asked(
            hours_off: tuple[str, ...], taken: tuple[tuple[int, int], ...]
        ) -> tuple[Spans, Spans, Spans]:
            """Minutes in school hours, all minutes, and those in which power is expected off."""
            off = off_spans(self._calendar, hours_off, start, end, self._minute)
            return without(in_school, taken), without([(first, last)], taken), off

        for school in schools:
            wanted, whole, off = asked(school.power_cut, self._maintenance_of(school, maintenances))
            subjects = found.get(school.id, {}) or {SCHOOL: {}}
            strips = {name: joined(subjects[name], first, last, self._per_day) for name in sorted(subjects)}
            yield SchoolUptime(
                school.id,
                start,
                end,
                tuple(Uptime(n, tally(s, wanted, off), tally(s, whole, off)) for n, s in strips.items()),
            )

    def outages(self, school_id: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """A school's outages with their corrections, the withdrawn ones too, by start."""
        found = self._records.outages(start, end, school_ids=[school_id], withdrawn=True)
        corrections = self._records.corrections([each.id for each in found if each.id is not None])
        return [outage_report(each, corrections.get(each.id or 0, []), self._minute) for each in found]

    def flapping(self, school_id: str, start: datetime, end: datetime, now: datetime) -> list[dict[str, Any]]:
        """When the school or a line of it flapped."""
        first, last = self._minutes(start, end, now)
        days = self._records.days(school_id, first // self._per_day, last // self._per_day)
        return [
            {
                "subject": subject,
                "from": self._moment(since),
                "to": None if until is None else self._moment(until),
            }
            for subject, mine in sorted(days.items())
            if subject == SCHOOL or subject.startswith("line/")
            for since, until in spells.flapping(joined(mine, first, last, self._per_day))
        ]

    def _schools(self, school_id: str | None) -> list[School]:
        schools: Mapping[str, School] = self._registry.schools()
        return (
            list(schools.values())
            if school_id is None
            else [schools[school_id]]
            if school_id in schools
            else []
        )

    def _minutes(self, start: datetime, end: datetime, now: datetime) -> tuple[int, int]:
        first = minute_of(start, self._minute)
        return first, max(
            first, min(minute_of(end, self._minute), minute_of(now, self._minute) - LAG_MINUTES)
        )

    def _maintenance_of(
        self, school: School, maintenances: Sequence[Maintenance]
    ) -> tuple[tuple[int, int], ...]:
        mine = (
            (minute_of(each.starts_at, self._minute), minute_of(each.ends_at, self._minute))
            for each in maintenances
            if each.school_id in (None, school.id)
        )
        return tuple(merged(mine))

    def _moment(self, minute: int) -> datetime:
        return datetime.fromtimestamp(minute * self._minute, UTC)


def uptime_report(uptime: Uptime) -> dict[str, Any]:
    """One subject as JSON has it."""
    return {
        "subject": uptime.subject or "school",
        "school_hours": tally_report(uptime.school_hours),
        "all_hours": tally_report(uptime.all_hours),
    }


def tally_report(counted: Tally) -> dict[str, Any]:
    """A tally as JSON has it: availability is null where less than 95 % is known.

    So are the minutes that only what is known can be counted among, where not one minute is known.
    """
    unanswered = () if counted.known else OF_KNOWN
    return {
        "availability": counted.availability if counted.counts else None,
        "coverage": counted.coverage,
        **{
            f"{name}_minutes": None if name in unanswered else getattr(counted, name)
            for name in Tally.__struct_fields__
        },
    }


def outage_report(outage: Outage, corrections: Sequence[Correction], minute_seconds: float) -> dict[str, Any]:
    """One outage as JSON has it."""
    until = outage.ended_at or outage.down_until
    return {
        "id": outage.id,
        "subject": outage.subject or "school",
        "from": outage.started_at,
        "to": outage.ended_at,
        "minutes": round((until - outage.started_at).total_seconds() / minute_seconds),
        "state": outage.state,
        "cause": outage.cause.value,
        "why": outage.why,
        "live": outage.live,
        "recorded_at": outage.recorded_at,
        "withdrawn_at": outage.withdrawn_at,
        "corrections": [msgspec.structs.asdict(each) for each in corrections],
    }
