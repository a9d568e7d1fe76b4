"""A school before the judge: its evidence sorted once, its spans found when asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from typing import Literal, NamedTuple, TypeAlias

from config.bounds import NOTHING_KNOWN, Bound, Rules, Span, confirmed_failures, is_fresh, span_of
from config.calendar import SchoolCalendar
from config.evidence import Declared, Evidence, EvidenceKind, Observed
from config.school import Line, School, contract_on, lines_on
from config.units import format_rate

Flow: TypeAlias = Literal["down", "up"]


Dated: TypeAlias = tuple[Evidence, bool]


class LeftOver(NamedTuple):
    """``expired``: too old to count, the newest of each kind. ``failed_once``: a failed verify run that does
    not judge before a second one fails.
    """

    expired: tuple[Evidence, ...]
    failed_once: Evidence | None


class Case:
    """One school's evidence at one time. Spans are kept, since several targets ask for the same ones."""

    def __init__(
        self,
        school: School,
        evidence: Iterable[Evidence],
        now: datetime,
        calendar: SchoolCalendar,
        rules: Rules,
    ) -> None:
        """``now`` is an aware datetime; evidence from after it (by more than ``same_age``) is left out."""
        self.school, self.now, self.calendar, self.rules = school, now, calendar, rules
        self.day = calendar.local_day(now)
        self.lines = lines_on(school, self.day)
        self._same_age = timedelta(seconds=rules.same_age)
        self._judging: dict[tuple[str, str], list[Dated]] = defaultdict(list)
        self._observed: list[Evidence] = []
        self._terminals: list[Evidence] = []
        self._spans: dict[tuple[str, Flow | None], Span] = {}
        self._left_over: dict[tuple[str, Flow], LeftOver] = {}
        self.shown = tuple(self._sorted(evidence).values())

    def _sorted(self, evidence: Iterable[Evidence]) -> dict[tuple[object, ...], Evidence]:
        """Put away what judges; give what is only shown, the newest of a kind."""
        shown: dict[tuple[object, ...], Evidence] = {}
        horizon = self.now + self._same_age
        for each in evidence:
            if each.at > horizon:
                continue
            if each.kind is EvidenceKind.DECLARED:
                shown[id(each),] = each
                continue
            fresh = is_fresh(each, self.now, self.day, self.calendar, self.rules)
            if each.about == "terminal":
                self._terminals += [each] if fresh else []
            elif not each.judges:
                key = (each.kind, each.subject, each.direction, each.note)
                if fresh and (key not in shown or each.at > shown[key].at):
                    shown[key] = each
            elif each.observed is None:
                self._judging[each.about, each.subject].append((each, fresh))
            elif fresh:
                self._observed.append(each)
        return shown

    def capacity(self, line: Line, flow: Flow) -> Span:
        """What a line can carry one way."""
        key = (line.id, flow)
        if key not in self._spans:
            judging = self._judging.get(("line", line.id))
            self._spans[key] = self._capacity(judging, flow) if judging else NOTHING_KNOWN
        return self._spans[key]

    def _capacity(self, judging: Sequence[Dated], flow: Flow) -> Span:
        lowers: list[Bound] = []
        uppers: list[Bound] = []
        failed: list[Bound] = []
        for each, fresh in judging:
            if each.direction not in (flow, "both"):
                continue
            if each.lower_bits_per_second is not None:
                lowers.append(Bound(each.lower_bits_per_second, each, fresh))
            if each.upper_bits_per_second is not None:
                kept = failed if each.kind is EvidenceKind.VERIFY_FAILED else uppers
                kept.append(Bound(each.upper_bits_per_second, each, fresh))
        if failed:
            passed = [each for each in lowers if each.evidence.kind is EvidenceKind.VERIFY_PASSED]
            uppers += confirmed_failures([*failed, *passed], timedelta(seconds=self.rules.tries_apart))
        return span_of(lowers, uppers, self._same_age)

    def access(self, line: Line) -> Span:
        """The speed of the port of a line: what it negotiated, or at least what went through it."""
        key = (line.id, None)
        if key not in self._spans:
            self._spans[key] = self._speed(self._judging.get(("line", line.id), ()))
        return self._spans[key]

    def ports(self, about: Literal["trunk_port", "access_port"]) -> dict[str, Span]:
        """The speeds of the campus ports that were seen up, by «device/port»."""
        spans = {
            subject: self._speed(judging)
            for (kind, subject), judging in self._judging.items()
            if kind == about
        }
        return {subject: span for subject, span in spans.items() if span.lower is not None}

    def _speed(self, judging: Sequence[Dated]) -> Span:
        lowers, uppers = [], []
        for each, fresh in judging:
            if each.kind is EvidenceKind.PORT_SPEED and each.upper_bits_per_second is not None:
                speed = Bound(each.upper_bits_per_second, each, fresh)
                lowers.append(speed)
                uppers.append(speed)
            elif each.lower_bits_per_second is not None:
                lowers.append(Bound(each.lower_bits_per_second, each, fresh))
        return span_of(lowers, uppers, self._same_age)

    def seen(self, shape: type[Observed], subject: str | None = None) -> list[Evidence]:
        """Fresh observations of a shape, the newest first; of one line when ``subject`` is given."""
        found = [
            each
            for each in self._observed
            if isinstance(each.observed, shape) and subject in (None, each.subject)
        ]
        return sorted(found, key=lambda each: each.at, reverse=True)

    def terminals(self, flow: Flow) -> list[Evidence]:
        """Browsers' tests that are young enough, the newest first."""
        found = [each for each in self._terminals if each.direction == flow]
        return sorted(found, key=lambda each: each.at, reverse=True)

    def left_over(self, line: Line, flow: Flow) -> LeftOver:
        """What there is of a line and did not judge."""
        key = (line.id, flow)
        if key not in self._left_over:
            judging = self._judging.get(("line", line.id), ())
            one_way = [pair for pair in judging if pair[0].direction in (flow, "both")]
            alone = _failed_once(one_way, self.capacity(line, flow))
            self._left_over[key] = LeftOver(_newest_expired(one_way), alone)
        return self._left_over[key]

    def contracts(self, lines: Sequence[Line], flow: Flow) -> list[tuple[int, Evidence]]:
        """The contracted rates of the lines, each as declared evidence dated from its contract's start."""
        found = []
        for line in lines:
            contract = contract_on(line, self.day)
            rate = contract.down if flow == "down" else contract.up
            if rate is not None:
                at = (
                    datetime.combine(contract.starts, time(), self.calendar.time_zone)
                    if contract.starts
                    else None
                )
                declared = Declared("contracted_rate", format_rate(rate), contract.carrier or line.carrier)
                found.append(
                    (
                        int(rate),
                        Evidence(
                            EvidenceKind.DECLARED,
                            line.id,
                            at or self.now,
                            flow,
                            judges=False,
                            observed=declared,
                        ),
                    )
                )
        return found


def _newest_expired(judging: Iterable[Dated]) -> tuple[Evidence, ...]:
    newest: dict[EvidenceKind, Evidence] = {}
    for each, fresh in judging:
        if not fresh and (each.kind not in newest or each.at > newest[each.kind].at):
            newest[each.kind] = each
    return tuple(newest.values())


def _failed_once(judging: Iterable[Dated], span: Span) -> Evidence | None:
    """The newest failed verify run that is below what is known and stands alone."""
    failed = [each for each, fresh in judging if fresh and each.kind is EvidenceKind.VERIFY_FAILED]
    newest = max(failed, key=lambda each: each.at, default=None)
    if newest is None or newest.upper_bits_per_second is None:
        return None
    known = span.upper is not None and span.upper <= newest.upper_bits_per_second
    beaten = any(each.at > newest.at and _passed_above(each, newest) for each in span.lower_by)
    return None if known or beaten else newest


def _passed_above(passed: Evidence, failed: Evidence) -> bool:
    lower, upper = passed.lower_bits_per_second, failed.upper_bits_per_second
    return lower is not None and upper is not None and lower > upper
