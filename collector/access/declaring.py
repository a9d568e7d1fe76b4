"""Declaring what a route asks for."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from starlette.routing import BaseRoute, Mount, Route

from collector.access.permissions import NAMES_A_SCHOOL, Permission

SCHOOL = "{school_id}"
_ATTRIBUTE = "xiaotong_access"

R = TypeVar("R", bound=Route | Mount)


class Stated(NamedTuple):
    """What a route states. ``token_in_query`` is for clients of InfluxDB 1.x: their token may be ``p=``."""

    permission: Permission
    token_in_query: bool = False


class UnguardedRoute(Exception):
    """A route that states no permission, or one that its path cannot bear."""


def permitted(permission: Permission, route: R, *, token_in_query: bool = False) -> R:
    """Declare what ``route`` asks for, and give it back. Raises UnguardedRoute.

    A Mount's permission holds for everything below it.
    """
    if permission in NAMES_A_SCHOOL and SCHOOL not in route.path:
        raise UnguardedRoute(f"{route.path}: {permission.value} needs {SCHOOL} in the path")
    setattr(route, _ATTRIBUTE, Stated(permission, token_in_query))
    return route


def stated(route: BaseRoute) -> Stated:
    """What a route states. Raises UnguardedRoute when that is nothing."""
    found: Any = getattr(route, _ATTRIBUTE, None)
    if not isinstance(found, Stated):
        where = getattr(route, "path", repr(route))
        raise UnguardedRoute(f"{where}: states no permission; declare it with collector.access.permitted")
    return found
