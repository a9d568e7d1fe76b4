"""The fault report of an incident to its carrier, as a file of the incident's page."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.incidents.seeing import IncidentRooms, Seeing, refuse_foreign
from collector.incidents.showing import evidence_of, reader_of
from collector.messages.fault_report import FaultReport, as_pdf, fault_report
from collector.pdf_fonts import NoChineseFont, register_cjk_font
from collector.web.problems import Problem
from collector.web.rendering import SecurityHeaders, language_wished

CONTACT_CHARACTERS = 80


def fault_report_routes(rooms: IncidentRooms) -> list[BaseRoute]:
    """As PDF and as text. It holds contracts' numbers: whoever may act on the incident may have it."""
    reports, guarded, path = FaultReports(rooms), [Middleware(SecurityHeaders)], "/incidents/{number:int}"
    return [
        permitted(
            Permission.ACKNOWLEDGE_INCIDENTS,
            Route(f"{path}/fault-report.{ending}", endpoint, middleware=guarded),
        )
        for ending, endpoint in (("pdf", reports.pdf), ("txt", reports.text))
    ]


class FaultReports(Seeing):
    """In the reader's language; ``?contact=`` says who reports."""

    async def pdf(self, request: Request) -> Response:
        """The report as a PDF; 503 where no font can show it."""
        return await run_in_threadpool(self._answer, request, self._as_pdf, "application/pdf", "pdf")

    async def text(self, request: Request) -> Response:
        """The report as text."""
        return await run_in_threadpool(
            self._answer,
            request,
            lambda report: report.as_text().encode(),
            "text/plain; charset=utf-8",
            "txt",
        )

    def _answer(
        self, request: Request, make: Callable[[FaultReport], bytes], media_type: str, ending: str
    ) -> Response:
        try:
            content = make(self._report(request))
        except Problem as problem:
            return Response(problem.detail, problem.status, media_type="text/plain")
        except NoChineseFont as error:
            return Response(str(error), HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")
        named = f'attachment; filename="fault-report-{request.path_params["number"]}.{ending}"'
        headers = {"Content-Disposition": named, "Cache-Control": "no-store"}
        return Response(content, headers=headers, media_type=media_type)

    def _report(self, request: Request) -> FaultReport:
        incident = self.one(request, request.path_params["number"])
        refuse_foreign(request, incident)
        language, zone = language_wished(request), self.rooms.incidents.calendar.time_zone
        schools = self.rooms.registry.schools()
        return fault_report(
            incident, schools, language=language, zone=zone, now=self.now(),
            contact=request.query_params.get("contact", "")[:CONTACT_CHARACTERS],
            steps=evidence_of(self.book, incident, reader_of(language, zone, schools)),
        )  # fmt: skip

    def _as_pdf(self, report: FaultReport) -> bytes:
        return as_pdf(report, register_cjk_font(self.rooms.settings.pdf_font_file))
