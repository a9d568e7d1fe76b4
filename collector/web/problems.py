"""Errors of the API as ``application/problem+json``. Source: RFC 9457."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from collector.verdicts.report import as_builtins

log = logging.getLogger(__name__)


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
            return as_json(await handler(self, request))
        except Problem as problem:
            return answer_of(problem)

    return answer


def answer_of(problem: Problem) -> Response:
    """A problem as it is sent."""
    content = {"title": problem.status.phrase, "status": int(problem.status), "detail": problem.detail}
    return as_json(content, int(problem.status), "application/problem+json")


def as_json(content: object, status: int = 200, media_type: str = "application/json") -> Response:
    """A struct as it is sent."""
    body = msgspec.json.encode(as_builtins(content))
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, status, headers, media_type)


async def answer_invalid(_: Request, error: Exception) -> Response:
    """400 for parameters that FastAPI refuses, in one line."""
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()[:5])
    return answer_of(Problem(HTTPStatus.BAD_REQUEST, said))


async def answer_http(request: Request, error: Exception) -> Response:
    """Whatever Starlette itself refuses: a method, a path."""
    assert isinstance(error, HTTPException)
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    answer = answer_of(Problem(HTTPStatus(error.status_code), error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def answer_broken_off(request: Request, _: Exception) -> Response:
    """A client that was gone before its body was whole: no failure of ours, and it reads no answer. Traces of
    schools on bad lines would fill the log.
    """
    log.debug("body broken off method=%s path=%s", request.method, request.url.path)
    return PlainTextResponse("the body was cut short", HTTPStatus.BAD_REQUEST)


async def answer_broken(request: Request, _: Exception) -> Response:
    """500 without a word of why: that stands in the log."""
    if request.url.path.startswith("/api/"):
        return answer_of(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the collector failed; its log says why"))
    return PlainTextResponse("Internal Server Error", 500)
