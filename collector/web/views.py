"""What the pages show of the other rooms, in the reader's words. Pure, and no verdict is made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from collector.ingest.liveness import Heard
from collector.store.interface import Latest
from collector.verdicts.room import Judged
from config.plan import Plan
from config.points import FieldValue
from config.present import LOOKS, Row, age, probe_state, row
from config.school import School
from config.verdict import Answer, Verdict
from config.words import Language, message, translate

SILENT_SECONDS = 15.0
WORST_FIRST = (Answer.NOT_MET, Answer.UNKNOWN, Answer.MET)
EGRESS = "egress_per_class"


class Count(msgspec.Struct, frozen=True):
    """How many targets have an answer."""

    verdict: str
    symbol: str
    word: str
    count: int


class Card(msgspec.Struct, frozen=True):
    """One verdict and since when its answer has been the same."""

    row: Row
    since: str


class SchoolView(msgspec.Struct, frozen=True):
    """A school at a glance. ``verdict`` is its worst answer: not met, then unknown, then met."""

    id: str
    name: str
    plans: str
    heard: str
    verdict: str
    counts: list[Count]


class ProbeView(msgspec.Struct, frozen=True):
    """How a probe fared."""

    name: str
    state: str
    age: str


def school_view(
    school: School, judged: Sequence[Judged], plans: Iterable[Plan], heard: str, language: Language
) -> SchoolView:
    """A school, with the titles of the plans that it is judged by."""
    asked = {one.verdict.plan for one in judged}
    return SchoolView(
        id=school.id,
        name=school.name or school.id,
        plans=" ".join(f"《{plan.title}》" for plan in plans if plan.id in asked),
        heard=heard,
        verdict=worst(one.verdict for one in judged),
        counts=counts(judged, language),
    )


def counts(judged: Iterable[Judged], language: Language) -> list[Count]:
    """How many targets are met, not met and unknown; rows that count in no total are left out."""
    found = Counter(one.verdict.answer for one in judged if one.verdict.counts)
    return [
        Count(answer.value, look.symbol, translate(look.word, language), found[answer])
        for answer, look in LOOKS.items()
    ]


def worst(verdicts: Iterable[Verdict]) -> str:
    """The answer to look at first; a school without verdicts is unknown."""
    answers = {verdict.answer for verdict in verdicts if verdict.counts}
    first = next((answer for answer in WORST_FIRST if answer in answers), Answer.UNKNOWN)
    return str(first.value)


def cards(judged: Iterable[Judged], language: Language, now: datetime, zone: ZoneInfo) -> list[Card]:
    """Every verdict in words, with the day and hour since when it stands."""
    text = message("so since {moment}")
    return [
        Card(
            row=row(one.verdict, language, now),
            since=translate(text, language, moment=f"{one.since.astimezone(zone):%Y-%m-%d %H:%M}"),
        )
        for one in judged
    ]


def heard_text(agents: Iterable[Heard], silent_seconds: Iterable[float], language: Language) -> str:
    """When an agent of the school was last heard, by the collector's own clock."""
    states = {agent.state for agent in agents}
    silent = min(silent_seconds, default=None)
    if silent is None:
        return translate("No agent has been heard since the collector started.", language)
    ago = age(silent, language)
    if silent <= SILENT_SECONDS:
        return translate("Agent last heard {ago}", language, ago=ago)
    if states & {"restarting", "stopping"}:
        return translate("Agent stopped as announced, last heard {ago}", language, ago=ago)
    return translate("Silent: agent last heard {ago}", language, ago=ago)


def probe_views(latest: Iterable[Latest], language: Language, now: datetime) -> list[ProbeView]:
    """Every probe that has told of itself, by name."""
    now_ns = round(now.timestamp() * 1e9)
    return [
        ProbeView(
            name=point.tags.get("probe", "?"),
            state=_probe_state(point.fields, language),
            age=age((now_ns - point.time_ns) / 1e9, language),
        )
        for point in sorted(latest, key=lambda point: point.tags.get("probe", ""))
    ]


def _probe_state(fields: dict[str, FieldValue], language: Language) -> str:
    unknown, error = (fields.get(name) for name in ("unknown", "error"))
    texts = [str(text) if text else None for text in (unknown, error)]
    return probe_state(fields.get("success") is not False, texts[0], texts[1], language)


def chart_target(verdicts: Iterable[Verdict], school: School) -> int | None:
    """The rate to draw a line at, bit/s: what the plan asks of the school's egress, the greatest that is due.

    None for a school of several lines, since they add up and no single one has that target.
    """
    needed = [verdict.needed for verdict in verdicts if verdict.kind == EGRESS and verdict.needed]
    return max(needed) if needed and len(school.lines) == 1 else None
