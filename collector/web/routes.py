"""The pages as routes, each with its permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from collector.access import Permission, permitted
from collector.web.county_map import CountyMap
from collector.web.county_page import CountyPage
from collector.web.desk import TestDesk
from collector.web.frame import Frame
from collector.web.office_pages import OfficePages
from collector.web.rendering import STATIC, SecurityHeaders
from collector.web.school_page import SchoolPage
from collector.web.wall_page import WallPage

if TYPE_CHECKING:
    from collector.web.frame import PageRooms

COMPRESSION = 5
"""No page carries a secret that a stranger could guess by sizes (BREACH): forms are told from foreign ones
by Sec-Fetch-Site and Origin, and the session is in a cookie alone."""


def page_routes(rooms: PageRooms) -> list[BaseRoute]:
    """The pages over ``rooms`` and what they load; everything comes from this host.

    Raises SettingsError when the county's map cannot be read.
    """
    settings = rooms.settings
    frame = Frame(rooms, settings.notice)
    county = CountyPage(frame, rooms.board, CountyMap.of(settings.web), settings.web.rows)
    school = SchoolPage(frame, TestDesk(rooms.tickets, rooms.verdicts.calendar))
    wall = WallPage(frame, county, settings.web)
    office = OfficePages(frame, county, settings)
    middleware = [Middleware(SecurityHeaders), Middleware(GZipMiddleware, compresslevel=COMPRESSION)]

    def one_school(path: str, endpoint: object) -> BaseRoute:
        route = Route("/schools/{school_id}" + path, endpoint, middleware=middleware)  # type: ignore[arg-type]
        return permitted(Permission.READ_SCHOOL, route)

    def lists(path: str, endpoint: object) -> BaseRoute:
        return permitted(Permission.READ_LISTS, Route(path, endpoint, middleware=middleware))  # type: ignore[arg-type]

    return [
        lists("/", county.show),
        lists("/plans", office.plans),
        lists("/events", rooms.events.stream),
        one_school("", school.show),
        one_school("/throughput", school.throughput),
        permitted(
            Permission.TEST_NOW,
            Route("/schools/{school_id}/test", school.test_now, methods=["POST"], middleware=middleware),
        ),
        permitted(Permission.READ_COUNTY, Route("/wall", wall.show, middleware=middleware)),
        permitted(Permission.OPERATE, Route("/settings", office.settings, middleware=middleware)),
        permitted(Permission.PUBLIC, Mount("/static", StaticFiles(directory=STATIC), middleware=middleware)),
    ]
