"""Who may see which incident, and act on it; shared by the API and the pages."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request

from collector.incidents.model import Incident
from collector.incidents.room import IncidentRoom
from collector.messages.room import MessageRoom
from collector.registry import Registry
from collector.settings import CollectorSettings
from collector.web.problems import Problem, not_found
from config.clock import Clock

NS = 10**9


class IncidentRooms(Protocol):
    """The rooms that incidents' routes look into."""

    @property
    def registry(self) -> Registry: ...
    @property
    def incidents(self) -> IncidentRoom: ...
    @property
    def messages(self) -> MessageRoom: ...
    @property
    def settings(self) -> CollectorSettings: ...
    @property
    def clock(self) -> Clock: ...


class Seeing:
    """One incident as its caller may see it."""

    def __init__(self, rooms: IncidentRooms) -> None:
        self.rooms = rooms
        self.book = rooms.incidents.book

    def now(self) -> datetime:
        """By the collector's clock."""
        return datetime.fromtimestamp(self.rooms.clock.wall_ns() / NS, UTC)

    def one(self, request: Request, number: int) -> Incident:
        """Raises Problem 404 for one that is not known to the caller."""
        found = self.book.get(number)
        if found is None or not may_see(request, found):
            raise not_found(f"incident {number} is not known")
        return found


def may_see(request: Request, incident: Incident) -> bool:
    """It is of a school of the caller's, or of several with one of his among them."""
    who = request.state.who
    return is_own(request, incident) or any(who.sees(school) for school in incident.schools)


def is_own(request: Request, incident: Incident) -> bool:
    """It is of a school of the caller's; what is of several is the county's own."""
    return bool(request.state.who.sees(incident.school_id or None))


def refuse_foreign(request: Request, incident: Incident) -> None:
    """Raises Problem 403 for one that the caller may only see."""
    if not is_own(request, incident):
        raise Problem(HTTPStatus.FORBIDDEN, "it is of other schools too; allowed: the county's staff")
