"""How the pages of access are shown, and how their forms are taken."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from collector.access.forms import MAX_BODY_BYTES, BadForm, Form, form_of
from collector.access.origin import comes_from_elsewhere
from collector.access.refusals import problem
from collector.web.rendering import language_wished, page
from config.words import translate

ZONE = "Asia/Shanghai"
Handler = Callable[[Any, Request, Form], Awaitable[Response]]


class Screens:
    """Renders the templates under ``access/``; ``notice`` stands at the top of each."""

    def __init__(self, notice: str = "") -> None:
        self._notice = notice

    def show(
        self,
        request: Request,
        template: str,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        error: str = "",
        places: Mapping[str, object] | None = None,
        **context: object,
    ) -> Response:
        """A page; ``error`` is a text of the catalogue with its named ``places``."""
        said = translate(error, language_wished(request), **(places or {})) if error else ""
        return page(
            request,
            f"access/{template}",
            int(status),
            notice=self._notice,
            time_zone=ZONE,
            error=said,
            **context,
        )


def posted(handler: Handler) -> Callable[[Any, Request], Awaitable[Response]]:
    """Make a method that takes a form a handler: 403 for a form of another site, 400 for what is none."""
    return posted_within(MAX_BODY_BYTES)(handler)


def posted_within(most_bytes: int) -> Callable[[Handler], Callable[[Any, Request], Awaitable[Response]]]:
    """``posted`` for a form that may be longer than others."""

    def made(handler: Handler) -> Callable[[Any, Request], Awaitable[Response]]:
        @functools.wraps(handler)
        async def taken(self: Any, request: Request) -> Response:
            if comes_from_elsewhere(request):
                return problem(HTTPStatus.FORBIDDEN, "this form was sent by another site")
            try:
                form = await form_of(request, most_bytes)
            except BadForm:
                return problem(HTTPStatus.BAD_REQUEST, "this is no form of these pages")
            return await handler(self, request, form)

        return taken

    return made
