"""Incidents and silences for programs, under ``/api/v1``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import Path, Query, Request
from starlette.routing import BaseRoute

from collector.access import Permission
from collector.incidents.book import IncidentUnknown, Step
from collector.incidents.model import Incident
from collector.incidents.seeing import IncidentRooms, Seeing, may_see, refuse_foreign
from collector.incidents.showing import silence_json
from collector.incidents.silences import Silence
from collector.incidents.wishes import NewSilence, silence_of
from collector.web.api_declaring import MAX_ROWS, Limit, api_route
from collector.web.problems import Problem, not_found

PAGE = 100
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="With a smaller id, for the next page.")]
Open = Annotated[bool, Query(description="Only what is not over, what waits to be told too.")]
School = Annotated[str | None, Query(max_length=64, description="Only what hits this school.")]


class Incidents(msgspec.Struct, frozen=True):
    """Incidents, the newest first; ``next`` is the «before» of the next page."""

    incidents: list[Incident]
    next: int | None


class OneIncident(msgspec.Struct, frozen=True):
    """An incident, what happened to it, and those that are told of with it."""

    incident: Incident
    steps: list[Step]
    told_with_it: list[Incident]


class GivenSilence(msgspec.Struct, frozen=True):
    """A silence; ``weekly`` as «SU 22:00-06:00»."""

    id: int
    school_id: str
    line: str
    kind: str
    starts_at: datetime
    ends_at: datetime | None
    weekly: str | None
    why: str
    by: str
    created_at: datetime


class Silences(msgspec.Struct, frozen=True):
    """Silences that hold now or may later."""

    silences: list[GivenSilence]


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note, or a ticket number."""

    text: Annotated[str, msgspec.Meta(max_length=2000)]


def incident_api_routes(rooms: IncidentRooms) -> list[BaseRoute]:
    """Every route of this part."""
    api = IncidentApi(rooms)
    reads, acts, one = Permission.READ_LISTS, Permission.ACKNOWLEDGE_INCIDENTS, "/incidents/{number}"
    return [
        api_route(reads, "/incidents", api.incidents, gives=Incidents),
        api_route(reads, one, api.incident, gives=OneIncident),
        api_route(acts, f"{one}/acknowledge", api.acknowledge, gives=Incident, method="POST"),
        api_route(acts, f"{one}/accept", api.accept, gives=Incident, method="POST"),
        api_route(acts, f"{one}/note", api.note, gives=Incident, method="POST", takes=Words),
        api_route(acts, f"{one}/ticket", api.ticket, gives=Incident, method="POST", takes=Words),
        api_route(reads, "/silences", api.silences, gives=Silences),
        api_route(
            acts, "/silences", api.add_silence, gives=GivenSilence, method="POST", takes=NewSilence,
            status=HTTPStatus.CREATED,
        ),
        api_route(acts, "/silences/{number}", api.end_silence, gives=GivenSilence, method="DELETE"),
    ]  # fmt: skip


class IncidentApi(Seeing):
    """The answers."""

    def incidents(
        self, request: Request, school: School = None, open: Open = False,  # noqa: A002 (as callers write it)
        before: Before = None, limit: Limit = PAGE,
    ) -> Incidents:  # fmt: skip
        """Incidents of the caller's schools, and of several when one of his is hit; the newest first."""
        rows = self.book.find(
            school_id=school, unresolved=open, pending=open, before=before, limit=min(limit, MAX_ROWS)
        )
        following = rows[-1].id if len(rows) == limit else None
        return Incidents([each for each in rows if may_see(request, each)], following)

    def incident(self, request: Request, number: Number) -> OneIncident:
        """One incident with what happened to it."""
        incident = self.one(request, number)
        children = [each for each in self.book.children_of(number) if may_see(request, each)]
        return OneIncident(incident, self.book.steps(number), children)

    def acknowledge(self, request: Request, number: Number) -> Incident:
        """Take it: nobody is reminded of it any more."""
        return self._changed(request, number, lambda by: self.book.acknowledge(number, by, self.now()))

    def accept(self, request: Request, number: Number) -> Incident:
        """Take what is measured now as the new normal: of ipv6_fell and port_slower."""
        who = request.state.who
        return self._changed(request, number, lambda _by: self.book.accept(number, who, self.now()))

    def note(self, request: Request, number: Number, body: Words) -> Incident:
        """Keep a note with it, in the place of the one before."""
        return self._changed(request, number, lambda by: self.book.note(number, body.text, by, self.now()))

    def ticket(self, request: Request, number: Number, body: Words) -> Incident:
        """Keep the carrier's ticket number with it."""
        return self._changed(request, number, lambda by: self.book.ticket(number, body.text, by, self.now()))

    def silences(self, request: Request) -> Silences:
        """Silences that hold now or may later, of the caller's schools."""
        kept = self.rooms.incidents.silences.kept(self.now())
        seen = [each for each in kept if request.state.who.sees(each.school_id or None)]
        return Silences(list(map(_given, seen)))

    def add_silence(self, request: Request, body: NewSilence) -> GivenSilence:
        """Silence messages; what still holds in the end is told then."""
        who = request.state.who
        silence = silence_of(body, who, self.rooms.registry, self.now())
        return _given(self.rooms.incidents.silences.add(silence, who))

    def end_silence(self, request: Request, number: Number) -> GivenSilence:
        """End one now."""
        book, now = self.rooms.incidents.silences, self.now()
        known = next((each for each in book.kept(now) if each.id == number), None)
        if known is None or not request.state.who.sees(known.school_id or None):
            raise not_found(f"silence {number} is not known, or is over")
        return _given(book.end(number, request.state.who, now) or known)

    def _changed(self, request: Request, number: int, change: Callable[[str], Incident]) -> Incident:
        refuse_foreign(request, self.one(request, number))
        try:
            return change(request.state.who.name)
        except IncidentUnknown as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from None


def _given(silence: Silence) -> GivenSilence:
    return GivenSilence(**silence_json(silence))
