"""Enrolment and configuration for whoever may manage agents, under ``/api/v1``: what the commands do."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import Path, Request
from starlette.routing import BaseRoute

from collector.access import Permission, Who
from collector.enrolment.configurations import Scope, Version
from collector.enrolment.desk import AgentDesk
from collector.enrolment.inviting import line_to_type
from collector.enrolment.listing import Listed, listed
from collector.enrolment.room import EnrolmentRoom
from collector.enrolment.sealing import masked
from collector.registry import Registry
from collector.settings import CollectorSettings
from collector.web.api_declaring import After, Limit, api_route, page_of

PAGE = 200
AgentId = Annotated[str, Path(max_length=64)]
Whose = Annotated[str, Path(description="county, school:ID or agent:ID", max_length=80)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class NewInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite; ``name`` is the agent's id, one that is there is enrolled anew."""

    school: str
    name: str = ""
    valid_seconds: float | None = None


class MadeInvitation(msgspec.Struct, frozen=True):
    """A code, in this answer and nowhere else, and the line to type at the gateway."""

    school: str
    agent: str
    code: str
    expires_at: datetime
    line: str


class Configuration(msgspec.Struct, frozen=True):
    """A document with its secrets masked. ``number`` is null where none was ever set."""

    scope: str
    number: int | None
    set_at: datetime | None
    set_by: str | None
    document: dict[str, Any]


class NewConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document; a secret that is ``***`` stays what it was. ``dry_run`` changes nothing."""

    document: dict[str, Any]
    dry_run: bool = False


class Back(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state to go back to; null: the one before."""

    number: Number | None = None
    dry_run: bool = False


class History(msgspec.Struct, frozen=True):
    """Every state that is kept, the newest first."""

    states: list[Configuration]


class Following(msgspec.Struct, frozen=True):
    """Agents and whether they measure as the county says; ``next`` is ``after`` of the next page."""

    agents: list[Listed]
    next: str | None


def enrolment_api(room: EnrolmentRoom, registry: Registry, settings: CollectorSettings) -> list[BaseRoute]:
    """Every route of this part."""
    api = EnrolmentApi(room, registry, settings)
    may, none, one = Permission.MANAGE_AGENTS, HTTPStatus.NO_CONTENT, "/configurations/{scope}"
    return [
        api_route(
            may, "/invitations", api.invite, gives=MadeInvitation, method="POST", takes=NewInvitation,
            status=HTTPStatus.CREATED,
        ),
        api_route(may, "/agents/{agent_id}/revoke", api.revoke, gives=None, method="POST", status=none),
        api_route(may, "/agents/{agent_id}/rotate", api.rotate, gives=None, method="POST", status=none),
        api_route(may, "/configurations", api.following, gives=Following),
        api_route(may, one, api.shown, gives=Configuration),
        api_route(may, one, api.put, gives=Configuration, method="PUT", takes=NewConfiguration),
        api_route(may, f"{one}/undo", api.undo, gives=Configuration, method="POST", takes=Back),
        api_route(may, f"{one}/history", api.history, gives=History),
    ]  # fmt: skip


class EnrolmentApi:
    """The answers."""

    def __init__(self, room: EnrolmentRoom, registry: Registry, settings: CollectorSettings) -> None:
        self._room = room
        self._registry = registry
        self._desk = AgentDesk(room, registry, settings)

    def invite(self, request: Request, body: NewInvitation) -> MadeInvitation:
        """A one-time code for an agent of a school."""
        invited = self._desk.invite([body.school], body.name, body.valid_seconds, _who(request))
        made = invited.codes[0]
        return MadeInvitation(
            made.school, made.agent, made.code, made.expires_at, line_to_type(made, invited.address)
        )

    def revoke(self, request: Request, agent_id: AgentId) -> None:
        """Refuse the agent's tokens from now on; doing it again changes nothing."""
        self._desk.revoke(agent_id, _who(request))

    def rotate(self, request: Request, agent_id: AgentId) -> None:
        """Have the agent replace its token with its next heartbeat."""
        self._desk.rotate(agent_id, _who(request))

    def following(self, after: After = "", limit: Limit = PAGE) -> Following:
        """Every agent: when it was seen, and which configuration it follows or refused, and why."""
        room = self._room
        room.states.flush()
        found = listed(self._registry, room.states, room.configurations, room.plan)
        page, following = page_of(sorted(found, key=_id), after, limit, _id)
        return Following(page, following)

    def shown(self, scope: Whose) -> Configuration:
        """What holds for the county, a school or an agent, before they are merged."""
        whose = self._desk.scope(scope)
        return _shown(whose, self._room.configurations.current(whose))

    def history(self, scope: Whose) -> History:
        """What held: every state that is kept, the newest first."""
        whose = self._desk.scope(scope)
        return History([_shown(whose, each) for each in self._room.configurations.history(whose)])

    def put(self, request: Request, scope: Whose, body: NewConfiguration) -> Configuration:
        """Set what is measured; agents follow within seconds, or say why they do not."""
        whose = self._desk.scope(scope)
        return _shown(whose, self._desk.put(whose, body.document, _who(request), dry_run=body.dry_run))

    def undo(self, request: Request, scope: Whose, body: Back) -> Configuration:
        """Go back to the state before, or to that of a number; again: forth."""
        whose = self._desk.scope(scope)
        return _shown(whose, self._desk.undo(whose, _who(request), body.number, dry_run=body.dry_run))


def _who(request: Request) -> Who:
    who: Who = request.state.who
    return who


def _id(agent: Listed) -> str:
    return agent.id


def _shown(scope: Scope, version: Version | None) -> Configuration:
    if version is None:
        return Configuration(scope.key.rstrip(":"), None, None, None, {})
    document = masked(version.document)
    return Configuration(scope.key.rstrip(":"), version.number, version.set_at, version.set_by, document)
