"""The way in: the log-in page, one-time links, the login service, and out again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.access.checking import refused_login, user_to_check
from collector.access.forms import Form, page_after
from collector.access.logins import Opened
from collector.access.oidc import OidcError
from collector.access.origin import is_secure
from collector.access.passwords import Busy, WeakPassword
from collector.access.room import DEVICE_COOKIE, SESSION_COOKIE, AccessRoom
from collector.access.saying import in_words
from collector.access.screens import Screens, posted
from collector.access.throttle import place_of
from collector.access.users import User
from collector.web.rendering import language_wished
from config.words import message

STATE_COOKIE = "xiaotong_login"
STATE_SECONDS = 600
DEVICE_SECONDS = 400 * 86400
BACK = "/login/oidc/done"

WRONG = message("The name or the password is wrong.")
WAIT = message("Too many wrong passwords from here: try again in {seconds} seconds.")
BUSY = message("The collector is busy: try again in a moment.")
USED = message("This link is no longer valid. A county admin can make another one.")
NOT_SERVED = message("The login service did not log you in: {reason}.")
NOT_ALIKE = message("The two passwords are not alike.")

log = logging.getLogger(__name__)


class Entry:
    """Pages that everybody may open."""

    def __init__(self, room: AccessRoom, screens: Screens) -> None:
        self._room = room
        self._screens = screens

    async def login_page(self, request: Request) -> Response:
        """The form."""
        after = page_after(request.query_params.get("next", "/"))
        return self._login(request, after=after)

    @posted
    async def log_in(self, request: Request, form: Form) -> Response:
        """Compare the password; a session for the right one, a wait after too many wrong ones."""
        name, after = form.text("name")[:64], page_after(form.text("next"))
        return await run_in_threadpool(self._log_in, request, name, form.secret("password"), after)

    def _log_in(self, request: Request, name: str, password: str, after: str) -> Response:
        address = self._room.address(request)
        device = request.cookies.get(DEVICE_COOKIE, "")
        known = bool(device) and self._room.logins.knows_device(device, name)
        place = f"device {device}" if known else place_of(address)
        wait = self._room.throttle.wait_seconds(place, name)
        if wait:
            return self._refused(request, after, WAIT, HTTPStatus.TOO_MANY_REQUESTS, wait)
        try:
            user = self._checked(name, password, place)
        except Busy:
            return self._refused(request, after, BUSY, HTTPStatus.TOO_MANY_REQUESTS, 1)
        if user is None:
            self._room.throttle.missed(place, name)
            refused_login(self._room.registry, name, address)
            return self._refused(request, after, WRONG, HTTPStatus.UNAUTHORIZED)
        self._room.throttle.hit(place, name)
        return self._let_in(request, self._room.logins.begin(user, address, "password"), after)

    def _checked(self, name: str, password: str, place: str) -> User | None:
        user, kept = user_to_check(self._room.registry, name)
        return user if self._room.passwords.is_right(kept, password, place) else None

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        secret = request.cookies.get(SESSION_COOKIE, "")
        await run_in_threadpool(lambda: self._room.logins.end(secret, by=request.state.who))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    async def link_page(self, request: Request) -> Response:
        """The form of a one-time link."""
        secret = request.query_params.get("link", "")
        user = await run_in_threadpool(self._room.users.of_link, secret)
        if user is None:
            return self._link(request, "", error=USED, status=HTTPStatus.GONE)
        return self._link(request, secret, user)

    @posted
    async def use_link(self, request: Request, form: Form) -> Response:
        """Set the password, and lead to the log-in."""
        return await run_in_threadpool(self._use_link, request, form)

    def _use_link(self, request: Request, form: Form) -> Response:
        secret, password = form.text("link"), form.secret("password")
        user = self._room.users.of_link(secret)
        if user is None:
            return self._link(request, "", error=USED, status=HTTPStatus.GONE)
        if password != form.secret("again"):
            return self._link(request, secret, user, NOT_ALIKE, HTTPStatus.BAD_REQUEST)
        try:
            kept = self._room.passwords.hash(password)
        except WeakPassword as weak:
            return self._link(request, secret, user, weak.text, HTTPStatus.BAD_REQUEST, places=weak.places)
        if self._room.users.set_by_link(secret, kept, self._room.address(request)) is None:
            return self._link(request, "", error=USED, status=HTTPStatus.GONE)
        return RedirectResponse("/login", 303)

    async def to_service(self, request: Request) -> Response:
        """Begin a login at the login service."""
        oidc = self._room.oidc
        if oidc is None:
            return RedirectResponse("/login", 303)
        after = page_after(request.query_params.get("next", "/"))
        try:
            begun = await run_in_threadpool(oidc.begin, self._here(request) + BACK, after)
        except OidcError as error:
            return self._not_served(request, error)
        answer = RedirectResponse(begun.url, 303)
        self._keep(request, answer, STATE_COOKIE, begun.state, STATE_SECONDS)
        return answer

    async def from_service(self, request: Request) -> Response:
        """The browser is back with the service's answer."""
        return await run_in_threadpool(self._from_service, request)

    def _from_service(self, request: Request) -> Response:
        oidc, state = self._room.oidc, request.cookies.get(STATE_COOKIE, "")
        if oidc is None:
            return RedirectResponse("/login", 303)
        try:
            user, after = oidc.finish(dict(request.query_params), state, self._here(request) + BACK)
        except OidcError as error:
            return self._not_served(request, error)
        opened = self._room.logins.begin(user, self._room.address(request), "login service")
        answer = self._let_in(request, opened, after)
        answer.delete_cookie(STATE_COOKIE)
        return answer

    def _not_served(self, request: Request, error: OidcError) -> Response:
        log.warning("login service refused address=%s reason=%s", self._room.address(request), error)
        places = {"reason": in_words(error, language_wished(request))}
        return self._login(request, error=NOT_SERVED, status=HTTPStatus.UNAUTHORIZED, places=places)

    def _here(self, request: Request) -> str:
        """Where people reach us, as settings say or as the request came."""
        if self._room.public_url:
            return self._room.public_url
        scheme = "https" if is_secure(request, self._room.settings.proxies) else "http"
        return f"{scheme}://{request.headers.get('host', '')}"

    def _let_in(self, request: Request, opened: Opened, after: str) -> Response:
        answer = RedirectResponse(after, 303)
        self._keep(request, answer, SESSION_COOKIE, opened.session, int(opened.seconds))
        self._keep(request, answer, DEVICE_COOKIE, opened.device, DEVICE_SECONDS)
        return answer

    def _keep(self, request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
        """Lax and not Strict: who follows a link from a message arrives logged in. What changes something is
        a POST, and the guard lets none in that another site's page made.
        """
        secure = is_secure(request, self._room.settings.proxies)
        answer.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure)

    def _refused(
        self, request: Request, after: str, error: str, status: HTTPStatus, seconds: int = 0
    ) -> Response:
        places = {"seconds": seconds}
        answer = self._login(request, after=after, error=error, status=status, places=places)
        if seconds:
            answer.headers["Retry-After"] = str(seconds)
        return answer

    def _login(
        self, request: Request, *, after: str = "/", error: str = "", status: HTTPStatus = HTTPStatus.OK,
        places: Mapping[str, object] | None = None,
    ) -> Response:  # fmt: skip
        return self._screens.show(
            request, "login.html", status, error=error, places=places, after=after,
            by_service=self._room.oidc is not None,
        )  # fmt: skip

    def _link(
        self, request: Request, secret: str, user: User | None = None, error: str = "",
        status: HTTPStatus = HTTPStatus.OK, *, places: Mapping[str, object] | None = None,
    ) -> Response:  # fmt: skip
        return self._screens.show(
            request, "password.html", status, error=error, places=places, link=secret, user=user,
            characters=self._room.settings.passwords.characters,
        )  # fmt: skip
