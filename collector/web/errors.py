"""What a reader sees who asked for a page that is not there."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.web.problems import answer_of, not_found
from collector.web.rendering import SECURITY_HEADERS, page

ZONE = "Asia/Shanghai"


async def answer_missing(request: Request, error: Exception) -> Response:
    """404 as a page in the reader's language; programs get a word."""
    if request.url.path.startswith("/api/"):
        return answer_of(not_found("there is nothing at this address"))
    headers = getattr(error, "headers", None)
    if "text/html" not in request.headers.get("accept", ""):
        detail = error.detail if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND.phrase
        return Response(detail, HTTPStatus.NOT_FOUND, headers, "text/plain")
    answer = page(request, "missing.html", HTTPStatus.NOT_FOUND, notice="", time_zone=ZONE)
    answer.headers.update(SECURITY_HEADERS)
    return answer
