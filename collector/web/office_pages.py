"""Pages for the county's staff: agents, plans, settings. They read what the commands read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from starlette.requests import Request
from starlette.responses import Response

from collector.registry import Agent
from collector.settings import CollectorSettings
from collector.verdicts.report import SchoolVerdicts, shares_of
from collector.web import county_view
from collector.web.county_page import CountyPage
from collector.web.frame import Frame, shown, who_reads
from config.plan import Plan
from config.present import LOOKS, age
from config.verdict import ShareVerdict
from config.words import message, translate

MASK = "••••••"
_SECRETS = ("password", "secret", "token", "key")
STATES = {
    "running": message("running"),
    "restarting": message("restarting"),
    "stopping": message("stopped as announced"),
}


class AgentView(msgspec.Struct, frozen=True):
    """One agent in words."""

    id: str
    school: str
    name: str
    state: str
    heard: str
    version: str
    clock: str
    enrolled: str
    is_revoked: bool


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
    def agents(self, request: Request) -> Response:
        """Every agent of the reader's schools, the newest first within its school."""
        who, rooms = who_reads(request), self.frame.rooms
        agents = [each for each in rooms.registry.agents() if who.sees(each.school_id)]
        views = [self._agent(each, request) for each in agents]
        return self.frame.render(request, "agents.html", agents=views)

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

    def _agent(self, agent: Agent, request: Request) -> AgentView:
        reader, rooms = self.frame.reader(request), self.frame.rooms
        heard = rooms.liveness.of(agent.id)
        silent = rooms.liveness.silent_seconds(agent.id)
        school = rooms.registry.school(agent.school_id)
        seen = "–"
        if silent is not None:
            seen = age(silent, reader.language)
        elif agent.seen_at is not None:
            seen = age((reader.now - agent.seen_at).total_seconds(), reader.language)
        offset = heard.clock_offset_ns if heard is not None else None
        return AgentView(
            id=agent.id,
            school=agent.school_id,
            name=school.name if school is not None and school.name else agent.school_id,
            state=_state(agent, heard.state if heard is not None else None, reader),
            heard=seen,
            version=(heard.version if heard is not None else None) or "–",
            clock="–" if offset is None else f"{offset / 1e9:+.1f} s",
            enrolled=self._day(agent.created_at),
            is_revoked=agent.revoked_at is not None,
        )

    def _day(self, moment: datetime) -> str:
        return f"{moment.astimezone(self.frame.zone):%Y-%m-%d}"


def rows_of(settings: CollectorSettings) -> Iterator[tuple[str, str]]:
    """Each key with its value as text."""
    for key, value in _leaves("", msgspec.to_builtins(settings, enc_hook=lambda quantity: quantity.real)):
        yield key, masked(key, value)


def masked(key: str, value: object) -> str:
    """A value for people: passwords in addresses and what is named a secret are not shown."""
    name = key.rpartition(".")[2]
    if value and any(word in name for word in _SECRETS) and not name.endswith("_file"):
        return MASK
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


def _state(agent: Agent, state: str | None, reader: county_view.Reader) -> str:
    if agent.revoked_at is not None:
        return translate("revoked", reader.language)
    if state is None:
        return translate("not heard since the collector started", reader.language)
    return translate(STATES.get(state, state), reader.language)
