"""Which test a school needs next: what settles an unknown, what renews, what is looked at again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from config.bounds import Rules
from config.calendar import SchoolCalendar
from config.evidence import Evidence, EvidenceKind
from config.school import School, lines_on
from config.verdict import Answer, Verdict

Way = Literal["down", "up"]

SEARCHES = frozenset({EvidenceKind.SEARCH, EvidenceKind.SEARCH_LIMITED})
VERIFIES = frozenset({EvidenceKind.VERIFY_PASSED, EvidenceKind.VERIFY_FAILED})
CAPACITY = SEARCHES | VERIFIES | {EvidenceKind.PASSIVE_PEAK, EvidenceKind.PLATEAU}


class Trigger(msgspec.Struct, frozen=True):
    """Something happened on a line that asks for a verify at once: a plateau, a port change, delay."""

    line: str
    at: datetime
    why: str


class Need(msgspec.Struct, frozen=True):
    """A test that is wanted. ``rank``: the least comes first. ``urgent``: not at the school's moment but as
    soon as hours allow.
    """

    line: str
    direction: Way
    mode: Literal["search", "verify"]
    bits_per_second: int | None
    why: str
    rank: int
    urgent: bool = False


class Known(msgspec.Struct, frozen=True):
    """What a school's needs are made from."""

    school: School
    verdicts: Sequence[Verdict]
    evidence: Sequence[Evidence]
    triggers: Sequence[Trigger]
    now: datetime


class Needs:
    """Finds them by the judge's rules: how long evidence counts, how far two tries lie apart."""

    def __init__(self, rules: Rules, calendar: SchoolCalendar, ahead_school_days: int) -> None:
        self._rules = rules
        self._calendar = calendar
        self._ahead = ahead_school_days

    def of(self, known: Known) -> list[Need]:
        """Every test the school needs now, the most wanted first, one for each line, direction and mode."""
        found: dict[tuple[str, str, str], Need] = {}
        lines = {line.id for line in lines_on(known.school, self._calendar.local_day(known.now))}
        wanted = sorted(self._all(known), key=lambda need: (need.rank, -(need.bits_per_second or 0)))
        for need in wanted:
            if need.line in lines:
                found.setdefault((need.line, need.direction, need.mode), need)
        return list(found.values())

    def _all(self, known: Known) -> Iterator[Need]:
        for verdict in known.verdicts:
            yield from self._tried_once(verdict, known.now)
            if verdict.answer is Answer.UNKNOWN:
                yield from self._settling(verdict, known)
            elif verdict.answer is Answer.MET:
                yield from self._renewing(verdict, known)
            else:
                yield from self._after_failure(verdict, known.evidence)
        yield from self._searches(known)

    def _tried_once(self, verdict: Verdict, now: datetime) -> Iterator[Need]:
        """A verify run that failed once is tried again at another time."""
        lines = {reason.values["line"] for reason in verdict.reasons if reason.code == "verify_failed_once"}
        apart = timedelta(seconds=float(self._rules.tries_apart))
        for each in verdict.beside:
            failed = each.kind is EvidenceKind.VERIFY_FAILED and each.upper_bits_per_second is not None
            if failed and each.subject in lines and now - each.at >= apart:
                yield Need(
                    each.subject, _way(each), "verify", (each.upper_bits_per_second or 0) + 1,
                    "a verify run failed once", rank=1, urgent=True,
                )  # fmt: skip

    def _settling(self, verdict: Verdict, known: Known) -> Iterator[Need]:
        settles = verdict.settles
        if settles is None or settles.line is None or settles.code not in ("verify", "search"):
            return
        way: Way = "up" if settles.direction == "up" else "down"
        last = _last(known.evidence, SEARCHES | VERIFIES, settles.line, way)
        if last is not None and known.now - last.at < timedelta(seconds=float(self._rules.tries_apart)):
            return
        mode: Literal["search", "verify"] = "verify" if settles.code == "verify" else "search"
        if news := _news(known, settles.line, last):
            why = news[-1].why
            yield Need(settles.line, way, mode, settles.bits_per_second, why, rank=1, urgent=True)
        else:
            yield Need(settles.line, way, mode, settles.bits_per_second, "it would settle an unknown", rank=2)

    def _renewing(self, verdict: Verdict, known: Known) -> Iterator[Need]:
        """What is met is verified again before a verify run would expire, however good the traffic looks."""
        threshold = round((verdict.needed or 0) * self._rules.met_share)
        shown = [each for each in verdict.evidence if each.about == "line" and each.kind in CAPACITY]
        known_sum = sum(each.lower_bits_per_second or 0 for each in shown)
        for each in shown:
            way = _way(each)
            rate = threshold - (known_sum - (each.lower_bits_per_second or 0))
            last = _last(known.evidence, SEARCHES | VERIFIES, each.subject, way)
            if rate > 0 and (news := _news(known, each.subject, last)):
                yield Need(each.subject, way, "verify", rate, news[-1].why, rank=1, urgent=True)
            elif rate > 0 and self._is_old(last, self._rules.verify_school_days, known.now):
                yield Need(each.subject, way, "verify", rate, "the evidence will expire", rank=3)

    def _after_failure(self, verdict: Verdict, evidence: Sequence[Evidence]) -> Iterator[Need]:
        """After a failed verify: how much can it do?"""
        for each in verdict.evidence:
            if each.kind is EvidenceKind.VERIFY_FAILED:
                search = _last(evidence, SEARCHES, each.subject, _way(each))
                if search is None or search.at < each.at:
                    yield Need(each.subject, _way(each), "search", None, "a verify run failed", rank=2)

    def _searches(self, known: Known) -> Iterator[Need]:
        ways: tuple[Way, ...] = ("down", "up")
        for line in lines_on(known.school, self._calendar.local_day(known.now)):
            for way in ways:
                last = _last(known.evidence, SEARCHES, line.id, way)
                if self._is_old(last, self._rules.search_school_days, known.now):
                    yield Need(line.id, way, "search", None, "the last search is old", rank=4)

    def _is_old(self, last: Evidence | None, counts_school_days: int, now: datetime) -> bool:
        if last is None:
            return True
        return self._calendar.age_school_days(last.at, now) >= max(1, counts_school_days - self._ahead)


def _news(known: Known, line: str, last: Evidence | None) -> list[Trigger]:
    """What happened on a line since it was tested last."""
    happened = [one for one in known.triggers if one.line == line]
    return [one for one in happened if last is None or one.at > last.at]


def _last(
    evidence: Iterable[Evidence], kinds: frozenset[EvidenceKind], line: str, way: Way
) -> Evidence | None:
    fitting = [
        each for each in evidence
        if each.kind in kinds and each.subject == line and _way(each) == way and each.judges
    ]  # fmt: skip
    return max(fitting, key=lambda each: each.at, default=None)


def _way(evidence: Evidence) -> Way:
    return "up" if evidence.direction == "up" else "down"
