"""What stored points say of minutes: which probes fell into which, and where an agent was away. Pure."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from collector.store.interface import NS, SeriesPoints
from collector.uptime import minutes as code
from collector.uptime.availability import Spans, merged
from collector.uptime.minutes import SCHOOL, Strip, codes_of
from config.uptime import Heard, judge_minute, window_seconds_of

RESTARTING = "restarting"
_HOST_OFF = (code.POWER, code.REBOOT)
_PLACES = {"gateway": "next_hop", "collector": "centre"}

Key = tuple[str, str, str, str | None, str]


class Mark(msgspec.Struct, frozen=True):
    """A sign of life that an agent wrote about itself, in nanoseconds since 1970. ``ending`` stands in the
    last one before it was to end.
    """

    at_ns: int
    boot_id: str
    started_ns: int
    lan: bool = False
    ending: str = ""


class Absence(msgspec.Struct, frozen=True):
    """An agent was away between two marks, and why, as a minute's code. ``end_ns`` is when it began again."""

    start_ns: int
    end_ns: int
    code: bytes


def heard_by_minute(series: Sequence[SeriesPoints], minute_seconds: float) -> dict[int, list[Heard]]:
    """The probes of each minute. A window belongs to the minutes whose middle lies in it, and to the minute
    that its own middle lies in: so windows of any length and start leave no minute out.
    """
    sums: dict[int, dict[Key, tuple[int, int]]] = defaultdict(dict)
    for one in series:
        for point in one.points:
            sent, lost = _count(point.fields, "sent"), _count(point.fields, "lost")
            key = _key(one.tags, point.fields)
            for minute in minutes_of_window(point.time_ns, window_seconds_of(point.fields), minute_seconds):
                before = sums[minute].get(key, (0, 0))
                sums[minute][key] = (before[0] + sent, before[1] + lost)
    return {minute: [_heard(*each) for each in found.items()] for minute, found in sums.items()}


def minutes_of_window(end_ns: int, window_seconds: float, minute_seconds: float) -> list[int]:
    """The minutes that a window which ended then speaks for."""
    minute_ns = minute_seconds * NS
    start = (end_ns - window_seconds * NS) / minute_ns
    end = end_ns / minute_ns
    inside = range(math.ceil(start - 0.5), math.ceil(end - 0.5))
    return sorted({*inside, math.floor((start + end) / 2)})


def judged(
    heard: Mapping[int, Sequence[Heard]], first: int, end: int, lines: Sequence[str], centre_away: Spans
) -> dict[str, Strip]:
    """The codes of every subject, minute by minute; a subject that nothing is said of is unknown there."""
    away = {minute for span in centre_away for minute in range(max(first, span[0]), min(end, span[1]))}
    found: dict[str, bytearray] = {SCHOOL: _unknown(end - first)}
    for minute in range(first, end):
        if minute not in heard:
            continue
        said = judge_minute(heard[minute], lines)
        codes = codes_of(said)
        if said.by_centre_alone and minute in away:
            codes = dict.fromkeys(codes, code.CENTRE)
        for subject, letter in codes.items():
            found.setdefault(subject, _unknown(end - first))[minute - first] = letter[0]
    return {subject: Strip(first, bytes(codes)) for subject, codes in found.items()}


def marks_of(series: Sequence[SeriesPoints]) -> dict[str, list[Mark]]:
    """The marks of each agent, by time; none without a boot id, none of a start that is still to come."""
    found: dict[str, list[Mark]] = defaultdict(list)
    for one in series:
        for point in one.points:
            boot = point.fields.get("boot_id")
            uptime = point.fields.get("uptime_seconds")
            if not (isinstance(boot, str) and isinstance(uptime, int | float)):
                continue
            if 0 <= uptime <= point.time_ns / NS:
                started_ns = point.time_ns - round(uptime * NS)
                lan, ending = point.fields.get("stands_on") == "lan", point.fields.get("ending")
                mark = Mark(point.time_ns, boot, started_ns, lan, ending if isinstance(ending, str) else "")
                found[one.tags.get("agent", "")].append(mark)
    return {agent: sorted(marks, key=lambda mark: mark.at_ns) for agent, marks in found.items()}


def absences(marks: Iterable[Mark], slack_seconds: float = 2.0) -> Iterator[Absence]:
    """Where an agent was away: another boot means that the host lost its power, a later start alone that
    the agent was stopped, unless the agent had announced it. ``slack_seconds`` is what two readings of one
    start may differ by.
    """
    for before, after in itertools.pairwise(marks):
        if after.boot_id != before.boot_id:
            yield Absence(before.at_ns, after.started_ns, _why_booted(before))
        elif after.started_ns > max(before.at_ns, before.started_ns + round(slack_seconds * NS)):
            announced = before.ending == RESTARTING
            yield Absence(before.at_ns, after.started_ns, code.RESTART if announced else code.AGENT)


def overlaid(strip: Strip, absence: Absence, off: Spans, minute_seconds: float) -> Strip:
    """The strip with the reason for the unknown minutes of an absence; what was measured stays.

    A power cut in hours when it is expected is no outage.
    """
    minute_ns = round(minute_seconds * NS)
    # minutes of which more than half was missed
    first = max(strip.first, (absence.start_ns + minute_ns // 2) // minute_ns)
    end = min(strip.end, (absence.end_ns + minute_ns // 2) // minute_ns)
    codes = bytearray(strip.codes)
    for minute in range(first, end):
        if codes[minute - strip.first : minute - strip.first + 1] == code.UNKNOWN:
            expected = absence.code in _HOST_OFF and any(a <= minute < b for a, b in off)
            codes[minute - strip.first] = (code.OFF if expected else absence.code)[0]
    return Strip(strip.first, bytes(codes))


def widened(spans: Spans, minutes: int) -> list[tuple[int, int]]:
    """Spans with so many minutes more on each side."""
    return merged((first - minutes, end + minutes) for first, end in spans)


def _why_booted(before: Mark) -> bytes:
    """A host that was shut down in order took its school's gateway down only if it is the gateway."""
    if not before.ending:
        return code.POWER
    return code.RESTART if before.lan else code.REBOOT


def _key(tags: Mapping[str, str], fields: Mapping[str, object]) -> Key:
    target = tags.get("target", "")
    place = fields.get("place")
    known = place if isinstance(place, str) else _PLACES.get(target, "outside")
    return target, tags.get("family", ""), known, tags.get("line"), tags.get("agent", "")


def _heard(key: Key, counts: tuple[int, int]) -> Heard:
    target, family, place, line, _ = key
    return Heard(target, family, place, *counts, line)


def _count(fields: Mapping[str, object], name: str) -> int:
    found = fields.get(name)
    return found if isinstance(found, int) else 0


def _unknown(length: int) -> bytearray:
    return bytearray(code.UNKNOWN * length)
