"""Agents in a list: who, when heard, by which version, and whether they do as the county says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from collector.enrolment.configurations import Configurations
from collector.enrolment.inviting import local_time
from collector.enrolment.states import AgentState, States
from collector.registry import Agent, Registry
from config.central import Document
from config.present import folding
from config.words import Language, message, translate

if TYPE_CHECKING:
    from rich.table import Table


class Listed(msgspec.Struct, frozen=True):
    """One agent. ``configuration`` is «applied», «pending», «refused», «local» (switched off there, or none
    heard of), ``reason`` why.
    """

    id: str
    school_id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None
    seen_at: datetime | None
    version: str
    address: str
    clock_offset_seconds: float | None
    configuration: str
    revision: str
    reason: str


def listed(
    registry: Registry, states: States, configurations: Configurations, plan: Document | str | None
) -> list[Listed]:
    """Every agent, the revoked ones too, by school and id; written at most some seconds ago."""
    said, schools = states.stored(), registry.schools()
    found = []
    for agent in registry.agents():
        state = said.get(agent.id, AgentState())
        wanted = configurations.revision(agent.id, schools[agent.school_id], plan)
        found.append(_listed(agent, state, wanted))
    return found


def table(agents: Iterable[Listed], zone: ZoneInfo, language: Language) -> Table:
    """The list for a terminal; long cells fold."""
    from rich.table import Table  # noqa: PLC0415

    headings = (
        message("agent"), message("school"), message("last seen"), message("version"), message("address"),
        message("clock offset"), message("state"),
    )  # fmt: skip
    made = Table(*(translate(each, language) for each in headings))
    for agent in agents:
        seen = local_time(agent.seen_at, zone) if agent.seen_at else translate(message("never"), language)
        made.add_row(
            agent.id,
            agent.school_id,
            seen,
            agent.version,
            agent.address,
            _clock(agent),
            _state(agent, language),
        )
    return folding(made)


def reasons(agents: Iterable[Listed]) -> list[str]:
    """Why agents do not do as the county says, a line each."""
    return [f"{each.id}: {each.reason}" for each in agents if each.reason and each.revoked_at is None]


def _listed(agent: Agent, state: AgentState, wanted: str) -> Listed:
    if state.refused and state.refused == wanted:
        configuration = "refused"
    elif state.applied:
        configuration = "applied" if state.applied == wanted else "pending"
    else:
        configuration = "local"
    offset = None if state.clock_offset_ms is None else state.clock_offset_ms / 1000
    return Listed(
        agent.id, agent.school_id, agent.name, agent.created_at, agent.revoked_at, agent.seen_at,
        state.version, state.address, offset, configuration, state.applied, state.reason,
    )  # fmt: skip


def _clock(agent: Listed) -> str:
    return "" if agent.clock_offset_seconds is None else f"{agent.clock_offset_seconds:+.1f} s"


def _state(agent: Listed, language: Language) -> str:
    if agent.revoked_at is not None:
        return translate(message("revoked"), language)
    return translate(CONFIGURATIONS[agent.configuration], language)


CONFIGURATIONS = {
    "applied": message("configuration applied"),
    "pending": message("configuration on its way"),
    "refused": message("configuration refused"),
    "local": message("its own settings only"),
}
