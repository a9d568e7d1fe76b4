"""Verdicts as JSON: the shape of ``xiaotong-agent check --json``, with what a collector knows beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from collector.verdicts.room import Judged, VerdictRoom
from config.evidence import Evidence, Observed
from config.judge import judge_share
from config.school import School
from config.verdict import Reason, Settles, ShareVerdict, Verdict


class EvidenceReport(msgspec.Struct, frozen=True):
    """One piece of evidence, rates in bit/s at the IP layer."""

    kind: str
    lower_bits_per_second: int | None
    upper_bits_per_second: int | None
    at: datetime
    age_seconds: float
    note: str
    subject: str
    direction: str
    judges: bool
    observed: Observed | None = None


class VerdictReport(msgspec.Struct, frozen=True):
    """One target: ``verdict`` is met, not_met or unknown; ``beside`` is shown and did not judge."""

    target: str
    verdict: str
    evidence: list[EvidenceReport]
    quote: str
    since: datetime
    kind: str
    needed_bits_per_second: int | None
    beside: list[EvidenceReport]
    reasons: tuple[Reason, ...]
    settles: Settles | None
    deadline: date
    due: str
    counts: bool


class ProbeReport(msgspec.Struct, frozen=True):
    """How a probe of an agent last fared. ``unknown`` says why there is nothing to measure."""

    name: str
    success: bool | None
    duration_seconds: float | None
    error: str | None
    unknown: str | None = None
    agent: str | None = None
    at: datetime | None = None


class SchoolReport(msgspec.Struct, frozen=True):
    """The verdicts of one school under one plan, as of ``at``."""

    school: str
    plan: str
    name: str
    at: datetime
    verdicts: list[VerdictReport]
    probes: list[ProbeReport]


class SchoolVerdicts(NamedTuple):
    """What a report is made of: a school's verdicts under one plan, as of ``at``."""

    school: School
    plan: str
    at: datetime
    judged: Sequence[Judged]


def report_of(found: SchoolVerdicts, probes: Iterable[ProbeReport] = ()) -> SchoolReport:
    """A school's verdicts as they go into JSON."""
    verdicts = [_verdict(one.verdict, one.since, found.at) for one in found.judged]
    return SchoolReport(found.school.id, found.plan, found.school.name, found.at, verdicts, list(probes))


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


def as_builtins(value: object) -> Any:
    """Reports as what JSON is made of, times in ISO 8601 with their offset."""
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def as_text(value: object) -> str:
    """Reports as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(as_builtins(value))).decode("utf-8")


def _verdict(verdict: Verdict, since: datetime, now: datetime) -> VerdictReport:
    return VerdictReport(
        target=verdict.target,
        verdict=verdict.answer.value,
        evidence=[_evidence(evidence, now) for evidence in verdict.evidence],
        quote=verdict.quote,
        since=since,
        kind=verdict.kind,
        needed_bits_per_second=verdict.needed,
        beside=[_evidence(evidence, now) for evidence in verdict.beside],
        reasons=verdict.reasons,
        settles=verdict.settles,
        deadline=verdict.deadline,
        due=verdict.due,
        counts=verdict.counts,
    )


def _evidence(evidence: Evidence, now: datetime) -> EvidenceReport:
    return EvidenceReport(
        kind=evidence.kind.value,
        lower_bits_per_second=evidence.lower_bits_per_second,
        upper_bits_per_second=evidence.upper_bits_per_second,
        at=evidence.at,
        age_seconds=round((now - evidence.at).total_seconds(), 3),
        note=evidence.note,
        subject=evidence.subject,
        direction=evidence.direction,
        judges=evidence.judges,
        observed=evidence.observed,
    )


def _plain(value: object) -> object:
    if isinstance(value, int):
        return int(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form here")
