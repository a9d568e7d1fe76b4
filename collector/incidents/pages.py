"""The pages of incidents: what is open, and one of them. They work without any script."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.access.forms import Form
from collector.access.screens import posted
from collector.access.who import Who
from collector.incidents.baselines import COMPARED
from collector.incidents.book import IncidentUnknown
from collector.incidents.model import Incident
from collector.incidents.seeing import IncidentRooms, Seeing, is_own, may_see, refuse_foreign
from collector.incidents.showing import STATES, STEPS, WAITS, reader_of, text, title
from collector.messages.rendering import Reader
from collector.messages.words import KINDS, SEVERITIES
from collector.web.problems import Problem, bad_request
from collector.web.rendering import SecurityHeaders, language_wished, page

MOST_SHOWN = 100


def incident_page_routes(rooms: IncidentRooms, notice: str = "") -> list[BaseRoute]:
    """Every page; ``notice`` stands at the top of each."""
    pages, guarded, one = (
        IncidentPages(rooms, notice),
        [Middleware(SecurityHeaders)],
        "/incidents/{number:int}",
    )
    return [
        permitted(Permission.READ_LISTS, Route("/incidents", pages.incidents, middleware=guarded)),
        permitted(Permission.READ_LISTS, Route(one, pages.incident, middleware=guarded)),
        permitted(
            Permission.ACKNOWLEDGE_INCIDENTS, Route(one, pages.act, methods=["POST"], middleware=guarded)
        ),
    ]


class IncidentPages(Seeing):
    """The pages; they work without any script."""

    def __init__(self, rooms: IncidentRooms, notice: str) -> None:
        super().__init__(rooms)
        self._notice = notice

    async def incidents(self, request: Request) -> Response:
        """What is open, and what was lately."""
        return await run_in_threadpool(self._incidents, request)

    async def incident(self, request: Request) -> Response:
        """One incident."""
        return await run_in_threadpool(self._incident, request)

    @posted
    async def act(self, request: Request, form: Form) -> Response:
        """Take it, note, keep a ticket: a form's post; then the page again."""
        return await run_in_threadpool(self._act, request, form.firsts())

    def _incidents(self, request: Request) -> Response:
        reader = self._reader(request)
        found = [each for each in self.book.find(limit=MOST_SHOWN) if may_see(request, each)]
        standing = [each for each in self.book.unresolved() if may_see(request, each)]
        return self._page(
            request,
            "incidents.html",
            open=[_row(each, reader) for each in reversed(standing) if each.state != "pending"],
            waiting=[_row(each, reader) for each in reversed(standing) if each.state == "pending"],
            over=[_row(each, reader) for each in found if each.state == "resolved"],
            undelivered=self._undelivered(request),
        )

    def _incident(self, request: Request, problem: str = "", status: int = 200) -> Response:
        reader = self._reader(request)
        try:
            incident = self.one(request, request.path_params["number"])
        except Problem:
            return self._page(request, "incidents.html", 404, open=[], waiting=[], over=[], undelivered=0)
        children = [each for each in self.book.children_of(incident.id) if may_see(request, each)]
        steps = [
            {
                "at": reader.when(each.at),
                "what": reader.say(STEPS[each.what]),
                "by": each.by,
                "text": each.text,
            }
            for each in self.book.steps(incident.id)
        ]
        may = request.state.who.may(Permission.ACKNOWLEDGE_INCIDENTS) and is_own(request, incident)
        return self._page(
            request, "incident.html", status,
            incident=_row(incident, reader), lines=text(incident, self.now(), reader).splitlines(),
            steps=steps, children=[_row(each, reader) for each in children], may_act=may,
            ticket=incident.carrier_ticket, note=incident.note, problem=problem,
            parent=incident.parent, may_accept=incident.kind in COMPARED and _is_open(incident),
        )  # fmt: skip

    def _act(self, request: Request, wish: Mapping[str, str]) -> Response:
        try:
            incident = self.one(request, request.path_params["number"])
            refuse_foreign(request, incident)
            self._do(incident, wish, request.state.who)
        except Problem as problem:
            return self._incident(request, problem.detail, problem.status)
        except IncidentUnknown as error:
            return self._incident(request, str(error), HTTPStatus.CONFLICT)
        return RedirectResponse(f"/incidents/{incident.id}", HTTPStatus.SEE_OTHER)

    def _do(self, incident: Incident, wish: Mapping[str, str], who: Who) -> None:
        now, action, by = self.now(), wish.get("action"), who.name
        if action == "acknowledge":
            self.book.acknowledge(incident.id, by, now)
        elif action == "note":
            self.book.note(incident.id, wish.get("text", ""), by, now)
        elif action == "ticket":
            self.book.ticket(incident.id, wish.get("text", ""), by, now)
        elif action == "accept":
            self.book.accept(incident.id, who, now)
        else:
            raise bad_request("action: allowed: accept, acknowledge, note, ticket")

    def _undelivered(self, request: Request) -> int:
        """Messages that were given up; whose they are is the county's to know."""
        if not request.state.who.sees(None):
            return 0
        counts = self.rooms.messages.counts()
        return sum(count for (_, state), count in counts.items() if state == "given_up")

    def _reader(self, request: Request) -> Reader:
        zone = self.rooms.incidents.calendar.time_zone
        return reader_of(language_wished(request), zone, self.rooms.registry.schools())

    def _page(self, request: Request, template: str, status_code: int = 200, **context: object) -> Response:
        zone = self.rooms.incidents.calendar.time_zone.key
        return page(request, template, status_code, notice=self._notice, time_zone=zone, **context)


def _is_open(incident: Incident) -> bool:
    return incident.state in ("open", "acknowledged")


def _row(incident: Incident, reader: Reader) -> dict[str, object]:
    return {
        "id": incident.id,
        "title": title(incident, reader),
        "kind": reader.say(KINDS[incident.kind]),
        "severity": incident.severity,
        "severity_word": reader.say(SEVERITIES[incident.severity]),
        "state": incident.state,
        "state_word": reader.say(STATES[incident.state]),
        "waits": reader.say(WAITS[incident.waits_for]) if incident.waits_for else "",
        "since": reader.when(incident.started_at),
        "until": reader.when(incident.resolved_at) if incident.resolved_at else "",
        "taken_by": incident.acknowledged_by,
        "schools": len(incident.schools),
        "school_id": incident.school_id,
    }
