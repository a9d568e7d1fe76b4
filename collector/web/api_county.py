"""The API about the county itself: plans with its shares, tokens, users, the log of who did what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Protocol

from fastapi import Path, Query, Request
from starlette.routing import BaseRoute

from collector.access import Permission, Role, Who, audit
from collector.access.room import AccessRoom
from collector.access.who import Via
from collector.registry import RegistryError
from collector.verdicts.room import VerdictRoom
from collector.verdicts.totals import Total, answers_of, totals_of
from collector.web import api_types as given
from collector.web.api import PAGE
from collector.web.api_declaring import After, Limit, api_route
from collector.web.board import Board
from collector.web.problems import Problem, bad_request, not_found
from config.judge import judge_share
from config.plan import Plan
from config.verdict import Verdict

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
UserName = Annotated[str, Path(max_length=64)]
Since = Annotated[datetime | None, Query(description="Lines from this moment on.")]


class CountyRooms(Protocol):
    """The rooms that this part reads."""

    @property
    def access(self) -> AccessRoom: ...
    @property
    def board(self) -> Board: ...
    @property
    def verdicts(self) -> VerdictRoom: ...


def county_routes(rooms: CountyRooms) -> list[BaseRoute]:
    """Every route of this part."""
    api = CountyApi(rooms)
    own, users = Permission.SIGNED_IN, Permission.MANAGE_USERS
    made, none = HTTPStatus.CREATED, HTTPStatus.NO_CONTENT
    return [
        api_route(Permission.READ_COUNTY, "/plans", api.plans, gives=given.Plans),
        api_route(own, "/tokens", api.tokens, gives=given.Tokens),
        api_route(
            own, "/tokens", api.add_token, gives=given.MadeToken, method="POST", takes=given.NewToken,
            status=made,
        ),
        api_route(own, "/tokens/{number}", api.revoke_token, gives=None, method="DELETE", status=none),
        api_route(users, "/users", api.users, gives=given.Users),
        api_route(
            users, "/users", api.add_user, gives=given.ChangedUser, method="POST", takes=given.NewUser,
            status=made,
        ),
        api_route(
            users, "/users/{name}", api.change_user, gives=given.ChangedUser, method="PATCH",
            takes=given.UserChange,
        ),
        api_route(Permission.READ_AUDIT, "/audit", api.audit, gives=given.Audit),
    ]  # fmt: skip


class CountyApi:
    """The answers."""

    def __init__(self, rooms: CountyRooms) -> None:
        self._rooms = rooms
        self._access = rooms.access

    def plans(self) -> given.Plans:
        """The plans that are judged, with how many of the county's schools meet each target."""
        county = self._rooms.board.county()
        verdicts = [one.verdict for state in county.schools.values() for one in state.judged]
        plans = [
            self._plan(plan, [each for each in verdicts if each.plan == plan.id], county.at)
            for plan in self._rooms.verdicts.plans.values()
        ]
        return given.Plans(plans, len(county.schools), county.at)

    def _plan(self, plan: Plan, verdicts: Sequence[Verdict], at: datetime) -> given.PlanReport:
        totals = totals_of(plan, answers_of(plan, verdicts))
        shares = [self._share(plan, total, verdicts, at) for total in totals]
        return given.PlanReport(plan.id, plan.title, plan.county, plan.issuer, shares)

    def _share(
        self, plan: Plan, total: Total, verdicts: Sequence[Verdict], at: datetime
    ) -> given.TargetShare:
        target, county = total.target, None
        if target.share_percent is not None:
            county = judge_share(plan, target, verdicts, at, self._rooms.verdicts.calendar).answer.value
        return given.TargetShare(
            target.id, target.kind.value, target.quotes[0], target.deadline, total.schools,
            total.met, total.not_met, total.unknown, target.share_percent, county,
        )  # fmt: skip

    def tokens(self, request: Request, after: After = "", limit: Limit = PAGE) -> given.Tokens:
        """The caller's own tokens, and with manage_users everybody's; never their secrets."""
        who = _who(request)
        if who.may(Permission.MANAGE_USERS):
            found = self._access.logins.tokens()
        else:
            found = self._access.logins.tokens(who.user_id) if who.user_id is not None else []
        page, following = _numbered([(each.id, each) for each in found], after, limit)
        return given.Tokens(page, following)

    def add_token(self, request: Request, body: given.NewToken) -> given.MadeToken:
        """Make a token for oneself; its secret is in this answer and nowhere else."""
        who = _who(request)
        if who.user_id is None:
            raise bad_request("whoever needs no login here has no tokens")
        if who.via is Via.TOKEN and body.scope == "full":
            raise Problem(HTTPStatus.FORBIDDEN, "a token makes tokens of scope read alone")
        user = self._access.users.named(who.name)
        token, secret = self._access.logins.add_token(user, body.name, body.scope, body.days, by=who)
        return given.MadeToken(token, secret)

    def revoke_token(self, request: Request, number: Number) -> None:
        """Refuse a token from now on."""
        try:
            self._access.logins.revoke_token(number, by=_who(request))
        except RegistryError as error:
            raise not_found(str(error)) from None

    def users(self, after: After = "", limit: Limit = PAGE) -> given.Users:
        """Every user."""
        page, following = _numbered([(each.id, each) for each in self._access.users.all()], after, limit)
        return given.Users(page, following)

    def add_user(self, request: Request, body: given.NewUser) -> given.ChangedUser:
        """Add a user, with a one-time link to set a password."""
        user = self._access.users.add(
            body.name, Role(body.role), body.schools, body.oidc_name, by=_who(request)
        )
        return given.ChangedUser(user, self._link(request, user.name))

    def change_user(self, request: Request, name: UserName, body: given.UserChange) -> given.ChangedUser:
        """Let a user in no more, or again, or make a new one-time link."""
        users, by = self._access.users, _who(request)
        try:
            users.named(name)
        except RegistryError as error:
            raise not_found(str(error)) from None
        link = None
        match body.what:
            case "disable":
                users.disable(name, by=by)
            case "enable":
                users.enable(name, by=by)
            case "link":
                link = self._link(request, name)
        return given.ChangedUser(users.named(name), link)

    def _link(self, request: Request, name: str) -> str:
        valid = self._access.settings.passwords.link
        return f"/password?link={self._access.users.new_link(name, valid, by=_who(request))}"

    def audit(self, after: After = "", limit: Limit = PAGE, since: Since = None) -> given.Audit:
        """Who did what, the newest first."""
        before = _number(after) if after else None
        since = _utc(since) if since is not None else None
        with self._access.registry.reading() as connection:
            found = audit.entries(connection, before=before, since=since, limit=limit + 1)
        following = str(found[limit - 1].id) if len(found) > limit else None
        return given.Audit(found[:limit], following)


def _who(request: Request) -> Who:
    who: Who = request.state.who
    return who


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise bad_request("since: a moment of the years 1 to 9999 is allowed") from None


def _numbered(rows: Sequence[tuple[int, object]], after: str, limit: int) -> tuple[list, str | None]:  # type: ignore[type-arg]
    """One page of rows by their number."""
    start = _number(after) if after else 0
    rest = [(number, row) for number, row in rows if number > start]
    page = rest[:limit]
    return [row for _, row in page], str(page[-1][0]) if len(rest) > limit else None


def _number(after: str) -> int:
    if not (after.isascii() and after.isdigit() and len(after) < 10):
        raise bad_request("after: the number that «next» of the answer before gave is allowed")
    return int(after)
