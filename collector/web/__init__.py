"""Pages for people; the API for programs stands beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from collector.access import Permission, permitted
from collector.web.pages import Pages
from collector.web.rendering import STATIC, SecurityHeaders

if TYPE_CHECKING:
    from collector.web.pages import PageRooms


def routes(rooms: PageRooms, notice: str = "") -> list[BaseRoute]:
    """The pages over ``rooms`` and what they load; everything comes from this host.

    ``notice`` stands at the top of every page.
    """
    pages = Pages(rooms, notice)
    guarded = [Middleware(SecurityHeaders)]
    return [
        permitted(Permission.READ_LISTS, Route("/", pages.schools, middleware=guarded)),
        permitted(Permission.READ_SCHOOL, Route("/schools/{school_id}", pages.school, middleware=guarded)),
        permitted(
            Permission.READ_SCHOOL,
            Route("/schools/{school_id}/throughput", pages.throughput, middleware=guarded),
        ),
        permitted(Permission.PUBLIC, Mount("/static", StaticFiles(directory=STATIC), middleware=guarded)),
    ]
