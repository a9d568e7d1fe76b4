"""Errors of the API as ``application/problem+json``. Source: RFC 9457."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.verdicts.report import as_builtins

Handler = Callable[[Request], Awaitable[Response]]


class Problem(Exception):
    """A request that cannot be answered; ``detail`` is one line for who made it."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def bad_request(detail: str) -> Problem:
    """400: the request itself is wrong."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> Problem:
    """404: what is asked for is not known here."""
    return Problem(HTTPStatus.NOT_FOUND, detail)


def answering(
    handler: Callable[[Any, Request], Awaitable[object]],
) -> Callable[[Any, Request], Awaitable[Response]]:
    """Make a method that gives a value, or raises Problem, answer in JSON."""

    @functools.wraps(handler)
    async def answer(self: Any, request: Request) -> Response:
        try:
            return _json(await handler(self, request))
        except Problem as problem:
            content = {
                "title": problem.status.phrase,
                "status": int(problem.status),
                "detail": problem.detail,
            }
            return _json(content, problem.status, "application/problem+json")

    return answer


def _json(content: object, status: int = 200, media_type: str = "application/json") -> Response:
    body = msgspec.json.encode(as_builtins(content))
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, status, headers, media_type)
