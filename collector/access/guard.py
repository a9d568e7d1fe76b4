"""The guard before every route that is not public: who is it, may he, and is the school his?"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.access.origin import comes_from_elsewhere
from collector.access.permissions import Permission
from collector.access.refusals import refusal
from collector.access.who import Via, Who
from collector.ingest.answers import Answer
from collector.ingest.intake import AgentIdentity

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Doorkeeper(Protocol):
    """Knows callers and schools."""

    async def who(self, request: Request) -> Who:
        """Who is asking; NOBODY for a caller without a valid credential."""
        ...

    def agent(self, request: Request, *, in_query: bool) -> AgentIdentity:
        """The agent that is asking. Raises Answer 401."""
        ...

    def knows_school(self, school_id: str) -> bool:
        """True for a school that is declared."""
        ...


class Guard:
    """One route behind its permission. What it lets through has ``state.who``, or ``state.agent``."""

    def __init__(
        self, app: ASGIApp, doorkeeper: Doorkeeper, permission: Permission, *, token_in_query: bool = False
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._permission = permission
        self._token_in_query = token_in_query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it here."""
        request = Request(scope, receive)
        if self._permission is Permission.AGENT:
            await self._agent_only(request, send)
            return
        who = await self._doorkeeper.who(request)
        request.state.who = who
        status = self._refused(request, who)
        if status is None:
            await self._app(scope, receive, send)
        else:
            await refusal(request, status)(scope, receive, send)

    async def _agent_only(self, request: Request, send: Send) -> None:
        try:
            request.state.agent = self._doorkeeper.agent(request, in_query=self._token_in_query)
        except Answer as answer:
            await answer.response()(request.scope, request.receive, send)
            return
        await self._app(request.scope, request.receive, send)

    def _refused(self, request: Request, who: Who) -> HTTPStatus | None:
        """Why not; None when it may pass. A foreign school and an unknown one are answered alike."""
        if not who.is_somebody:
            return HTTPStatus.UNAUTHORIZED
        if not who.may(self._permission):
            return HTTPStatus.FORBIDDEN
        if request.method not in SAFE_METHODS and _is_made_elsewhere(request, who):
            return HTTPStatus.FORBIDDEN
        school_id = request.path_params.get("school_id")
        if school_id is None or (who.sees(school_id) and self._doorkeeper.knows_school(school_id)):
            return None
        return HTTPStatus.NOT_FOUND


def _is_made_elsewhere(request: Request, who: Who) -> bool:
    """Another site's page made a browser send what it sends by itself: its cookie, or that it is this host.

    Every browser names the site of a POST; so a session's request that names none is not one of our pages.
    """
    if who.via is Via.SESSION:
        return comes_from_elsewhere(request, silent=True)
    return who.via is Via.THIS_HOST and comes_from_elsewhere(request)
