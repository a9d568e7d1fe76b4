"""Quiet hours and exam days. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from collector.incidents.model import Severity
from collector.incidents.rules import Rules
from config.calendar import SchoolCalendar


def quiet_until(rules: Rules, severity: Severity, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours end that hold now for this severity; None when none do."""
    if severity not in rules.quiet_severities:
        return None
    local = now.astimezone(zone)
    ends = [end for span in rules.quiet_hours if (end := _end_of(span, local)) is not None]
    return max(ends).astimezone(UTC) if ends else None


def exam_on(calendar: SchoolCalendar, now: datetime) -> bool:
    """There is an exam now, by the calendar."""
    day = calendar.local_day(now)
    return any(day in exam for exam in calendar.settings.exams)


def _end_of(span: str, local: datetime) -> datetime | None:
    starts, ends = map(time.fromisoformat, span.split("-"))
    clock = local.time()
    today = local.replace(hour=ends.hour, minute=ends.minute, second=0, microsecond=0)
    if starts <= ends:
        return today if starts <= clock < ends else None
    if clock >= starts:
        return today + timedelta(days=1)
    return today if clock < ends else None
