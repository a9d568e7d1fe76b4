"""What the collector knows of a school or of the county, in the one shape of ``config.report``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from collector.verdicts.room import Judged, VerdictRoom
from config.judge import judge_share
from config.report import (
    EvidenceReport,
    ProbeReport,
    SchoolReport,
    VerdictReport,
    as_builtins,
    as_text,
    verdict_report,
)  # fmt: skip
from config.school import School
from config.verdict import ShareVerdict, Verdict

__all__ = [
    "EvidenceReport", "ProbeReport", "SchoolReport", "SchoolVerdicts", "VerdictReport",
    "as_builtins", "as_text", "report_of", "shares_of",
]  # fmt: skip


class SchoolVerdicts(NamedTuple):
    """What a report is made of: a school's verdicts under one plan, as of ``at``."""

    school: School
    plan: str
    at: datetime
    judged: Sequence[Judged]


def report_of(found: SchoolVerdicts, probes: Iterable[ProbeReport] = ()) -> SchoolReport:
    """A school's verdicts as they go into JSON."""
    verdicts = [verdict_report(one.verdict, found.at, one.since) for one in found.judged]
    return SchoolReport(found.school.id, found.plan, verdicts, list(probes), found.school.name, found.at)


def shares_of(room: VerdictRoom, schools: Iterable[SchoolVerdicts], now: datetime) -> list[ShareVerdict]:
    """The targets that a plan asks of a share of the county's schools, by plan and target."""
    verdicts: dict[str, list[Verdict]] = {}
    for found in schools:
        verdicts.setdefault(found.plan, []).extend(one.verdict for one in found.judged)
    return [
        judge_share(plan, target, verdicts[plan.id], now, room.calendar)
        for plan in room.plans.values()
        if plan.id in verdicts
        for target in plan.targets
        if target.share_percent is not None
    ]
