"""The region for programs and for people: every county beside the others."""

from __future__ import annotations

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.access.declaring import permitted
from collector.access.permissions import Permission
from collector.access.region import CountyReport, Region, titles
from collector.access.screens import Screens
from collector.web.api_declaring import api_route
from collector.web.rendering import SecurityHeaders, language_wished
from config.present import age


class RegionAnswer(msgspec.Struct, frozen=True):
    """Every county of the region, in the order of the settings."""

    counties: list[CountyReport]


def region_routes(region: Region, notice: str = "") -> list[BaseRoute]:
    """Both routes; ``notice`` stands at the top of the page."""
    screens = Screens(notice)

    def counties() -> RegionAnswer:
        """What each county of the region said of itself last, whether it was reached, and how old that is."""
        return RegionAnswer(region.counties())

    async def for_people(request: Request) -> Response:
        language, found = language_wished(request), region.counties()
        ages = {each.id: age(each.age_seconds, language) for each in found if each.age_seconds is not None}
        return screens.show(request, "region.html", counties=found, plans=titles(found), ages=ages)

    page = Route("/region", for_people, middleware=[Middleware(SecurityHeaders)])
    return [
        api_route(Permission.READ_REGION, "/region", counties, gives=RegionAnswer),
        permitted(Permission.READ_REGION, page),
    ]
