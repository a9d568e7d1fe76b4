"""Refusals in the form that the caller reads: a page, or problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.web.rendering import SECURITY_HEADERS, page

LOG_IN = "/login"
DETAILS = {
    HTTPStatus.UNAUTHORIZED: "log in, or send a valid token as «Authorization: Bearer …»",
    HTTPStatus.FORBIDDEN: "this needs a permission that you do not have",
    HTTPStatus.NOT_FOUND: "there is no such school, or it is not yours",
}
TEMPLATES = {HTTPStatus.FORBIDDEN: "access/denied.html", HTTPStatus.NOT_FOUND: "missing.html"}


def refusal(request: Request, status: HTTPStatus) -> Response:
    """The answer to a request that may not pass. A reader of pages who is nobody is led to the log-in."""
    if not _reads_pages(request):
        return problem(status, DETAILS[status])
    if status is HTTPStatus.UNAUTHORIZED:
        return RedirectResponse(f"{LOG_IN}?next={quote(_here(request), safe='')}", 303)
    answer = page(request, TEMPLATES[status], int(status), notice="", time_zone="Asia/Shanghai")
    answer.headers.update(SECURITY_HEADERS)
    return answer


def problem(status: HTTPStatus, detail: str) -> Response:
    """An error for programs."""
    content = {"title": status.phrase, "status": int(status), "detail": detail}
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="xiaotong"'
    return Response(msgspec.json.encode(content), int(status), headers, "application/problem+json")


def _reads_pages(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def _here(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
