"""``POST /api/v1/tickets``: an agent asks for a test."""

from __future__ import annotations

from typing import Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collector.access import Permission, permitted
from collector.bodies import json_of
from collector.ingest.answers import Answer
from collector.ingest.credentials import identify
from collector.ingest.intake import Agents
from collector.responder.denied import Denied
from collector.responder.office import TicketOffice, TicketRequest

MAX_BODY_BYTES = 4096


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

    async def issue(request: Request) -> Response:
        try:
            return await _issued(request, rooms)
        except Answer as answer:
            return answer.response()
        except Denied as denied:
            return _refusal(denied)

    return [permitted(Permission.AGENT, Route("/api/v1/tickets", issue, methods=["POST"]))]


async def _issued(request: Request, rooms: TicketRooms) -> Response:
    agent = identify(request, rooms.registry)
    if rooms.tickets is None:
        raise Denied(409, "this collector has no responder")
    wanted = _asked(await _body(request))
    host = request.url.hostname or ""
    grant = await run_in_threadpool(rooms.tickets.issue, agent.agent_id, agent.school_id, wanted, host)
    return Response(msgspec.json.encode(grant), media_type="application/json")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Denied(413, f"more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _asked(body: bytes) -> TicketRequest:
    try:
        return json_of(body, TicketRequest)
    except msgspec.DecodeError as error:
        raise Denied(400, str(error)) from None


def _refusal(denied: Denied) -> Response:
    again = {"Retry-After": str(denied.retry_after_seconds)} if denied.retry_after_seconds else None
    return JSONResponse({"reason": denied.reason}, denied.status, again)
