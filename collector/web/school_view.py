"""A school's verdicts as cards: the plan's words, the evidence with its time, the interval drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from collector.store.interface import Latest
from collector.verdicts.room import Judged
from collector.web.county_view import Reader
from collector.web.interval import Bar, bar_of, interval_of
from config.plan import Plan
from config.points import FieldValue
from config.present import LOOKS, Row, age, probe_state, row
from config.school import School
from config.verdict import Answer, Verdict
from config.words import Language, message, translate

WORST_FIRST = (Answer.NOT_MET, Answer.UNKNOWN, Answer.MET)
EGRESS = "egress_per_class"


class Count(msgspec.Struct, frozen=True):
    """How many targets have an answer."""

    verdict: str
    symbol: str
    word: str
    count: int


class EvidenceLine(msgspec.Struct, frozen=True):
    """One piece of evidence in words, and when it was measured."""

    text: str
    at: str


class Card(msgspec.Struct, frozen=True):
    """One verdict, what it rests on, and since when its answer has been the same."""

    row: Row
    bar: Bar | None
    evidence: tuple[EvidenceLine, ...]
    beside: tuple[EvidenceLine, ...]
    """Shown, and did not judge."""
    since: str


class PlanCards(msgspec.Struct, frozen=True):
    """The verdicts under one plan."""

    id: str
    title: str
    counts: tuple[Count, ...]
    cards: tuple[Card, ...]


class ProbeView(msgspec.Struct, frozen=True):
    """How a probe fared."""

    name: str
    state: str
    age: str


def plan_cards(
    judged: Sequence[Judged], plans: Iterable[Plan], reader: Reader, zone: ZoneInfo
) -> list[PlanCards]:
    """Each plan that asks something of the school, its worst answers first."""
    found = []
    for plan in plans:
        mine = [one for one in judged if one.verdict.plan == plan.id]
        mine.sort(key=lambda one: (not one.verdict.counts, WORST_FIRST.index(one.verdict.answer)))
        if mine:
            cards = tuple(_card(one, reader, zone) for one in mine)
            found.append(PlanCards(plan.id, plan.title, tuple(counts(mine, reader.language)), cards))
    return found


def counts(judged: Iterable[Judged], language: Language) -> list[Count]:
    """How many targets are not met, unknown and met; rows that count in no total are left out."""
    answers = [one.verdict.answer for one in judged if one.verdict.counts]
    return [
        Count(
            answer.value, LOOKS[answer].symbol, translate(LOOKS[answer].word, language), answers.count(answer)
        )
        for answer in WORST_FIRST
    ]


def probe_views(latest: Iterable[Latest], reader: Reader) -> list[ProbeView]:
    """Every probe that has told of itself, by name."""
    now_ns = round(reader.now.timestamp() * 1e9)
    return [
        ProbeView(
            name=point.tags.get("probe", "?"),
            state=_probe_state(point.fields, reader.language),
            age=age((now_ns - point.time_ns) / 1e9, reader.language),
        )
        for point in sorted(latest, key=lambda point: point.tags.get("probe", ""))
    ]


def chart_target(verdicts: Iterable[Verdict], school: School) -> int | None:
    """The rate to draw a line at, bit/s: what the plan asks of the school's egress, the greatest that is due.

    None for a school of several lines, since they add up and no single one has that target.
    """
    needed = [verdict.needed for verdict in verdicts if verdict.kind == EGRESS and verdict.needed]
    return max(needed) if needed and len(school.lines) == 1 else None


def _card(one: Judged, reader: Reader, zone: ZoneInfo) -> Card:
    shown = row(one.verdict, reader.language, reader.now)
    evidence = (*one.verdict.evidence, *one.verdict.beside)
    lines = tuple(
        EvidenceLine(text, f"{each.at.astimezone(zone):%Y-%m-%d %H:%M}")
        for text, each in zip(shown.evidence, evidence, strict=True)
    )
    since = translate(
        message("so since {moment}"), reader.language, moment=f"{one.since.astimezone(zone):%Y-%m-%d %H:%M}"
    )
    judged = len(one.verdict.evidence)
    bar = bar_of(interval_of(one.verdict), reader.language)
    return Card(shown, bar, lines[:judged], lines[judged:], since)


def _probe_state(fields: dict[str, FieldValue], language: Language) -> str:
    unknown, error = (fields.get(name) for name in ("unknown", "error"))
    texts = [str(text) if text else None for text in (unknown, error)]
    return probe_state(fields.get("success") is not False, texts[0], texts[1], language)
