"""The test's routes: the page /speed, and what its script asks. Public: they show no school's figures."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.access.origin import comes_from_elsewhere
from collector.bodies import TooLong, body_of, json_of
from collector.connections import SOCKET
from collector.ingest.journal import JournalFull
from collector.registry import Registry
from collector.terminals import kernel
from collector.terminals.page import context_of
from collector.terminals.result import RoundTrips
from collector.terminals.room import Refused, TerminalRoom
from collector.terminals.running import Test
from collector.terminals.streams import HEADERS, LoadStream
from collector.terminals.whereabouts import Caller, caller
from collector.web.rendering import SecurityHeaders, page

MOST_BODY_BYTES = 2048
STATUS = {
    "disabled": 404,
    "no_school": 403,
    "wrong_code": 403,
    "wrong_family": 409,
    "ended": 410,
    "address": 403,
}
"""HTTP status of a refusal; 429 for all others, which may be tried again."""

T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True):
    """What the page's script asks for a test with."""

    code: str = ""
    place: str = ""


def terminal_routes(room: TerminalRoom, registry: Registry, notice: str = "") -> list[BaseRoute]:
    """Every route of the room."""
    desk = Desk(room, registry, notice)
    guarded = [Middleware(SecurityHeaders)]
    test = "/speed/tests/{test_id:str}"
    routes = [
        Route("/speed", desk.page, middleware=guarded),
        Route("/speed/tests", desk.begin, methods=["POST"]),
        Route(f"{test}/ping", desk.ping),
        Route(f"{test}/down", LoadStream(room, "down", desk.test_of)),
        Route(f"{test}/up", LoadStream(room, "up", desk.test_of)),
        Route(f"{test}/result", desk.finish, methods=["POST"]),
    ]
    return [permitted(Permission.PUBLIC, route) for route in routes]


class Desk:
    """The answers."""

    def __init__(self, room: TerminalRoom, registry: Registry, notice: str) -> None:
        self._room = room
        self._registry = registry
        self._notice = notice

    def _school_name(self, school_id: str) -> str:
        school = self._registry.school(school_id)
        return school.name or school_id if school else school_id

    async def page(self, request: Request) -> Response:
        """The page, phone first, in the reader's language."""
        known = await run_in_threadpool(self._known_school, request)
        context = context_of(self._room, request, self._caller(request), known)
        return page(request, "speed.html", notice=self._notice, time_zone="Asia/Shanghai", **context)

    async def begin(self, request: Request) -> Response:
        """A new test: its id and what it may do; or why not."""
        wish = await _read(request, Wish)
        if wish is None or comes_from_elsewhere(request):
            return _json({"why": "bad_request"}, 400)
        try:
            test = await run_in_threadpool(self._begin, request, wish)
        except Refused as refused:
            return _refusal(refused)
        limits = self._room.settings
        return _json(
            {
                "test": test.id,
                "school": self._school_name(test.school_id),
                "family": test.caller.family,
                "address": str(test.caller.address),
                "load_seconds": float(limits.load),
                "streams": limits.streams,
                "bytes": int(limits.max_bytes),
            }
        )

    async def ping(self, request: Request) -> Response:
        """The smallest answer there is: the browser times it."""
        return Response(status_code=204 if self.test_of(request) else 404, headers=HEADERS)

    async def finish(self, request: Request) -> Response:
        """The end: the collector's counts. What the browser tells of round trips is bounded and kept."""
        told, test = await _read(request, RoundTrips), self.test_of(request)
        if told is None:
            return _json({"why": "bad_request"}, 400)
        if test is None:
            return _refusal(Refused("ended"))
        try:
            result = await run_in_threadpool(self._room.finish, test, told)
        except Refused as refused:
            return _refusal(refused)
        except JournalFull:
            return _json({"why": "not_kept"}, 503)
        return _json(msgspec.structs.asdict(result))

    def test_of(self, request: Request) -> Test | None:
        """The test that the path names, if this caller runs it."""
        return self._room.running(request.path_params["test_id"], self._caller(request))

    def _begin(self, request: Request, wish: Wish) -> Test:
        found = self._caller(request)
        if found is None:
            raise Refused("address")
        if found.family != (self._family_asked(request) or found.family):
            raise Refused("wrong_family")
        return self._room.begin(found, wish.code[:32], " ".join(wish.place.split()))

    def _family_asked(self, request: Request) -> str | None:
        """The family that this name of the collector is for; None where it may be either."""
        host = request.headers.get("host", "").lower()
        limits = self._room.settings
        for family, url in (("ipv4", limits.ipv4_url), ("ipv6", limits.ipv6_url)):
            if url and url.lower().partition("://")[2].rstrip("/") == host:
                return family
        return None

    def _caller(self, request: Request) -> Caller | None:
        # not request.client: the server lets X-Forwarded-For rewrite that for peers on this host
        peer = kernel.peer(request.scope.get("extensions", {}).get(SOCKET))
        return caller(peer, request.headers.getlist("x-forwarded-for"), self._room.trusted)

    def _known_school(self, request: Request) -> str | None:
        found = self._caller(request)
        school_id = self._room.known_school(found) if found and self._room.settings.enabled else None
        return self._school_name(school_id) if school_id else None


async def _read(request: Request, shape: type[T]) -> T | None:
    """A small JSON body; None for any other. Its media type makes a foreign page's browser ask first."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return None
    try:
        return json_of(await body_of(request, MOST_BODY_BYTES), shape)
    except (TooLong, TimeoutError, msgspec.DecodeError):
        return None


def _refusal(refused: Refused) -> Response:
    status = STATUS.get(refused.why, 429)
    answer = _json({"why": refused.why, "retry_after_seconds": round(refused.retry_after_seconds)}, status)
    if status == 429:
        answer.headers["Retry-After"] = str(max(1, round(refused.retry_after_seconds)))
    return answer


def _json(content: object, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(msgspec.json.encode(content), status, headers, "application/json")
