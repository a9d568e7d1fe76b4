"""Judges minutes of schools anew from the stored points, and writes the days that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from collector.store.interface import NS, Store
from collector.uptime import minutes as code
from collector.uptime.availability import Spans, clipped, merged, off_spans
from collector.uptime.evidence import (
    Absence,
    Mark,
    absences,
    heard_by_minute,
    judged,
    marks_of,
    overlaid,
    widened,
)
from collector.uptime.minutes import DAY_SECONDS, SCHOOL, Strip, joined, written
from collector.uptime.records import Days, Records
from collector.uptime.settings import UptimeSettings
from config.calendar import SchoolCalendar
from config.school import School
from config.uptime import LONGEST_WINDOW_SECONDS, Heard

PING_FIELDS = ("sent", "lost", "place", "window_seconds")
MARK_FIELDS = ("boot_id", "uptime_seconds", "stands_on", "ending")
HORIZON = timedelta(days=4)
"""Older minutes are judged no more: no agent keeps points longer."""
LOOK_MINUTES = (10, 120, 1440, 6000)
"""How far back and ahead the next mark of an agent is looked for, in steps."""

Judged = dict[str, tuple[int, int]]
"""The minutes that were judged anew, by subject."""


class Waiting(NamedTuple):
    """A school with minutes that have new probes, and such that have new marks of agents."""

    school: School
    pings: Spans
    marks: Spans


class Anew(NamedTuple):
    """What is judged of a school: ``spans``, the absences of its agents, and the minutes these reach."""

    school: School
    away: list[Absence]
    reached: list[tuple[int, int]]
    spans: list[tuple[int, int]]


class MinuteJudge:
    """Minutes from points. ``centre_away`` are the minutes in which no collector ran."""

    def __init__(
        self, store: Store, records: Records, calendar: SchoolCalendar, settings: UptimeSettings
    ) -> None:
        self._store = store
        self._records = records
        self._calendar = calendar
        self._settings = settings
        self._minute = float(settings.minute)
        self._per_day = round(DAY_SECONDS / self._minute)

    def judge(self, dirty: Sequence[Waiting], centre_away: Spans) -> dict[str, Judged]:
        """Judge the minutes of some schools' new probes and new marks of agents; gives them by school."""
        anew = [each for waiting in dirty if (each := self._anew(waiting)).spans]
        if not anew:
            return {}
        days = self._records.days_of_all(
            min(each.spans[0][0] for each in anew) // self._per_day,
            max(each.spans[-1][1] for each in anew) // self._per_day,
            [each.school.id for each in anew],
        )
        changed: dict[tuple[str, str, int], bytes] = {}
        found = {
            each.school.id: self._judge(each, centre_away, days.get(each.school.id, {}), changed)
            for each in anew
        }
        self._records.put_days(changed)
        return found

    def _anew(self, waiting: Waiting) -> Anew:
        school, pings, marks = waiting
        away = [each for first, end in marks for each in self._absences(school.id, first, end)]
        reached = [self._minutes_of(each) for each in away]
        return Anew(school, away, reached, merged([*pings, *reached]))

    def _judge(
        self,
        anew: Anew,
        centre_away: Spans,
        days: dict[str, Days],
        changed: dict[tuple[str, str, int], bytes],
    ) -> Judged:
        """The minutes of one school; what that makes of its ``days`` is put among what ``changed``."""
        school, found = anew.school, Judged()
        for first, end in anew.spans:
            strips = judged(self.heard(school.id, first, end), first, end, _lines(school), centre_away)
            strips[SCHOOL] = self._with_absences(strips[SCHOOL], school, anew.away)
            for subject, strip in strips.items():
                mine = days.setdefault(subject, {})
                kept = _kept(self._strip(mine, first, end), strip, anew.reached)
                for day, codes in written(mine, kept, self._per_day).items():
                    changed[school.id, subject, day] = mine[day] = codes
                before = found.get(subject, (first, end))
                found[subject] = (min(before[0], first), max(before[1], end))
        return found

    def heard(self, school_id: str, first: int, end: int) -> Mapping[int, list[Heard]]:
        """The probes of each minute from ``first`` to before ``end``."""
        series = self._store.points(
            school_id, "ping", fields=PING_FIELDS, start_ns=round(first * self._minute * NS),
            end_ns=round((end * self._minute + LONGEST_WINDOW_SECONDS) * NS),
        )  # fmt: skip
        return heard_by_minute(series, self._minute)

    def _absences(self, school_id: str, first: int, end: int) -> list[Absence]:
        """The absences of each agent around its marks in [first, end)."""
        found = []
        for tags in self._store.distinct(school_id, "agent"):
            agent = {"agent": tags["agent"]} if "agent" in tags else {}
            before = next(
                filter(None, (self._marks(school_id, agent, first - n, first) for n in LOOK_MINUTES)), []
            )
            inside = self._marks(school_id, agent, first, end)
            after = next(
                filter(None, (self._marks(school_id, agent, end, end + n) for n in LOOK_MINUTES)), []
            )
            found += list(absences([*before[-1:], *inside, *after[:1]]))
        return found

    def _marks(self, school_id: str, agent: Mapping[str, str], first: int, end: int) -> list[Mark]:
        series = self._store.points(
            school_id, "agent", tags=agent, fields=MARK_FIELDS,
            start_ns=round(first * self._minute * NS), end_ns=round(end * self._minute * NS),
        )  # fmt: skip
        return [mark for marks in marks_of(series).values() for mark in marks]

    def _minutes_of(self, absence: Absence) -> tuple[int, int]:
        minute_ns = round(self._minute * NS)
        return absence.start_ns // minute_ns, absence.end_ns // minute_ns + 1

    def _with_absences(self, strip: Strip, school: School, away: list[Absence]) -> Strip:
        if not away:
            return strip
        start = _moment(strip.first * self._minute) - timedelta(days=1)
        end = _moment(strip.end * self._minute) + timedelta(days=1)
        off = off_spans(self._calendar, school.power_cut, start, end, self._minute)
        slack = round(self._settings.off_slack / self._minute)
        for absence in away:
            strip = overlaid(strip, absence, widened(off, slack), self._minute)
        return strip

    def _strip(self, days: Days, first: int, end: int) -> Strip:
        return joined(days, first, end, self._per_day)


def _kept(before: Strip, strip: Strip, reached: Spans) -> Strip:
    """What is unknown now and was known stays, but the reasons of absences that were judged anew."""
    codes = bytearray(strip.codes)
    reasons = code.POWER + code.AGENT + code.OFF + code.RESTART + code.REBOOT
    for place, (old, new) in enumerate(zip(before.codes, strip.codes, strict=True)):
        anew = old in reasons and bool(clipped(reached, strip.first + place, strip.first + place + 1))
        if new == code.UNKNOWN[0] and old != new and not anew:
            codes[place] = old
    return Strip(strip.first, bytes(codes))


def _lines(school: School) -> list[str]:
    return [line.id for line in school.lines]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
