"""The pages: every school with its verdicts, and one school with all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from collector.ingest.liveness import Liveness
from collector.registry import Registry
from collector.store.interface import Store
from collector.verdicts.room import Judged, VerdictRoom
from collector.web import views
from collector.web.rendering import language_wished, page
from collector.web.throughput import throughput
from config.school import School
from config.words import Language, html_language, message, translate

ZONE = ZoneInfo("Asia/Shanghai")
CHART_WORDS = {
    "time": message("Time"),
    "down": message("down"),
    "up": message("up"),
    "target": message("target"),
    "line": message("line"),
    "loopback": message("not a line (loopback)"),
    "not_a_line": message("not a line"),
    "no_data": message("no data"),
}


class PageRooms(Protocol):
    """The rooms that the pages look into."""

    @property
    def registry(self) -> Registry: ...
    @property
    def store(self) -> Store: ...
    @property
    def verdicts(self) -> VerdictRoom: ...
    @property
    def liveness(self) -> Liveness: ...


class Pages:
    """The pages over some rooms. Rooms are read in threads, as they wait for disks."""

    def __init__(self, rooms: PageRooms, notice: str = "") -> None:
        """``notice`` stands at the top of every page."""
        self._rooms = rooms
        self._notice = notice

    async def schools(self, request: Request) -> Response:
        """Every school and how many of its targets are met."""
        return await run_in_threadpool(self._schools, request)

    async def school(self, request: Request) -> Response:
        """One school: verdicts, throughput, probes. 404 for one that is not known."""
        return await run_in_threadpool(self._school, request)

    async def throughput(self, request: Request) -> Response:
        """The data of the chart, JSON. 404 for a school that is not known."""
        return await run_in_threadpool(self._throughput, request)

    def _throughput(self, request: Request) -> Response:
        school_id = request.path_params["school_id"]
        if self._rooms.registry.school(school_id) is None:
            return Response(b'{"reason": "no such school"}', 404, media_type="application/json")
        body = msgspec.json.encode(throughput(self._rooms.store, school_id))
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    def _schools(self, request: Request) -> Response:
        language = language_wished(request)
        schools = request.state.who.narrow(self._rooms.registry.schools()).values()
        judged = {school.id: self._rooms.verdicts.of_school(school.id) for school in schools}
        shown = [self._view(school, judged[school.id], language) for school in schools]
        everything = [one for verdicts in judged.values() for one in verdicts]
        counts = views.counts(everything, language)
        return self._page(request, "schools.html", schools=shown, counts=counts)

    def _school(self, request: Request) -> Response:
        language = language_wished(request)
        school = self._rooms.registry.school(request.path_params["school_id"])
        if school is None:
            return self._page(request, "missing.html", 404)
        now = datetime.now(UTC)
        judged = self._rooms.verdicts.of_school(school.id)
        return self._page(
            request,
            "school.html",
            school=self._view(school, judged, language),
            cards=views.cards(judged, language, now, ZONE),
            probes=views.probe_views(self._rooms.store.latest(school.id, "probe"), language, now),
            chart={
                "language": html_language(language),
                "zone": ZONE.key,
                "target": views.chart_target((one.verdict for one in judged), school),
                "words": _chart_words(language),
            },
        )

    def _page(self, request: Request, template: str, status_code: int = 200, **context: object) -> Response:
        return page(request, template, status_code, notice=self._notice, time_zone=ZONE.key, **context)

    def _view(self, school: School, judged: list[Judged], language: Language) -> views.SchoolView:
        liveness = self._rooms.liveness
        agents = [agent for agent in liveness.all() if agent.school_id == school.id]
        silent = [liveness.silent_seconds(agent.agent_id) for agent in agents]
        heard = views.heard_text(agents, [one for one in silent if one is not None], language)
        return views.school_view(school, judged, self._rooms.verdicts.plans.values(), heard, language)


def _chart_words(language: Language) -> Mapping[str, str]:
    return {name: translate(text, language) for name, text in CHART_WORDS.items()}
