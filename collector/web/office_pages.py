"""Pages for the county's staff: plans and settings. They read what the commands read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from starlette.requests import Request
from starlette.responses import Response

from collector.settings import CollectorSettings
from collector.verdicts.report import SchoolVerdicts, shares_of
from collector.web import county_view
from collector.web.county_page import CountyPage
from collector.web.frame import Frame, shown
from config.plan import Plan
from config.present import LOOKS
from config.units import BitsPerSecond, Bytes, Seconds, format_duration, format_rate, format_size
from config.verdict import ShareVerdict
from config.words import translate

MASK = "••••••"
_SECRETS = ("password", "secret", "token", "key")


class TargetView(msgspec.Struct, frozen=True):
    """One target of a plan: how its schools stand, and whether the county's share is reached."""

    share: county_view.Share
    reported_only: bool
    asked_percent: int | None
    verdict: str
    symbol: str
    word: str


class OfficePages:
    """The pages over the registry and the settings."""

    def __init__(self, frame: Frame, county: CountyPage, settings: CollectorSettings) -> None:
        self.frame = frame
        self._county = county
        self._settings = settings

    @shown
    def plans(self, request: Request) -> Response:
        """Every plan that is judged: its words, its dates, how the county stands."""
        reader, county = self.frame.reader(request), self._county.county(request)
        plans = self.frame.rooms.verdicts.plans
        found = [
            SchoolVerdicts(
                state.school, plan, reader.now, [one for one in state.judged if one.verdict.plan == plan]
            )
            for state in county.schools.values()
            for plan in plans
        ]
        asked = {
            (each.plan, each.target): each for each in shares_of(self.frame.rooms.verdicts, found, reader.now)
        }
        shown_plans = []
        for plan in plans.values():
            shares = county_view.shares(plan, county, reader.language)
            shown_plans.append((plan, [_target(each, plan, asked, reader) for each in shares]))
        return self.frame.render(request, "plans.html", plans=shown_plans, today=reader.today)

    @shown
    def settings(self, request: Request) -> Response:
        """Every setting as it holds, secrets masked."""
        return self.frame.render(request, "settings.html", rows=list(rows_of(self._settings)))


def rows_of(settings: CollectorSettings) -> Iterator[tuple[str, str]]:
    """Each key with its value as text."""
    for key, value in _leaves("", msgspec.to_builtins(settings, enc_hook=_quantity)):
        yield key, masked(key, value)


def _quantity(value: Any) -> str:
    """A quantity with its unit, as people write it in settings."""
    match value:
        case Seconds():
            return format_duration(value)
        case Bytes():
            return format_size(value)
        case BitsPerSecond():
            return format_rate(value)
    return str(value)


def masked(key: str, value: object) -> str:
    """A value for people: passwords in addresses and what is named a secret are not shown."""
    name = key.rpartition(".")[2]
    if value and any(word in name for word in _SECRETS) and not name.endswith("_file"):
        return MASK
    if value is None or value in ("", [], {}):
        return "–"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if "://" in text and "@" in text:
        try:
            return make_url(text).render_as_string(hide_password=True)
        except ArgumentError:
            return MASK
    return text


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(f"{prefix}.{name}" if prefix else str(name), each)
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        for number, each in enumerate(value):
            yield from _leaves(f"{prefix}[{number}]", each)
    else:
        yield prefix, value


def _target(
    share: county_view.Share,
    plan: Plan,
    asked: Mapping[tuple[str, str], ShareVerdict],
    reader: county_view.Reader,
) -> TargetView:
    found = asked.get((plan.id, share.target))
    look = LOOKS[found.answer] if found is not None else None
    return TargetView(
        share=share,
        reported_only=False,
        asked_percent=found.share_percent if found is not None else None,
        verdict=found.answer.value if found is not None else "",
        symbol=look.symbol if look is not None else "",
        word=translate(look.word, reader.language) if look is not None else "",
    )
