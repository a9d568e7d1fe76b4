"""Verdicts as JSON: one shape, of the agent's ``check --json`` and of the collector's API and commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from config.evidence import Direction, Evidence, Observed
from config.verdict import Reason, Settles, Verdict


class EvidenceReport(msgspec.Struct, frozen=True):
    """One piece of evidence, rates in bit/s at the IP layer. ``judges`` is False for what never can."""

    kind: str
    lower_bits_per_second: int | None
    upper_bits_per_second: int | None
    at: datetime
    age_seconds: float
    note: str
    subject: str
    direction: Direction
    judges: bool
    about: Literal["line", "trunk_port", "access_port", "campus", "terminal"] = "line"
    observed: Observed | None = None


class VerdictReport(msgspec.Struct, frozen=True):
    """One target: ``verdict`` is met, not_met or unknown.

    ``evidence`` decided; ``beside`` is shown and did not. ``since`` is None where no history is kept, as on
    the agent. ``settles`` says what would settle an unknown.
    """

    target: str
    verdict: str
    evidence: list[EvidenceReport]
    quote: str
    since: datetime | None
    kind: str
    needed_bits_per_second: int | None
    beside: list[EvidenceReport]
    reasons: tuple[Reason, ...]
    settles: Settles | None
    deadline: date
    due: str
    counts: bool


class ProbeReport(msgspec.Struct, frozen=True):
    """How a probe last fared. ``error`` says why it failed, ``unknown`` why there is nothing to measure."""

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
    verdicts: list[VerdictReport]
    probes: list[ProbeReport]
    name: str
    at: datetime


def verdict_report(verdict: Verdict, now: datetime, since: datetime | None = None) -> VerdictReport:
    """A verdict as it goes into JSON; ages are those at ``now``."""
    return VerdictReport(
        target=verdict.target,
        verdict=verdict.answer.value,
        evidence=_evidence_reports(verdict.evidence, now),
        quote=verdict.quote,
        since=since,
        kind=verdict.kind,
        needed_bits_per_second=verdict.needed,
        beside=_evidence_reports(verdict.beside, now),
        reasons=verdict.reasons,
        settles=verdict.settles,
        deadline=verdict.deadline,
        due=verdict.due,
        counts=verdict.counts,
    )


def verdicts_of(report: SchoolReport) -> list[Verdict]:
    """The verdicts of a report as the judge gave them."""
    return [_verdict(one, report) for one in report.verdicts]


def as_builtins(value: object) -> Any:
    """Reports as what JSON is made of, times in ISO 8601 with their offset."""
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def as_text(value: object) -> str:
    """Reports as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(as_builtins(value))).decode("utf-8")


def _evidence_reports(evidence: Iterable[Evidence], now: datetime) -> list[EvidenceReport]:
    return [
        EvidenceReport(
            kind=each.kind.value,
            lower_bits_per_second=each.lower_bits_per_second,
            upper_bits_per_second=each.upper_bits_per_second,
            at=each.at,
            age_seconds=round((now - each.at).total_seconds(), 3),
            note=each.note,
            subject=each.subject,
            direction=each.direction,
            judges=each.judges,
            about=each.about,
            observed=each.observed,
        )
        for each in evidence
    ]


def _verdict(one: VerdictReport, report: SchoolReport) -> Verdict:
    plain = msgspec.structs.asdict
    return msgspec.convert(
        {
            **plain(one),
            "plan": report.plan,
            "school": report.school,
            "answer": one.verdict,
            "needed": one.needed_bits_per_second,
            "evidence": [plain(each) for each in one.evidence],
            "beside": [plain(each) for each in one.beside],
            "at": report.at,
        },
        Verdict,
    )


def _plain(value: object) -> object:
    if isinstance(value, int):
        return int(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form here")
