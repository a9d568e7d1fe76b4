"""What a reader sees who asked for a page that is not there."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.web.rendering import SECURITY_HEADERS, page

ZONE = "Asia/Shanghai"


def answer_missing(request: Request, error: Exception) -> Response:
    """404 as a page in the reader's language; programs get a word."""
    headers = getattr(error, "headers", None)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if not wants_page:
        detail = error.detail if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND.phrase
        return Response(detail, HTTPStatus.NOT_FOUND, headers, "text/plain")
    answer = page(request, "missing.html", HTTPStatus.NOT_FOUND, notice="", time_zone=ZONE)
    answer.headers.update(SECURITY_HEADERS)
    return answer
