"""``POST /api/v1/tickets``: an agent asks for a test; ``…/over``: it says that one is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collector.access import Permission, permitted
from collector.bodies import BODY_SECONDS, TooLong, body_of, json_of
from collector.ingest.answers import Answer
from collector.ingest.credentials import identify
from collector.ingest.intake import Agents
from collector.responder.denied import Denied
from collector.responder.office import TestOver, TicketOffice, TicketRequest

MAX_BODY_BYTES = 4096

T = TypeVar("T")


class TicketRooms(Protocol):
    """What the route needs of the collector: whom a token belongs to, and who issues tickets."""

    @property
    def registry(self) -> Agents: ...

    @property
    def tickets(self) -> TicketOffice | None:
        """None where this collector has no responder."""
        ...


def ticket_routes(rooms: TicketRooms) -> list[Route]:
    """The routes of this room."""

    def answering(handler: Callable[[Request, TicketRooms], Awaitable[Response]], path: str) -> Route:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request, rooms)
            except Answer as refused:
                return refused.response()
            except Denied as denied:
                return _refusal(denied)

        return permitted(Permission.AGENT, Route(path, answer, methods=["POST"]))

    return [answering(_issued, "/api/v1/tickets"), answering(_ended, "/api/v1/tickets/over")]


async def _issued(request: Request, rooms: TicketRooms) -> Response:
    agent, office = identify(request, rooms.registry), _office(rooms)
    wanted = _asked(await _body(request), TicketRequest)
    host = request.url.hostname or ""
    grant = await run_in_threadpool(office.issue, agent.agent_id, agent.school_id, wanted, host)
    return Response(msgspec.json.encode(grant), media_type="application/json")


async def _ended(request: Request, rooms: TicketRooms) -> Response:
    agent, office = identify(request, rooms.registry), _office(rooms)
    await run_in_threadpool(office.over, agent.school_id, _asked(await _body(request), TestOver))
    return Response(status_code=204)


def _office(rooms: TicketRooms) -> TicketOffice:
    if rooms.tickets is None:
        raise Denied(409, "this collector has no responder")
    return rooms.tickets


async def _body(request: Request) -> bytes:
    try:
        return await body_of(request, MAX_BODY_BYTES)
    except TooLong:
        raise Denied(413, f"more than {MAX_BODY_BYTES} bytes") from None
    except TimeoutError:
        raise Denied(408, f"the body was not whole within {BODY_SECONDS:g} s") from None


def _asked(body: bytes, shape: type[T]) -> T:
    try:
        return json_of(body, shape)
    except msgspec.DecodeError as error:
        raise Denied(400, str(error)) from None


def _refusal(denied: Denied) -> Response:
    again = {"Retry-After": str(denied.retry_after_seconds)} if denied.retry_after_seconds else None
    return JSONResponse({"reason": denied.reason}, denied.status, again)
