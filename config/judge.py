"""The judge: from a target, a school, evidence and a time to a verdict. Pure: no clock, file or network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Literal, TypeAlias

from config import networks, rates
from config.bounds import DEFAULT_RULES, Rules
from config.calendar import SchoolCalendar
from config.case import Case
from config.evidence import Evidence
from config.plan import Plan, Target, TargetKind
from config.school import School
from config.verdict import Answer, Finding, Reason, Settles, ShareVerdict, Verdict

__all__ = [
    "Answer", "Reason", "Rules", "Settles", "ShareVerdict", "Verdict",
    "judge", "judge_plan", "judge_plans", "judge_share", "not_judged",
]  # fmt: skip

Row: TypeAlias = Literal["", "delivery"]
"""Of a target: its own, or what the line delivers beside it."""

JUDGED_BY: Mapping[TargetKind, Callable[[Target, Case], Finding]] = {
    TargetKind.EGRESS_PER_CLASS: rates.egress_per_class,
    TargetKind.COUNTY_BACKBONE: rates.county_backbone,
    TargetKind.UPLINK_PORT: rates.uplink_port,
    TargetKind.CAMPUS_BACKBONE: rates.campus_backbone,
    TargetKind.TERMINAL_SPEED: rates.terminal_speed,
    TargetKind.TWO_FIBRE_NETWORKS: networks.two_fibre_networks,
    TargetKind.CAMPUS_COVERAGE: networks.coverage,
    TargetKind.WIRELESS_COVERAGE: networks.coverage,
    TargetKind.IPV6: networks.ipv6,
    TargetKind.DECLARED: networks.declared,
}


def judge(
    target: Target,
    school: School,
    evidence: Iterable[Evidence],
    now: datetime,
    calendar: SchoolCalendar,
    *,
    plan: Plan | None = None,
    rules: Rules = DEFAULT_RULES,
) -> Verdict:
    """Judge one target of one school at ``now`` (aware), whether or not its group has the school.

    ``plan`` is the one the target is from, for its id and its status.
    """
    case = Case(school, evidence, now, calendar, rules)
    return _verdict(target, case, JUDGED_BY[target.kind](target, case), plan)


def judge_plan(
    plan: Plan,
    school: School,
    evidence: Iterable[Evidence],
    now: datetime,
    calendar: SchoolCalendar,
    *,
    rules: Rules = DEFAULT_RULES,
) -> list[Verdict]:
    """Judge every target that the plan asks of the school, in the plan's order.

    An access target is followed by a row of kind «delivery» and id «…_delivery», which changes no total. To
    name a plan here is to choose it: a lapsed one is judged too, and its verdicts say lapsed.
    """
    case = Case(school, evidence, now, calendar, rules)
    found = ((target, row, _found(target, row, case)) for target, row in _rows(plan, school))
    return [_verdict(target, case, finding, plan, row) for target, row, finding in found]


def not_judged(plan: Plan, school: School, now: datetime, calendar: SchoolCalendar) -> list[Verdict]:
    """The verdicts of ``judge_plan`` where that itself failed: each unknown for that reason."""
    case = Case(school, (), now, calendar, DEFAULT_RULES)
    failed = Finding(Answer.UNKNOWN, (Reason("judge_failed"),))
    return [_verdict(target, case, failed, plan, row) for target, row in _rows(plan, school)]


def judge_plans(
    plans: Iterable[Plan],
    school: School,
    evidence: Iterable[Evidence],
    now: datetime,
    calendar: SchoolCalendar,
    *,
    chosen: Iterable[str] = (),
    rules: Rules = DEFAULT_RULES,
) -> list[Verdict]:
    """Judge several plans; those that have lapsed only when their id is ``chosen``."""
    wanted, items = set(chosen), list(evidence)
    return [
        verdict
        for plan in plans
        if plan.status != "lapsed" or plan.id in wanted
        for verdict in judge_plan(plan, school, items, now, calendar, rules=rules)
    ]


def judge_share(
    plan: Plan, target: Target, verdicts: Iterable[Verdict], now: datetime, calendar: SchoolCalendar
) -> ShareVerdict:
    """Judge a target on the county, from one verdict of it for each school.

    The share is the plan's, else every school. Schools of which it is not known are on neither side: the
    share is met when enough are met, not met when too few could be, else unknown; no school is unknown.
    """
    answers = Counter(each.answer for each in verdicts if each.target == target.id)
    schools, met, unknown = answers.total(), answers[Answer.MET], answers[Answer.UNKNOWN]
    percent = target.share_percent or 100
    answer = Answer.UNKNOWN
    if schools and met * 100 >= schools * percent:
        answer = Answer.MET
    elif schools and (met + unknown) * 100 < schools * percent:
        answer = Answer.NOT_MET
    return ShareVerdict(
        plan=plan.id,
        target=target.id,
        answer=answer,
        share_percent=percent,
        schools=schools,
        met=met,
        not_met=answers[Answer.NOT_MET],
        unknown=unknown,
        quote=target.quote,
        deadline=target.deadline,
        due=_due(target, answer, plan, calendar.local_day(now)),
        at=now,
    )


def _rows(plan: Plan, school: School) -> Iterator[tuple[Target, Row]]:
    for target in plan.targets:
        if plan.asks(target, school):
            yield target, ""
            if target.kind is TargetKind.UPLINK_PORT:
                yield target, "delivery"


def _found(target: Target, row: Row, case: Case) -> Finding:
    return rates.delivery(target, case) if row else JUDGED_BY[target.kind](target, case)


def _verdict(target: Target, case: Case, finding: Finding, plan: Plan | None, row: Row = "") -> Verdict:
    return Verdict(
        plan=plan.id if plan else "",
        school=case.school.id,
        target=f"{target.id}_{row}" if row else target.id,
        kind=row or target.kind.value,
        answer=finding.answer,
        needed=finding.needed,
        evidence=finding.evidence,
        beside=finding.beside,
        reasons=finding.reasons,
        settles=finding.settles,
        quote=target.quote,
        deadline=target.deadline,
        due=_due(target, finding.answer, plan, case.day),
        at=case.now,
        counts=not (row or target.reported_only),
    )


def _due(
    target: Target, answer: Answer, plan: Plan | None, today: date
) -> Literal["due", "overdue", "lapsed"]:
    """Overdue is what is not shown to be met after its last day."""
    if plan and plan.status == "lapsed":
        return "lapsed"
    return "overdue" if answer is not Answer.MET and today > target.deadline else "due"
