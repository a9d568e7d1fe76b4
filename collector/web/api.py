"""The JSON API for programs, under ``/api/v1``.

Each route states its permission; lists are narrowed to the schools that the caller may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from collector.access import Permission, Who, permitted
from collector.ingest.liveness import Liveness
from collector.registry import Agent, Registry
from collector.registry.ids import ALLOWED, is_id
from collector.store.interface import Latest, SeriesPoints, SeriesWindows, Store, StoreUnavailable
from collector.uptime.report import uptime_report
from collector.uptime.room import UptimeRoom
from collector.verdicts.report import ProbeReport, SchoolReport, SchoolVerdicts, report_of
from collector.verdicts.room import VerdictRoom
from collector.web.problems import Problem, answering, bad_request, not_found
from collector.web.queries import SeriesQuery, series_query
from config.school import School

NS = 10**9
T = TypeVar("T")


class ApiRooms(Protocol):
    """The rooms that the API reads."""

    @property
    def registry(self) -> Registry: ...
    @property
    def store(self) -> Store: ...
    @property
    def verdicts(self) -> VerdictRoom: ...
    @property
    def liveness(self) -> Liveness: ...
    @property
    def uptime(self) -> UptimeRoom | None: ...


def api_routes(rooms: ApiRooms, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[BaseRoute]:
    """Every route of the API. They only read."""
    api = Api(rooms, now)
    return [
        permitted(Permission.READ_LISTS, Route("/api/v1/schools", api.schools)),
        permitted(Permission.READ_SCHOOL, Route("/api/v1/schools/{school_id}", api.school)),
        permitted(Permission.READ_SCHOOL, Route("/api/v1/schools/{school_id}/verdicts", api.verdicts)),
        permitted(Permission.READ_SCHOOL, Route("/api/v1/schools/{school_id}/series", api.series)),
        permitted(Permission.READ_SCHOOL, Route("/api/v1/schools/{school_id}/outages", api.outages)),
        permitted(
            Permission.READ_SCHOOL, Route("/api/v1/schools/{school_id}/availability", api.availability)
        ),
        permitted(Permission.READ_LISTS, Route("/api/v1/agents", api.agents)),
    ]


class Api:
    """The answers. Rooms are read in threads, as they wait for disks."""

    def __init__(self, rooms: ApiRooms, now: Callable[[], datetime]) -> None:
        self._rooms = rooms
        self._now = now

    @answering
    async def schools(self, request: Request) -> object:
        """Every school that the caller may see, in short."""
        found = request.state.who.narrow(await run_in_threadpool(self._rooms.registry.schools))
        plans = list(self._rooms.verdicts.plans)
        return {"schools": [_in_short(school) for school in found.values()], "plans": plans}

    @answering
    async def school(self, request: Request) -> object:
        """One school as it is declared."""
        return await run_in_threadpool(self._school_of, request)

    @answering
    async def verdicts(self, request: Request) -> object:
        """One school's verdicts under one plan, with how its probes fare."""
        return await self._read(self._verdicts, request)

    @answering
    async def series(self, request: Request) -> object:
        """One measurement of one school over time."""
        return await self._read(self._series, request)

    @answering
    async def outages(self, request: Request) -> object:
        """One school's outages of a month, and whether it is silent now."""
        return await self._read(self._outages, request)

    @answering
    async def availability(self, request: Request) -> object:
        """One school's availability of a month, its lines and families by themselves."""
        return await self._read(self._availability, request)

    @answering
    async def agents(self, request: Request) -> object:
        """Every agent of the caller's schools and when it was last heard."""
        return {"agents": await run_in_threadpool(self._agents, request.state.who)}

    async def _read(self, read: Callable[[Request], T], request: Request) -> T:
        try:
            return await run_in_threadpool(read, request)
        except StoreUnavailable as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None

    def _school_of(self, request: Request) -> School:
        school_id = request.path_params["school_id"]
        if not is_id(school_id):
            raise bad_request(f"the school's id is not {ALLOWED}")
        school = self._rooms.registry.school(school_id)
        if school is None:
            raise not_found(f"school {school_id} is not known")
        return school

    def _verdicts(self, request: Request) -> SchoolReport:
        school, plan = self._school_of(request), self._plan_of(request)
        judged = self._rooms.verdicts.of_school(school.id, plan)
        probes = map(_probe, self._rooms.store.latest(school.id, "probe"))
        return report_of(SchoolVerdicts(school, plan, self._now(), judged), probes)

    def _plan_of(self, request: Request) -> str:
        plans = list(self._rooms.verdicts.plans)
        plan = request.query_params.get("plan", plans[0])
        if plan not in plans:
            raise not_found(f"plan {plan!r} is not judged here; allowed: {', '.join(plans)}")
        return plan

    def _series(self, request: Request) -> object:
        school = self._school_of(request)
        query = series_query(request.query_params, self._now())
        return {
            "school": school.id,
            "measurement": query.measurement,
            "from": query.start,
            "to": query.end,
            "resolution_seconds": query.resolution_seconds,
            "series": list(self._found(school.id, query)),
        }

    def _found(self, school_id: str, query: SeriesQuery) -> Iterable[object]:
        start_ns, end_ns = _ns(query.start), _ns(query.end)
        if query.resolution_seconds is None:
            points = self._rooms.store.points(
                school_id, query.measurement,
                tags=query.tags, fields=query.fields, start_ns=start_ns, end_ns=end_ns,
            )  # fmt: skip
            return map(_points, points)
        windows = self._rooms.store.series(
            school_id, query.measurement, tags=query.tags, fields=query.fields,
            start_ns=start_ns, end_ns=end_ns, resolution_seconds=query.resolution_seconds,
        )  # fmt: skip
        return map(_windows, windows)

    def _outages(self, request: Request) -> object:
        school, now = self._school_of(request), self._now()
        room = self._uptime_room()
        start, end = self._month_of(request, now)
        return {
            "school": school.id,
            "from": start,
            "to": end,
            "now": next(iter(room.presence(school.id)), None),
            "outages": room.report.outages(school.id, start, end),
            "flapping": room.report.flapping(school.id, start, end, now),
        }

    def _availability(self, request: Request) -> object:
        school, now = self._school_of(request), self._now()
        start, end = self._month_of(request, now)
        found = self._uptime_room().report.availability(start, end, now, school_id=school.id)
        subjects = [uptime_report(each) for uptime in found for each in uptime.subjects]
        return {"school": school.id, "from": start, "to": end, "subjects": subjects}

    def _uptime_room(self) -> UptimeRoom:
        room = self._rooms.uptime
        if room is None:
            raise not_found("uptime is not judged here")
        return room

    def _month_of(self, request: Request, now: datetime) -> tuple[datetime, datetime]:
        month = request.query_params.get("month")
        try:
            return self._uptime_room().report.month(month, now)
        except ValueError:
            raise bad_request(f"month: {month!r} is no month; allowed: YYYY-MM") from None

    def _agents(self, who: Who) -> list[dict[str, Any]]:
        return [self._agent(agent) for agent in self._rooms.registry.agents() if who.sees(agent.school_id)]

    def _agent(self, agent: Agent) -> dict[str, Any]:
        heard = self._rooms.liveness.of(agent.id)
        return {
            "id": agent.id,
            "school": agent.school_id,
            "enrolled_at": agent.created_at,
            "revoked_at": agent.revoked_at,
            "heard_at": _time(heard.heard_ns) if heard else agent.seen_at,
            "silent_seconds": self._rooms.liveness.silent_seconds(agent.id),
            "state": heard.state if heard else None,
            "version": heard.version if heard else None,
            "uptime_seconds": heard.uptime_seconds if heard else None,
            "clock_offset_seconds": _seconds(heard.clock_offset_ns) if heard else None,
        }


def _in_short(school: School) -> dict[str, Any]:
    return {"id": school.id, "name": school.name, "level": school.level, "area": school.area}


def _probe(latest: Latest) -> ProbeReport:
    fields: dict[str, Any] = latest.fields
    return ProbeReport(
        name=latest.tags.get("probe", ""),
        success=fields.get("success"),
        duration_seconds=fields.get("duration_seconds"),
        error=fields.get("error"),
        unknown=fields.get("unknown"),
        agent=latest.tags.get("agent"),
        at=_time(latest.time_ns),
    )


def _points(series: SeriesPoints) -> object:
    points = [{"at": _time(point.time_ns), "fields": point.fields} for point in series.points]
    return {"tags": series.tags, "points": points}


def _windows(series: SeriesWindows) -> object:
    windows = [
        {
            "at": _time(window.start_ns),
            "fields": {
                name: {
                    "count": values.count, "sum": values.sum, "min": values.min,
                    "max": values.max, "mean": values.mean,
                }
                for name, values in window.fields.items()
            },
        }
        for window in series.windows
    ]  # fmt: skip
    return {"tags": series.tags, "points": windows}


def _ns(moment: datetime) -> int:
    return round(moment.timestamp()) * NS


def _time(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / NS, UTC)


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / NS
