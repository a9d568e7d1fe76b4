"""The routes of access: in, out, one's account, users, the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from collector.access.declaring import permitted
from collector.access.desk import Desk
from collector.access.entry import BACK, Entry
from collector.access.permissions import Permission
from collector.access.screens import Screens
from collector.web.rendering import SecurityHeaders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from collector.access.room import AccessRoom


def access_routes(room: AccessRoom, notice: str = "") -> list[BaseRoute]:
    """Every route of the room; ``notice`` stands at the top of every page."""
    screens = Screens(notice)
    entry, desk = Entry(room, screens), Desk(room, screens)
    return [
        *_route(Permission.PUBLIC, "/login", entry.login_page, entry.log_in),
        *_route(Permission.PUBLIC, "/password", entry.link_page, entry.use_link),
        *_route(Permission.PUBLIC, "/login/oidc", entry.to_service),
        *_route(Permission.PUBLIC, BACK, entry.from_service),
        *_route(Permission.SIGNED_IN, "/logout", None, entry.log_out),
        *_route(Permission.SIGNED_IN, "/account", desk.account, desk.change_password),
        *_route(Permission.SIGNED_IN, "/account/tokens", None, desk.add_token),
        *_route(Permission.SIGNED_IN, "/account/tokens/revoke", None, desk.revoke_token),
        *_route(Permission.MANAGE_USERS, "/users", desk.users, desk.add_user),
        *_route(Permission.MANAGE_USERS, "/users/change", None, desk.change_user),
        *_route(Permission.READ_AUDIT, "/audit", desk.audit),
        *_route(Permission.READ_AUDIT, "/audit.csv", desk.audit_csv),
    ]


def _route(
    permission: Permission,
    path: str,
    shown: Callable[[Request], Awaitable[Response]] | None,
    taken: Callable[[Request], Awaitable[Response]] | None = None,
) -> list[BaseRoute]:
    """A page, the form that it takes, or both."""
    ends = {"GET": shown, "POST": taken}
    return [
        permitted(permission, Route(path, end, methods=[method], middleware=[Middleware(SecurityHeaders)]))
        for method, end in ends.items()
        if end is not None
    ]
