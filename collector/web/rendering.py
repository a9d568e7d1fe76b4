"""Templates into answers: the reader's language, everything escaped, and headers that let nothing else in."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.words import Language, catalogue, html_language, language_of

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
LANGUAGE_COOKIE = "lang"
LANGUAGES = (("zh-CN", "中文"), ("en", "English"))
COOKIE_SECONDS = 400 * 86400

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityHeaders:
    """Puts the headers on every answer of the pages. Source: W3C Content Security Policy Level 3."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def language_wished(request: Request) -> Language:
    """``?lang=`` is heard before the cookie it once set, and that before the browser's languages."""
    wished = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    return language_of(wished or request.headers.get("accept-language", ""))


def page(request: Request, template: str, status_code: int = 200, **context: object) -> HTMLResponse:
    """A template as an answer, in the reader's language. Everything in ``context`` is escaped.

    Templates know who reads as ``who``, None on pages that everybody may read.
    """
    language = language_wished(request)
    who = getattr(request.state, "who", None)
    text = environment(language).get_template(template).render(
        html_language=html_language(language), languages=_languages(request), who=who,
        here=request.url.path, **context,
    )  # fmt: skip
    answer = HTMLResponse(
        text, status_code, headers={"Cache-Control": "no-store", "Vary": "Accept-Language, Cookie"}
    )
    if "lang" in request.query_params:
        answer.set_cookie(
            LANGUAGE_COOKIE, html_language(language), max_age=COOKIE_SECONDS, httponly=True, samesite="lax"
        )
    return answer


def _languages(request: Request) -> list[tuple[str, str, str]]:
    """Each language, its own name, and this page in it."""
    url = request.url
    return [(code, name, f"?{url.include_query_params(lang=code).query}") for code, name in LANGUAGES]


@functools.cache
def environment(language: Language) -> jinja2.Environment:
    """The templates in one language."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(catalogue(language), newstyle=False)  # type: ignore[attr-defined]
    return made
