"""One school with all that is known of it, and the data of its charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.access import Permission
from collector.uptime.daily import Daily
from collector.uptime.minutes import SCHOOL
from collector.web import calendar_view, capacity_view, ports_view, readiness, school_view
from collector.web.board import SchoolState
from collector.web.calendar_view import MonthView
from collector.web.county_view import Reader, heard_text
from collector.web.desk import TestDesk
from collector.web.frame import Frame, shown, who_reads
from collector.web.incident_view import incident_views
from collector.web.throughput import throughput
from config.readiness import MEASUREMENT
from config.school import School, classes_on, lines_on
from config.words import Language, html_language, message, translate

DAY = 86400
LONGEST_SPAN_SECONDS = 400 * DAY
SPANS = (
    (3600, message("1 hour")),
    (6 * 3600, message("6 hours")),
    (DAY, message("1 day")),
    (7 * DAY, message("1 week")),
    (30 * DAY, message("1 month")),
    (365 * DAY, message("1 year")),
)
CHART_WORDS = {
    "time": message("Time"),
    "down": message("down"),
    "up": message("up"),
    "down_max": message("down, greatest second"),
    "up_max": message("up, greatest second"),
    "target": message("target"),
    "line": message("line"),
    "loopback": message("not a line (loopback)"),
    "not_a_line": message("not a line"),
    "no_data": message("no data"),
}
ANSWERS = {
    "ordered": message("Tests are ordered: the school's agent asks within some minutes."),
    "lessons": message("Lessons are on: nothing was ordered."),
    "none": message("This collector has no responder: there are no tests to order."),
    "no_line": message("No line of the school is declared: there is nothing to test."),
}


class SchoolPage:
    """The page of one school."""

    def __init__(self, frame: Frame, desk: TestDesk) -> None:
        self.frame = frame
        self._desk = desk

    @shown
    def show(self, request: Request) -> Response:
        """Verdicts, charts, tests, calendar, checks, ports. 404 for a school that is not known."""
        school = self._school(request)
        if school is None:
            return self.frame.missing(request)
        reader = self.frame.reader(request)
        rooms, zone = self.frame.rooms, self.frame.zone
        judged = rooms.verdicts.of_school(school.id)
        ports, all_ports = ports_view.ports(
            rooms.store.latest(school.id, "interface"), reader.language, reader.now
        )
        return self.frame.render(
            request,
            "school.html",
            school=school,
            name=school.name or school.id,
            classes=classes_on(school, reader.today),
            lines=lines_on(school, reader.today),
            heard=self._heard(school, reader),
            plans=school_view.plan_cards(judged, rooms.verdicts.plans.values(), reader, zone),
            probes=school_view.probe_views(rooms.store.latest(school.id, "probe"), reader),
            tests=capacity_view.test_views(
                capacity_view.tests_of(rooms.store, school.id, reader.now), reader.language, zone
            ),
            month=self._month(school, request.query_params.get("month"), reader),
            grades=_words(calendar_view.GRADES, reader.language),
            signs=calendar_view.SIGNS,
            ipv6=self._ipv6(school, reader),
            ports=ports,
            all_ports=all_ports,
            controllers=ports_view.controllers(
                rooms.store.latest(school.id, "access_points"), reader.language, reader.now
            ),
            incidents=incident_views(
                rooms.board.incidents_of(school.id), {school.id: school}, reader.language, zone
            ),
            desk=self._desk_view(request, reader),
            spans=[(seconds, translate(text, reader.language)) for seconds, text in SPANS],
            chart={
                "language": html_language(reader.language),
                "zone": zone.key,
                "target": school_view.chart_target((one.verdict for one in judged), school),
                "words": _words(CHART_WORDS, reader.language),
            },
        )

    @shown
    def throughput(self, request: Request) -> Response:
        """The data of the chart over ``from`` and ``to`` or the last ``span`` seconds, JSON."""
        school = self._school(request)
        if school is None:
            return _json({"reason": "no such school"}, 404)
        asked = _range(request.query_params, self.frame.reader(request).now)
        if asked is None:
            return _json({"reason": "from, to or span: seconds, at most 400 days apart, are allowed"}, 400)
        return _json(throughput(self.frame.rooms.store, school.id, *asked))

    @shown
    def test_now(self, request: Request) -> Response:
        """Order tests of every line; back to the page, which says what came of it."""
        school = self._school(request)
        if school is None:
            return self.frame.missing(request)
        forced = request.query_params.get("force") == "1"
        answer = self._desk.order(school, forced=forced)
        return RedirectResponse(f"/schools/{school.id}?tests={answer}#tests-title", 303)

    def _school(self, request: Request) -> School | None:
        return self.frame.rooms.registry.school(request.path_params["school_id"])

    def _heard(self, school: School, reader: Reader) -> str:
        rooms = self.frame.rooms
        present = next(iter(rooms.uptime.presence(school.id)), None) if rooms.uptime is not None else None
        text, is_heard = heard_text(SchoolState(school, (), presence=present), reader.language, reader.now)
        words = message("Agent last heard {ago}") if is_heard else message("Agent: {state}")
        return translate(words, reader.language, ago=text, state=text)

    def _month(self, school: School, asked: str | None, reader: Reader) -> MonthView | None:
        room = self.frame.rooms.uptime
        if room is None:
            return None
        zone, language = self.frame.zone, reader.language
        try:
            start, end = room.report.month(asked, reader.now)
        except ValueError:
            start, end = room.report.month(None, reader.now)
        days = Daily(self.frame.rooms.registry, self.frame.rooms.verdicts.calendar, room.settings)
        weeks = calendar_view.weeks_of(days.days(school, start, end, reader.now), reader.now, zone, language)
        found = room.report.availability(start, end, reader.now, school_id=school.id, subject=SCHOOL)
        uptime = next(iter(found)).of()
        name, before, after = calendar_view.near_months(start, end, zone)
        return MonthView(
            name=name,
            before=before,
            after=after if end <= reader.now else "",
            weeks=tuple(tuple(week) for week in weeks),
            school_hours=calendar_view.tally_text(uptime.school_hours, language),
            all_hours=calendar_view.tally_text(uptime.all_hours, language),
            outages=tuple(
                calendar_view.outage_views(room.report.outages(school.id, start, end), language, zone)
            ),
        )

    def _ipv6(self, school: School, reader: Reader) -> Mapping[str, Any]:
        found = readiness.findings_of(self.frame.rooms.store.latest(school.id, MEASUREMENT), reader.now)
        row = readiness.school_row(school.id, school.name, found, reader.language)
        titles = {each.check: each.title for each in readiness.check_rows([found], reader.language)}
        return {"row": row, "titles": titles}

    def _desk_view(self, request: Request, reader: Reader) -> Mapping[str, Any] | None:
        if not who_reads(request).may(Permission.TEST_NOW):
            return None
        answer = ANSWERS.get(request.query_params.get("tests", ""), "")
        return {
            "is_open": self._desk.is_open,
            "warns": self._desk.warns,
            "answer": translate(answer, reader.language),
        }


def _range(params: Mapping[str, str], now: datetime) -> tuple[float, float] | None:
    """From and to, seconds since 1970 UTC; None for what is no range."""
    try:
        end = float(params.get("to", now.timestamp() + 1))
        start = float(params["from"]) if "from" in params else end - float(params.get("span", SPANS[0][0]))
    except ValueError:
        return None
    is_range = math.isfinite(start) and math.isfinite(end) and 0 < start < end < 2**32
    return (start, end) if is_range and end - start <= LONGEST_SPAN_SECONDS else None


def _words(texts: Mapping[str, str], language: Language) -> Mapping[str, str]:
    return {name: translate(text, language) for name, text in texts.items()}


def _json(content: object, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
