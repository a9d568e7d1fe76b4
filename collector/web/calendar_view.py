"""A month of availability as a calendar, and its outages in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from collector.uptime.availability import Tally
from collector.uptime.causes import CAUSE_WORDS, Cause
from collector.uptime.daily import Day
from collector.web.county_view import percent
from config.words import Language, message, translate

WELL = 0.999
CORRECTED = {
    "found": message("found when the agent's record arrived"),
    "started": message("the beginning was corrected"),
    "ended": message("the end was corrected"),
    "cause": message("the cause was corrected"),
    "withdrawn": message("withdrawn: there was none"),
}
SUBJECTS = {"school": message("the whole school"), "ipv4": message("IPv4"), "ipv6": message("IPv6")}
WHY = (
    message("the host booted anew after it"),
    message("the host ran on, the agent was started anew"),
    message("the agent in the LAN could not reach the school's gateway"),
    message("the collector was away, and nothing else was asked beyond the line"),
    message("schools of several carriers lost the centre at once, and none reached it"),
    message("several schools of this carrier were down at once"),
    message("the gateway's port to the line was down"),
    message("the next router beyond the line did not answer any more"),
    message("the next router answered, nothing beyond it did"),
    message("the next router never answers, so that line and carrier cannot be told apart"),
    message("who still saw what is not known"),
)
"""Why an outage has its cause, in the uptime room's sentences."""
GRADES = {
    "well": message("worked"),
    "part": message("interrupted for a while"),
    "unknown": message("too little is known"),
    "none": message("nothing is known"),
    "future": message("to come"),
}
SIGNS = {"well": "✓", "part": "✗", "unknown": "?", "none": "", "future": ""}


class Cell(msgspec.Struct, frozen=True):
    """One day: its number, how it went (a key of GRADES), in a sign and in words."""

    number: int
    grade: str
    sign: str
    text: str
    minutes_down: int
    is_school_day: bool


class OutageView(msgspec.Struct, frozen=True):
    """One outage in words."""

    at: str
    until: str
    lasted: str
    subject: str
    cause: str
    why: str
    is_withdrawn: bool
    corrections: tuple[str, ...]


class MonthView(msgspec.Struct, frozen=True):
    """A month: weeks of seven cells, Monday first; None before its first and after its last day."""

    name: str
    before: str
    after: str
    weeks: tuple[tuple[Cell | None, ...], ...]
    school_hours: str
    all_hours: str
    outages: tuple[OutageView, ...]


def weeks_of(
    days: Sequence[Day], now: datetime, zone: ZoneInfo, language: Language
) -> list[list[Cell | None]]:
    """The days in weeks."""
    if not days:
        return []
    today = now.astimezone(zone).date()
    cells: list[Cell | None] = [None] * days[0].day.weekday()
    cells += [_cell(day, language, is_future=day.day > today) for day in days]
    cells += [None] * (-len(cells) % 7)
    return [cells[place : place + 7] for place in range(0, len(cells), 7)]


def outage_views(
    outages: Iterable[Mapping[str, Any]], language: Language, zone: ZoneInfo
) -> list[OutageView]:
    """Each outage, the newest first, with what was said of it before."""
    return [_outage(each, language, zone) for each in reversed(list(outages))]


def tally_text(tally: Tally, language: Language) -> str:
    """«99.95 %», or what stands against a figure."""
    if tally.availability is None:
        return translate("nothing is known", language)
    shown = percent(tally.availability)
    if tally.counts:
        return shown
    known = percent(tally.coverage or 0.0)
    return translate("{share} of what is known, {known} of the time", language, share=shown, known=known)


def near_months(start: datetime, end: datetime, zone: ZoneInfo) -> tuple[str, str, str]:
    """The month of ``start``, the one before and the one after, as «YYYY-MM»."""
    local = start.astimezone(zone)
    before = local - timedelta(days=1)
    return f"{local:%Y-%m}", f"{before:%Y-%m}", f"{end.astimezone(zone):%Y-%m}"


def lasted(minutes: float, language: Language) -> str:
    """«2 h 5 min»."""
    whole = round(minutes)
    if whole < 60:
        return translate("{n} min", language, n=whole)
    return translate("{hours} h {minutes} min", language, hours=whole // 60, minutes=whole % 60)


def _cell(day: Day, language: Language, *, is_future: bool) -> Cell:
    tally = day.tally
    grade = "future" if is_future else _grade(tally)
    words = [translate(GRADES[grade], language)]
    if grade in ("well", "part") and tally.availability is not None:
        words.append(percent(tally.availability))
    if tally.down:
        words.append(translate("down for {time}", language, time=lasted(tally.down, language)))
    return Cell(day.day.day, grade, SIGNS[grade], " · ".join(words), tally.down, day.is_school_day)


def _grade(tally: Tally) -> str:
    if tally.down:
        return "part"
    if not tally.known:
        return "none"
    return "well" if tally.counts and (tally.availability or 0.0) >= WELL else "unknown"


def _outage(each: Mapping[str, Any], language: Language, zone: ZoneInfo) -> OutageView:
    subject = str(each["subject"])
    line = subject.removeprefix("line/")
    name = (
        translate("line {line}", language, line=line)
        if line != subject
        else translate(SUBJECTS.get(subject, subject), language)
    )
    state = message("interrupted") if each["state"] == "down" else message("unknown: the agent was away")
    return OutageView(
        at=_moment(each["from"], zone),
        until=_moment(each["to"], zone) if each["to"] else translate("goes on", language),
        lasted=lasted(each["minutes"], language),
        subject=f"{name} · {translate(state, language)}",
        cause=translate(CAUSE_WORDS[Cause(each["cause"])], language),
        why=translate(str(each["why"]), language),
        is_withdrawn=each["withdrawn_at"] is not None,
        corrections=tuple(_correction(one, language, zone) for one in each["corrections"]),
    )


def _correction(one: Mapping[str, Any], language: Language, zone: ZoneInfo) -> str:
    what = translate(CORRECTED.get(str(one["what"]), str(one["what"])), language)
    return f"{_moment(one['at'], zone)} {what}"


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%m-%d %H:%M}"
