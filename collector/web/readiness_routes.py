"""The county's IPv6 readiness: ``/ipv6`` for people, ``/api/v1/ipv6`` for programs."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, Who, permitted
from collector.store.interface import Latest, StoreUnavailable
from collector.web import readiness
from collector.web.api import ApiRooms
from collector.web.problems import Problem, answer_of
from collector.web.rendering import SecurityHeaders, language_wished, page
from config.readiness import MEASUREMENT, Finding

ZONE = ZoneInfo("Asia/Shanghai")
WORKING_LEVEL = 3


def readiness_routes(rooms: ApiRooms, notice: str = "") -> list[BaseRoute]:
    """Both routes over some rooms. They only read; ``notice`` stands at the top of the page."""

    async def for_people(request: Request) -> Response:
        return await run_in_threadpool(_page, rooms, request, notice)

    async def for_programs(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(_json, rooms, request.state.who))
        except StoreUnavailable as error:
            return answer_of(Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))

    return [
        permitted(
            Permission.READ_LISTS, Route("/ipv6", for_people, middleware=[Middleware(SecurityHeaders)])
        ),
        permitted(Permission.READ_LISTS, Route("/api/v1/ipv6", for_programs)),
    ]


def _found(rooms: ApiRooms, who: Who) -> dict[str, dict[int, Finding]]:
    """The findings of every school that the reader may see, also of those that have told nothing."""
    told: dict[str, list[Latest]] = defaultdict(list)
    for point in rooms.store.latest(measurement=MEASUREMENT):
        told[point.school_id].append(point)
    now = datetime.now(UTC)
    return {
        school: readiness.findings_of(told[school], now) for school in who.narrow(rooms.registry.schools())
    }


def _json(rooms: ApiRooms, who: Who) -> dict[str, Any]:
    found = _found(rooms, who)
    rows = readiness.check_rows(list(found.values()), "en")
    return {
        "schools": {school: readiness.school_json(findings) for school, findings in found.items()},
        "checks": [
            {"check": row.check, "title": row.title, "standard": row.standard, "pass": row.passed,
             "fail": row.failed, "unknown": row.unknown}
            for row in rows
        ],
    }  # fmt: skip


def _page(rooms: ApiRooms, request: Request, notice: str) -> Response:
    language = language_wished(request)
    found, schools = _found(rooms, request.state.who), rooms.registry.schools()
    rows = [readiness.school_row(each, schools[each].name, found[each], language) for each in found]
    return page(
        request,
        "ipv6.html",
        schools=sorted(rows, key=lambda row: (row.at_least, row.at_most, row.name)),
        checks=readiness.check_rows(list(found.values()), language),
        working=sum(row.at_least >= WORKING_LEVEL for row in rows),
        used=sum(row.at_least > WORKING_LEVEL for row in rows),
        open=sum(row.at_least < WORKING_LEVEL <= row.at_most for row in rows),
        time_zone=ZONE.key,
        notice=notice,
    )
