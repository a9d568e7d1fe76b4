"""What holds of the judge for any evidence."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from config.calendar import CalendarSettings, Days, SchoolCalendar
from config.evidence import Evidence, EvidenceKind
from config.judge import Answer, judge
from config.plan import TargetKind, shipped_plans
from config.units import parse_rate
from tests.config.situations import (
    CALENDAR,
    NOW,
    M,
    failed,
    passed,
    peak,
    port,
    school,
    search,
    target_of,
)  # fmt: skip

PLAN, TARGET = target_of("shandan", "egress_urban_2017")
SCHOOL = school()
THRESHOLD = 342 * M
QUICK = settings(max_examples=150, deadline=None)

rates = st.integers(1, 1000).map(lambda megabits: megabits * M)
hours = st.integers(0, 20 * 24 * 12).map(lambda steps: steps / 12)


def made(kinds: list[str]) -> st.SearchStrategy[Evidence]:
    makers = {"peak": peak, "port": port, "search": search, "passed": passed, "failed": failed}
    return st.builds(
        lambda kind, rate, age: makers[kind](rate, hours=age), st.sampled_from(kinds), rates, hours
    )


anything = st.lists(made(["peak", "port", "search", "passed", "failed"]), max_size=8)


def answer(evidence: list[Evidence], calendar: SchoolCalendar = CALENDAR) -> Answer:
    return judge(TARGET, SCHOOL, evidence, NOW, calendar, plan=PLAN).answer


@QUICK
@given(anything, made(["peak", "port", "search", "passed", "failed"]))
def test_more_evidence_never_turns_met_into_not_met_without_an_upper_bound_under_the_target(
    evidence: list[Evidence], more: Evidence
) -> None:
    upper = more.upper_bits_per_second
    under = upper is not None and upper < THRESHOLD
    if answer(evidence) is Answer.MET and not under:
        assert answer([*evidence, more]) is not Answer.NOT_MET


@QUICK
@given(anything, st.integers(1, THRESHOLD - 1), st.booleans())
def test_a_drop_is_seen_whatever_older_evidence_said(
    evidence: list[Evidence], rate: int, by_search: bool
) -> None:
    older = [msgspec.structs.replace(each, at=each.at - timedelta(hours=2)) for each in evidence]
    drop = (
        [search(rate, hours=0)] if by_search else [failed(THRESHOLD, hours=0), failed(THRESHOLD, hours=0.5)]
    )
    assert answer([*older, *drop]) is Answer.NOT_MET


@QUICK
@given(anything, st.randoms())
def test_the_order_of_evidence_changes_nothing(evidence: list[Evidence], chance: object) -> None:
    mixed = list(evidence)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert answer(mixed) is answer(evidence)


@QUICK
@given(st.integers(THRESHOLD, 10**10), st.integers(1, THRESHOLD - 1), hours)
def test_contradictions_of_one_age_are_unknown(high: int, low: int, age: float) -> None:
    pair = [peak(high, hours=age), search(low, hours=age)]
    verdict = judge(TARGET, SCHOOL, pair, NOW, CALENDAR, plan=PLAN)
    assert verdict.answer is Answer.UNKNOWN
    assert set(verdict.evidence) >= set(pair)


@QUICK
@given(st.integers(0, 300), st.sampled_from([EvidenceKind.PASSIVE_PEAK, EvidenceKind.SEARCH]))
def test_a_holiday_ages_nothing(days: int, kind: EvidenceKind) -> None:
    holiday = Days(date(2025, 1, 1), date(2026, 11, 18))
    closed = SchoolCalendar(CalendarSettings(public_holidays="none", holidays=(holiday,)))
    old = msgspec.structs.replace(peak(THRESHOLD), kind=kind, at=NOW - timedelta(days=days))
    assert answer([old], closed) is Answer.MET
    counts_for = 40 if kind is EvidenceKind.SEARCH else 20
    aged = CALENDAR.age_school_days(old.at, NOW) > counts_for
    assert answer([old]) is (Answer.UNKNOWN if aged else Answer.MET)


@QUICK
@given(st.integers(1, 10_000), st.integers(0, 2 * 10**10))
def test_units_never_mix(megabits: int, bits: int) -> None:
    """A target written in Mbit/s against evidence in bit/s."""
    target = msgspec.structs.replace(TARGET, rate=parse_rate(f"{megabits}M"))
    one_class = msgspec.structs.replace(SCHOOL, classes=1)
    verdict = judge(target, one_class, [search(bits)], NOW, CALENDAR)
    assert verdict.needed == megabits * 1_000_000
    assert verdict.answer is (Answer.MET if bits >= megabits * 950_000 else Answer.NOT_MET)


def test_no_evidence_is_unknown_for_every_target() -> None:
    for plan in shipped_plans().values():
        for target in plan.targets:
            verdict = judge(target, SCHOOL, [], NOW, CALENDAR, plan=plan)
            assert verdict.answer is Answer.UNKNOWN
            assert verdict.reasons
            assert target.kind is TargetKind.DECLARED or verdict.settles is not None
