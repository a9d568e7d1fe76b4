"""What every page has: the rooms, who reads and when, and one way to be rendered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from collector.access import Who
from collector.responder.office import TicketOffice
from collector.settings import CollectorSettings
from collector.store.interface import StoreUnavailable
from collector.web.api import ApiRooms
from collector.web.board import Board
from collector.web.county_view import Reader
from collector.web.events import Events
from collector.web.rendering import language_wished, page

Show = Callable[[Any, Request], Response]


class PageRooms(ApiRooms, Protocol):
    """The rooms that the pages look into."""

    @property
    def board(self) -> Board: ...
    @property
    def events(self) -> Events: ...
    @property
    def settings(self) -> CollectorSettings: ...
    @property
    def tickets(self) -> TicketOffice | None: ...


class Frame:
    """Renders pages; ``notice`` stands at the top of each."""

    def __init__(self, rooms: PageRooms, notice: str = "") -> None:
        self.rooms = rooms
        self._notice = notice

    @property
    def zone(self) -> ZoneInfo:
        """The county's time zone."""
        return self.rooms.verdicts.calendar.time_zone

    def reader(self, request: Request) -> Reader:
        """Who reads, and when."""
        now = datetime.now(UTC)
        today = self.rooms.verdicts.calendar.local_day(now)
        return Reader(language_wished(request), now, today)

    def render(self, request: Request, template: str, status: int = 200, **context: object) -> Response:
        """A template as an answer."""
        return page(
            request, template, status, notice=self._notice, time_zone=self.zone.key, **context
        )  # fmt: skip

    def missing(self, request: Request) -> Response:
        """404 in the reader's language."""
        return self.render(request, "missing.html", 404)


def who_reads(request: Request) -> Who:
    """Whom the guard let in."""
    who: Who = request.state.who
    return who


def shown(show: Show) -> Callable[[Any, Request], Awaitable[Response]]:
    """Make a method of a page with a ``frame`` an answer: in a thread, as rooms wait for disks; 503 in the
    reader's language when the store does not answer.
    """

    async def answer(self: Any, request: Request) -> Response:
        try:
            return await run_in_threadpool(show, self, request)
        except StoreUnavailable:
            return self.frame.render(request, "unavailable.html", 503)  # type: ignore[no-any-return]

    answer.__doc__ = show.__doc__
    return answer
