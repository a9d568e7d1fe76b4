"""What changed since yesterday: answers that are others than before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from collector.verdicts.records import Transition
from config.present import LOOKS, TITLES
from config.school import School
from config.verdict import Answer
from config.words import Language, translate


class Side(msgspec.Struct, frozen=True):
    """An answer in symbol and word."""

    verdict: str
    symbol: str
    word: str


class ChangeView(msgspec.Struct, frozen=True):
    """One change."""

    school: str
    name: str
    target: str
    at: str
    was: Side
    became: Side


def change_views(
    transitions: Iterable[Transition], schools: Mapping[str, School], language: Language, zone: ZoneInfo
) -> list[ChangeView]:
    """Each change of a school that is still declared, and of a row that counts."""
    return [
        ChangeView(
            school=each.place.school_id,
            name=schools[each.place.school_id].name or each.place.school_id,
            target=translate(TITLES.get(each.verdict.kind, each.verdict.kind), language),
            at=f"{each.at.astimezone(zone):%m-%d %H:%M}",
            was=side(each.was, language),
            became=side(each.answer, language),
        )
        for each in transitions
        if each.place.school_id in schools and each.verdict.counts and each.was is not None
    ]


def side(answer: Answer, language: Language) -> Side:
    """An answer for people."""
    look = LOOKS[answer]
    return Side(answer.value, look.symbol, translate(look.word, language))
