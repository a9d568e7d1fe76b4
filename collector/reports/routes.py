"""Reports from the pages: /reports lists them, and each is a download."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.pdf_fonts import NoChineseFont
from collector.registry import Registry
from collector.reports.content import CannotReport, Gatherer
from collector.reports.making import FORMATS, MEDIA_TYPES, make, name_of
from collector.reports.settings import ReportSettings
from collector.reports.sheets import SHEETS
from collector.web.frame import who_reads
from collector.web.rendering import SecurityHeaders, language_wished, page
from config.words import translate

AT_ONCE = 2
"""Reports that are made at one time: each holds a county in memory."""
MONTHS_LISTED = 13
TEXT = "text/plain; charset=utf-8"


def report_routes(
    registry: Registry, gatherer: Gatherer, settings: ReportSettings, notice: str = ""
) -> list[BaseRoute]:
    """The page and its downloads."""
    desk = ReportDesk(registry, gatherer, settings, notice)
    headers = [Middleware(SecurityHeaders)]
    return [
        permitted(Permission.READ_LISTS, Route("/reports", desk.page, middleware=headers)),
        permitted(Permission.READ_COUNTY, Route("/reports/county.{format_}", desk.file, middleware=headers)),
        permitted(
            Permission.READ_SCHOOL,
            Route("/schools/{school_id}/report.{format_}", desk.file, middleware=headers),
        ),
    ]


class ReportDesk:
    """The answers."""

    def __init__(self, registry: Registry, gatherer: Gatherer, settings: ReportSettings, notice: str) -> None:
        self._registry = registry
        self._gatherer = gatherer
        self._settings = settings
        self._notice = notice
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def page(self, request: Request) -> Response:
        """What can be had: by plan and month, for the county and each school that the reader sees."""
        return await run_in_threadpool(self._page, request)

    async def file(self, request: Request) -> Response:
        """One report as a file; 404 for a plan, month, format or table that there is none of."""
        async with self._turns:
            return await run_in_threadpool(self._file, request)

    def _page(self, request: Request) -> Response:
        who = who_reads(request)
        months = self._months()
        plans = list(self._gatherer.plans.values())
        wished = request.query_params.get("plan", "")
        return page(
            request,
            "reports.html",
            notice=self._notice,
            time_zone="Asia/Shanghai",
            plans=plans,
            plan=self._gatherer.plans.get(wished) or next(iter(plans), None),
            months=months,
            month=request.query_params["month"] if request.query_params.get("month") in months else months[0],
            schools=list(who.narrow(self._registry.schools()).values()),
            county=who.may(Permission.READ_COUNTY),
            tables={name: translate(title, language_wished(request)) for name, title in SHEETS.items()},
        )

    def _file(self, request: Request) -> Response:
        format_, query = request.path_params["format_"], request.query_params
        table = query.get("table", "verdicts")
        if format_ not in FORMATS or table not in SHEETS:
            return Response(
                f"allowed: {', '.join(FORMATS)}; tables: {', '.join(SHEETS)}", 404, media_type=TEXT
            )
        try:
            content = self._gatherer.gather(
                query.get("plan") or None, query.get("month") or None, request.path_params.get("school_id")
            )
            data = make(content, format_, language_wished(request), table=table, bom="bom" in query,
                        font_file=self._settings.font_file)  # fmt: skip
        except CannotReport as error:
            return Response(str(error), 404, media_type=TEXT)
        except NoChineseFont as error:
            return Response(str(error), 503, media_type=TEXT)
        named = quote(name_of(content, format_, table))
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{named}",
            "Cache-Control": "no-store",
        }
        return Response(data, headers=headers, media_type=MEDIA_TYPES[format_])

    def _months(self) -> list[str]:
        """This month and those before it, the newest first."""
        today = datetime.now(UTC).astimezone(self._gatherer.zone)
        whole = today.year * 12 + today.month - 1
        return [f"{n // 12}-{n % 12 + 1:02}" for n in range(whole, whole - MONTHS_LISTED, -1)]
