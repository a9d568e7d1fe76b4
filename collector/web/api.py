"""The API for programs, under ``/api/v1``: schools, lines, agents, verdicts, outages, availability, series.

Each route states its permission; lists are narrowed to the schools that the caller may see, sorted by id and
given in pages: ``next`` of one answer is ``after`` of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import Path, Query, Request
from starlette.routing import BaseRoute

from collector.access import Permission, Who
from collector.ingest.liveness import Liveness
from collector.registry import Agent, Registry
from collector.registry.ids import ALLOWED, is_id
from collector.store.interface import Latest, SeriesPoints, SeriesWindows, Store
from collector.uptime.report import uptime_report
from collector.uptime.room import UptimeRoom
from collector.verdicts.report import ProbeReport, SchoolReport, SchoolVerdicts, report_of
from collector.verdicts.room import VerdictRoom
from collector.web import api_types as given
from collector.web.api_declaring import After, Limit, api_route, page_of
from collector.web.problems import bad_request, not_found
from collector.web.queries import SeriesQuery, series_query
from config.school import School

NS = 10**9
PAGE = 200
SchoolId = Annotated[str, Path(description="The county's id of the school.", max_length=64)]
Month = Annotated[str | None, Query(description="YYYY-MM, local; without it this month.", max_length=7)]


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
    """Every route of this part. They only read."""
    api = Api(rooms, now)
    lists, school = Permission.READ_LISTS, Permission.READ_SCHOOL
    one = "/schools/{school_id}"
    return [
        api_route(lists, "/schools", api.schools, gives=given.Schools),
        api_route(school, one, api.school, gives=School),
        api_route(school, f"{one}/verdicts", api.verdicts, gives=SchoolReport),
        api_route(school, f"{one}/series", api.series, gives=given.Series),
        api_route(school, f"{one}/outages", api.outages, gives=given.Outages),
        api_route(school, f"{one}/availability", api.availability, gives=given.Availability),
        api_route(lists, "/lines", api.lines, gives=given.Lines),
        api_route(lists, "/agents", api.agents, gives=given.Agents),
    ]


class Api:
    """The answers."""

    def __init__(self, rooms: ApiRooms, now: Callable[[], datetime]) -> None:
        self._rooms = rooms
        self._now = now

    def schools(self, request: Request, after: After = "", limit: Limit = PAGE) -> given.Schools:
        """Every school that the caller may see, in short."""
        found = _who(request).narrow(self._rooms.registry.schools())
        page, following = page_of(list(found.values()), after, limit, lambda school: school.id)
        return given.Schools([_in_short(each) for each in page], list(self._rooms.verdicts.plans), following)

    def lines(self, request: Request, after: After = "", limit: Limit = PAGE) -> given.Lines:
        """Every line of the schools that the caller may see, as it is declared."""
        found = [
            given.LineOfSchool(f"{school.id}/{line.id}", school.id, line)
            for school in _who(request).narrow(self._rooms.registry.schools()).values()
            for line in school.lines
        ]
        page, following = page_of(sorted(found, key=_key), after, limit, _key)
        return given.Lines(page, following)

    def agents(self, request: Request, after: After = "", limit: Limit = PAGE) -> given.Agents:
        """Every agent of the caller's schools and when it was last heard."""
        who = _who(request)
        found = [agent for agent in self._rooms.registry.agents() if who.sees(agent.school_id)]
        page, following = page_of(sorted(found, key=lambda each: each.id), after, limit, lambda each: each.id)
        return given.Agents([self._agent(each) for each in page], following)

    def school(self, school_id: SchoolId) -> School:
        """One school as it is declared."""
        if not is_id(school_id):
            raise bad_request(f"the school's id is not {ALLOWED}")
        school = self._rooms.registry.school(school_id)
        if school is None:
            raise not_found(f"school {school_id} is not known")
        return school

    def verdicts(
        self, school_id: SchoolId, plan: Annotated[str | None, Query(max_length=64)] = None
    ) -> SchoolReport:
        """One school's verdicts under one plan, with how its probes fare."""
        school, chosen = self.school(school_id), self._plan(plan)
        judged = self._rooms.verdicts.of_school(school.id, chosen)
        probes = map(_probe, self._rooms.store.latest(school.id, "probe"))
        return report_of(SchoolVerdicts(school, chosen, self._now(), judged), probes)

    def _plan(self, wanted: str | None) -> str:
        plans = list(self._rooms.verdicts.plans)
        if not plans:
            raise not_found("no plan is judged here (verdicts.plans)")
        plan = plans[0] if wanted is None else wanted
        if plan not in plans:
            raise not_found(f"plan {plan!r} is not judged here; allowed: {', '.join(plans)}")
        return plan

    def series(self, request: Request, school_id: SchoolId) -> given.Series:
        """One measurement of one school over time.

        Parameters of the query: ``measurement``; ``fields``, separated by commas; ``from`` and ``to`` in ISO
        8601 with their offset, the last hour without; ``resolution``: ``raw`` or a duration like ``5min``;
        and any tag of the measurement with the value it must have.
        """
        school = self.school(school_id)
        query = series_query(request.query_params, self._now())
        return given.Series(
            school.id, query.measurement, query.start, query.end, query.resolution_seconds,
            list(self._found(school.id, query)),
        )  # fmt: skip

    def _found(self, school_id: str, query: SeriesQuery) -> Iterable[given.OneSeries]:
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

    def outages(self, school_id: SchoolId, month: Month = None) -> given.Outages:
        """One school's outages of a month, and whether it is silent now."""
        school, now, room = self.school(school_id), self._now(), self._uptime_room()
        start, end = self._month(month, now)
        return given.Outages(
            school.id, start, end, next(iter(room.presence(school.id)), None),
            msgspec.convert(room.report.outages(school.id, start, end), list[given.OutageReport]),
            msgspec.convert(room.report.flapping(school.id, start, end, now), list[given.FlappingReport]),
        )  # fmt: skip

    def availability(self, school_id: SchoolId, month: Month = None) -> given.Availability:
        """One school's availability of a month, its lines and families by themselves."""
        school, now = self.school(school_id), self._now()
        start, end = self._month(month, now)
        found = self._uptime_room().report.availability(start, end, now, school_id=school.id)
        subjects = [uptime_report(each) for uptime in found for each in uptime.subjects]
        return given.Availability(school.id, start, end, msgspec.convert(subjects, list[given.SubjectReport]))

    def _uptime_room(self) -> UptimeRoom:
        room = self._rooms.uptime
        if room is None:
            raise not_found("uptime is not judged here")
        return room

    def _month(self, month: str | None, now: datetime) -> tuple[datetime, datetime]:
        try:
            return self._uptime_room().report.month(month, now)
        except (ValueError, OverflowError):
            raise bad_request(f"month: {month!r} is no month; allowed: YYYY-MM") from None

    def _agent(self, agent: Agent) -> given.AgentReport:
        heard = self._rooms.liveness.of(agent.id)
        return given.AgentReport(
            id=agent.id,
            school=agent.school_id,
            enrolled_at=agent.created_at,
            revoked_at=agent.revoked_at,
            heard_at=_time(heard.heard_ns) if heard else agent.seen_at,
            silent_seconds=self._rooms.liveness.silent_seconds(agent.id),
            state=heard.state if heard else None,
            version=heard.version if heard else None,
            uptime_seconds=heard.uptime_seconds if heard else None,
            clock_offset_seconds=_seconds(heard.clock_offset_ns) if heard else None,
        )


def _who(request: Request) -> Who:
    who: Who = request.state.who
    return who


def _key(line: given.LineOfSchool) -> str:
    return line.key


def _in_short(school: School) -> given.SchoolInShort:
    return given.SchoolInShort(school.id, school.name, school.level, school.area)


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


def _points(series: SeriesPoints) -> given.OneSeries:
    points = [given.SeriesPoint(_time(point.time_ns), dict(point.fields)) for point in series.points]
    return given.OneSeries(dict(series.tags), points)


def _windows(series: SeriesWindows) -> given.OneSeries:
    windows = [
        given.SeriesPoint(
            _time(window.start_ns),
            {
                name: given.Aggregate(values.count, values.sum, values.min, values.max, values.mean)
                for name, values in window.fields.items()
            },
        )
        for window in series.windows
    ]
    return given.OneSeries(dict(series.tags), windows)


def _ns(moment: datetime) -> int:
    return round(moment.timestamp()) * NS


def _time(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns / NS, UTC)


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / NS
