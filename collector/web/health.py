"""``/ready``: whether a balancer may give this collector requests. ``/health`` only says that it lives."""

from __future__ import annotations

import logging
from shutil import disk_usage

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access.declaring import permitted
from collector.access.permissions import Permission
from collector.rooms import Rooms

log = logging.getLogger(__name__)


def health_routes(rooms: Rooms) -> list[BaseRoute]:
    """The route."""

    async def ready(_: Request) -> Response:
        lacking = await run_in_threadpool(not_ready, rooms)
        answer = {"status": "fail" if lacking else "pass", "lacking": lacking}
        headers = {"Cache-Control": "no-store", **({"Retry-After": "5"} if lacking else {})}
        return JSONResponse(answer, 503 if lacking else 200, headers)

    return [permitted(Permission.PUBLIC, Route("/ready", ready, methods=["GET"]))]


def not_ready(rooms: Rooms) -> list[str]:
    """What keeps it from taking points: registry, journal or disk. A store that is away does not."""
    settings = rooms.settings
    lacking = []
    try:
        with rooms.registry.reading() as connection:
            connection.scalar(sa.select(1))
    except sa.exc.SQLAlchemyError as error:
        log.warning("not ready: registry reason=%s", getattr(error, "orig", None) or error)
        lacking.append("registry")
    if rooms.journal.waiting_bytes() >= settings.journal.max_bytes:
        lacking.append("journal")
    if disk_usage(settings.data).free < settings.journal.reserve_bytes:
        lacking.append("disk")
    return lacking
