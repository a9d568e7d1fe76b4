"""Pages for those who are in: one's own account and tokens, users, and the log of who did what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from collector.access import audit
from collector.access.checking import user_to_check
from collector.access.entry import NOT_ALIKE, WRONG
from collector.access.exporting import csv_of, detail_of
from collector.access.forms import Form
from collector.access.logins import Scope
from collector.access.passwords import Busy, WeakPassword
from collector.access.permissions import Role
from collector.access.room import AccessRoom
from collector.access.saying import worded
from collector.access.screens import ZONE, Screens, posted
from collector.access.users import User
from collector.access.who import Via, Who
from collector.registry import RegistryError
from config.words import message

ENTRIES = 100
SCOPES = (message("read"), message("full"))
VALID, EXPIRED, REVOKED = message("valid"), message("expired"), message("revoked")
DAYS = (30, 90, 400)
NO_ACCOUNT = message("Whoever needs no login here has no account and no tokens.")
ROLES = {
    Role.COUNTY_ADMIN: message("county admin"),
    Role.SCHOOL_ADMIN: message("school admin"),
    Role.DISPLAY: message("display"),
    Role.REGIONAL: message("regional"),
}


class Desk:
    """The pages. Each states its permission in ``routes``."""

    def __init__(self, room: AccessRoom, screens: Screens) -> None:
        self._room = room
        self._screens = screens

    async def account(self, request: Request) -> Response:
        """One's own password and tokens."""
        return await run_in_threadpool(self._account, request)

    @posted
    async def change_password(self, request: Request, form: Form) -> Response:
        """Set one's own password; every session ends, this one too."""
        return await run_in_threadpool(self._change_password, request, form)

    @posted
    async def add_token(self, request: Request, form: Form) -> Response:
        """Make a token and show it, once."""
        return await run_in_threadpool(self._add_token, request, form)

    @posted
    async def revoke_token(self, request: Request, form: Form) -> Response:
        """Refuse a token from now on."""
        return await run_in_threadpool(self._revoke_token, request, form)

    async def users(self, request: Request) -> Response:
        """Every user."""
        return await run_in_threadpool(self._users, request)

    @posted
    async def add_user(self, request: Request, form: Form) -> Response:
        """A new user, and the one-time link for his password."""
        return await run_in_threadpool(self._add_user, request, form)

    @posted
    async def change_user(self, request: Request, form: Form) -> Response:
        """A new link for a user, or let him in no more, or again."""
        return await run_in_threadpool(self._change_user, request, form)

    async def audit(self, request: Request) -> Response:
        """Who did what, the newest first."""
        return await run_in_threadpool(self._audit, request)

    async def audit_csv(self, _request: Request) -> Response:
        """The whole log as CSV."""
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
        return StreamingResponse(self._csv(), media_type="text/csv; charset=utf-8", headers=headers)

    def _account(
        self, request: Request, error: str = "", status: HTTPStatus = HTTPStatus.OK, secret: str = "",
        places: Mapping[str, object] | None = None,
    ) -> Response:  # fmt: skip
        who: Who = request.state.who
        own = self._room.logins.tokens(who.user_id) if who.user_id is not None else []
        now = datetime.now(UTC)
        tokens = [(each, _state(each.revoked_at, each.expires_at, now)) for each in own]
        return self._screens.show(
            request, "account.html", status, error=error, places=places, tokens=tokens, secret=secret,
            days=DAYS, scopes=SCOPES,
            has_account=who.user_id is not None, when=_when,
            characters=self._room.settings.passwords.characters,
        )  # fmt: skip

    def _change_password(self, request: Request, form: Form) -> Response:
        who: Who = request.state.who
        if who.user_id is None:
            return self._account(request, NO_ACCOUNT, HTTPStatus.BAD_REQUEST)
        if form.secret("password") != form.secret("again"):
            return self._account(request, NOT_ALIKE, HTTPStatus.BAD_REQUEST)
        place = f"user {who.user_id}"
        _, kept = user_to_check(self._room.registry, who.name)
        try:
            right = not self._room.throttle.wait_seconds(place, who.name) and self._room.passwords.is_right(
                kept, form.secret("old"), place
            )
            if not right:
                self._room.throttle.missed(place, who.name)
                return self._account(request, WRONG, HTTPStatus.BAD_REQUEST)
            new = self._room.passwords.hash(form.secret("password"))
        except WeakPassword as weak:
            return self._account(request, weak.text, HTTPStatus.BAD_REQUEST, places=weak.places)
        except Busy:
            return self._account(request, WRONG, HTTPStatus.TOO_MANY_REQUESTS)
        self._room.users.set_password(who.user_id, new, by=who)
        return RedirectResponse("/login", 303)

    def _add_token(self, request: Request, form: Form) -> Response:
        who: Who = request.state.who
        if who.user_id is None:
            return self._account(request, NO_ACCOUNT, HTTPStatus.BAD_REQUEST)
        scope: Scope = "full" if form.text("scope") == "full" and who.via is not Via.TOKEN else "read"
        try:
            days = int(form.text("days"))
            user = self._room.users.named(who.name)
            _, secret = self._room.logins.add_token(user, form.text("name"), scope, days, by=who)
        except (RegistryError, ValueError) as error:
            text, places = worded(error)
            return self._account(request, text, HTTPStatus.BAD_REQUEST, places=places)
        return self._account(request, secret=secret)

    def _revoke_token(self, request: Request, form: Form) -> Response:
        try:
            self._room.logins.revoke_token(int(form.text("id")), by=request.state.who)
        except (RegistryError, ValueError, OverflowError) as error:
            text, places = worded(error)
            return self._account(request, text, HTTPStatus.BAD_REQUEST, places=places)
        return RedirectResponse("/account", 303)

    def _users(
        self, request: Request, error: str = "", status: HTTPStatus = HTTPStatus.OK,
        *, link: str = "", name: str = "", places: Mapping[str, object] | None = None,
    ) -> Response:  # fmt: skip
        return self._screens.show(
            request, "users.html", status, error=error, places=places, when=_when,
            users=self._room.users.all(), roles=ROLES, link=link, linked=name,
            schools=list(self._room.registry.schools().values()),
        )  # fmt: skip

    def _add_user(self, request: Request, form: Form) -> Response:
        try:
            role = Role(form.text("role"))
            schools = (
                [school for school in form.all("schools") if school] if role is Role.SCHOOL_ADMIN else []
            )
            oidc_name = form.text("oidc_name") or None
            user = self._room.users.add(form.text("name"), role, schools, oidc_name, by=request.state.who)
        except (RegistryError, ValueError) as error:
            text, places = worded(error)
            return self._users(request, text, HTTPStatus.BAD_REQUEST, places=places)
        return self._linked(request, user)

    def _change_user(self, request: Request, form: Form) -> Response:
        name, by = form.text("name"), request.state.who
        try:
            match form.text("what"):
                case "link":
                    return self._linked(request, self._room.users.named(name))
                case "disable":
                    self._room.users.disable(name, by=by)
                case "enable":
                    self._room.users.enable(name, by=by)
        except RegistryError as error:
            text, places = worded(error)
            return self._users(request, text, HTTPStatus.BAD_REQUEST, places=places)
        return RedirectResponse("/users", 303)

    def _linked(self, request: Request, user: User) -> Response:
        secret = self._room.users.new_link(
            user.name, self._room.settings.passwords.link, by=request.state.who
        )
        return self._users(request, link=f"/password?link={secret}", name=user.name)

    def _audit(self, request: Request) -> Response:
        text = request.query_params.get("before", "")
        before = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
        with self._room.registry.reading() as connection:
            found = audit.entries(connection, before=before, limit=ENTRIES + 1)
        older = found[ENTRIES - 1].id if len(found) > ENTRIES else None
        return self._screens.show(
            request, "audit.html", entries=found[:ENTRIES], older=older, when=_when, detail=detail_of
        )

    def _csv(self) -> Iterator[str]:
        with self._room.registry.reading() as connection:
            yield from csv_of(audit.every(connection))


def _state(revoked_at: datetime | None, expires_at: datetime, now: datetime) -> str:
    if revoked_at is not None:
        return REVOKED
    return EXPIRED if expires_at <= now else VALID


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}"
