"""Schools by IPv6 readiness check: what each shows, and what fails most in the county. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from collector.store.interface import Latest
from config.readiness import BY_NUMBER, CHECKS, Finding, Levels, Result, levels_of, settle
from config.readiness_words import check_title, finding_of, finding_text, result_text
from config.words import Language

STALE_SECONDS = 3 * 86400
"""A finding that nobody has repeated for so long is no longer known: an agent is gone, a holiday is not."""
_WORST_FIRST = (Result.FAIL, Result.PASS, Result.UNKNOWN)


class Cell(msgspec.Struct, frozen=True):
    """One check of one school in words."""

    check: int
    result: str
    symbol: str
    word: str
    finding: str


class SchoolRow(msgspec.Struct, frozen=True):
    """One school: its level between two, and its fifteen checks."""

    id: str
    name: str
    at_least: int
    at_most: int
    cells: tuple[Cell, ...]


class CheckRow(msgspec.Struct, frozen=True):
    """One check over all schools."""

    check: int
    title: str
    standard: str
    passed: int
    failed: int
    unknown: int


def findings_of(points: Iterable[Latest], now: datetime) -> dict[int, Finding]:
    """A school's fifteen findings from those of all its agents: a failure that one sees is one."""
    oldest_ns = _oldest_ns(now)
    found: dict[int, Finding] = {}
    for point in points:
        number = point.tags.get("check", "")
        if point.time_ns < oldest_ns or not number.isdecimal() or int(number) not in BY_NUMBER:
            continue
        finding = finding_of(int(number), point.fields)
        known = found.get(finding.check)
        worse = known is None or _WORST_FIRST.index(finding.result) < _WORST_FIRST.index(known.result)
        if worse and finding.because is None:
            found[finding.check] = finding
    return {finding.check: finding for finding in settle(found.values())}


def _oldest_ns(now: datetime) -> float:
    return (now.timestamp() - STALE_SECONDS) * 1e9


def levels(findings: Mapping[int, Finding]) -> Levels:
    """The level of one school."""
    return levels_of({number: finding.result for number, finding in findings.items()})


class KnownLevels:
    """The levels of many schools, worked out again for those alone of whom something new was told."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Sequence[Latest], Levels]] = {}

    def of(self, told: Iterable[Latest], now: datetime) -> dict[str, Levels]:
        """By school, from the newest points of all."""
        oldest_ns, by_school = _oldest_ns(now), dict[str, list[Latest]]()
        for point in told:
            fresh = by_school.setdefault(point.school_id, [])
            if point.time_ns >= oldest_ns:
                fresh.append(point)
        self._known = {
            school: self._unchanged(school, points) or (points, levels(findings_of(points, now)))
            for school, points in by_school.items()
        }
        return {school: found for school, (_, found) in self._known.items()}

    def _unchanged(self, school: str, points: Sequence[Latest]) -> tuple[Sequence[Latest], Levels] | None:
        known = self._known.get(school)
        return known if known is not None and known[0] == points else None


def school_row(school_id: str, name: str, findings: Mapping[int, Finding], language: Language) -> SchoolRow:
    """One school in words."""
    cells = []
    for number, finding in findings.items():
        symbol, word = result_text(finding.result, language)
        text = finding_text(finding, language)
        cells.append(Cell(number, finding.result.value, symbol, word, text))
    return SchoolRow(school_id, name or school_id, *levels(findings), tuple(cells))


def check_rows(schools: Sequence[Mapping[int, Finding]], language: Language) -> list[CheckRow]:
    """Each check and how many schools it passes, fails and is unknown for; what fails most comes first."""
    rows = []
    for check in CHECKS:
        counts = Counter(findings[check.number].result for findings in schools)
        rows.append(
            CheckRow(
                check.number, check_title(check.number, language), check.standard,
                counts[Result.PASS], counts[Result.FAIL], counts[Result.UNKNOWN],
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: (-row.failed, -row.unknown, row.check))


def school_json(findings: Mapping[int, Finding]) -> dict[str, Any]:
    """One school for programs."""
    at_least, at_most = levels(findings)
    return {
        "level_at_least": at_least,
        "level_at_most": at_most,
        "checks": [
            {
                "check": number,
                "result": finding.result.value,
                "because": finding.because,
                "code": finding.code,
                "values": finding.values,
                "finding": finding_text(finding, "en"),
            }
            for number, finding in findings.items()
        ],
    }
