"""Puts every route behind the guard. One that states nothing is refused, and the collector does not start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.routing import BaseRoute, Mount, Route

from collector.access.declaring import UnguardedRoute, stated
from collector.access.guard import Doorkeeper, Guard
from collector.access.permissions import Permission


def guarded(routes: Iterable[BaseRoute], doorkeeper: Doorkeeper) -> Sequence[BaseRoute]:
    """The routes, each behind the guard; call it once. Raises UnguardedRoute for one that states nothing."""
    return [_guarded(route, doorkeeper) for route in routes]


def _guarded(route: BaseRoute, doorkeeper: Doorkeeper) -> BaseRoute:
    permission, token_in_query = stated(route)
    if not isinstance(route, Route | Mount):
        raise UnguardedRoute(f"{route!r}: only a Route or a Mount can be guarded")
    if permission is not Permission.PUBLIC:
        route.app = Guard(route.app, doorkeeper, permission, token_in_query=token_in_query)
    return route
