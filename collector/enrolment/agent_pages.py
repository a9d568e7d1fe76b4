"""``/agents``: who is enrolled and how it does; inviting, revoking, new tokens. No script is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

import msgspec
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.access.forms import Form
from collector.access.screens import posted
from collector.enrolment.desk import AgentDesk
from collector.enrolment.invitations import Invitation
from collector.enrolment.inviting import Address, csv_sheet, html_sheet, line_to_type, local_time
from collector.enrolment.listing import CONFIGURATIONS, Listed, listed
from collector.enrolment.room import EnrolmentRoom
from collector.ingest.liveness import Liveness
from collector.registry import Registry, RegistryError
from collector.settings import CollectorSettings
from collector.verdicts.room import VerdictRoom
from collector.web.problems import Problem, bad_request
from collector.web.rendering import SecurityHeaders, language_wished, page
from config.present import age
from config.words import Language, message, translate

PATH = "/agents"
SHEETS = {"html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8"}
STATES = {
    "running": message("running"),
    "restarting": message("restarting"),
    "stopping": message("stopped as announced"),
}


class AgentRooms(Protocol):
    """The rooms that the agents' pages look into."""

    @property
    def registry(self) -> Registry: ...
    @property
    def enrolment(self) -> EnrolmentRoom: ...
    @property
    def liveness(self) -> Liveness: ...
    @property
    def verdicts(self) -> VerdictRoom: ...
    @property
    def settings(self) -> CollectorSettings: ...


class AgentView(msgspec.Struct, frozen=True):
    """One agent in words. ``follows``: «applied», «pending», «refused», «local»."""

    id: str
    school: str
    name: str
    state: str
    heard: str
    version: str
    clock: str
    enrolled: str
    is_revoked: bool
    follows: str
    configuration: str
    reason: str


class Card(msgspec.Struct, frozen=True):
    """A code to show once; ``picture`` is its line as a QR code, SVG."""

    school: str
    agent: str
    code: str
    until: str
    line: str
    picture: Markup


def agent_page_routes(rooms: AgentRooms, notice: str = "") -> list[BaseRoute]:
    """The page and its forms; ``notice`` stands at its top."""
    pages, guarded = AgentPages(rooms, notice), [Middleware(SecurityHeaders), Middleware(GZipMiddleware)]
    may = Permission.MANAGE_AGENTS
    return [
        permitted(Permission.READ_LISTS, Route(PATH, pages.show, middleware=guarded)),
        permitted(may, Route(PATH, pages.act, methods=["POST"], middleware=guarded)),
        permitted(may, Route(f"{PATH}/codes", pages.sheet, methods=["POST"], middleware=guarded)),
    ]


class AgentPages:
    """Agents of the reader's schools; the forms are for who manages agents."""

    def __init__(self, rooms: AgentRooms, notice: str) -> None:
        self._rooms = rooms
        self._notice = notice
        self._desk = AgentDesk(rooms.enrolment, rooms.registry, rooms.settings)
        self._zone = rooms.verdicts.calendar.time_zone

    async def show(self, request: Request) -> Response:
        """Who is enrolled."""
        return await run_in_threadpool(self._show, request)

    @posted
    async def act(self, request: Request, form: Form) -> Response:
        """One agent invited, asked for a new token or revoked."""
        return await run_in_threadpool(self._told, request, lambda: self._act(request, form))

    @posted
    async def sheet(self, request: Request, form: Form) -> Response:
        """Codes of many schools, as a file to print."""
        return await run_in_threadpool(self._told, request, lambda: self._sheet(request, form))

    def _told(self, request: Request, work: Callable[[], Response]) -> Response:
        """What cannot be is said on the page."""
        try:
            return work()
        except Problem as problem:
            return self._show(request, problem=problem.detail, status=problem.status)
        except RegistryError as error:
            return self._show(request, problem=str(error), status=HTTPStatus.BAD_REQUEST)

    def _show(
        self,
        request: Request,
        *,
        cards: Sequence[Card] = (),
        is_private: bool = True,
        problem: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        who, rooms, language = request.state.who, self._rooms, language_wished(request)
        schools = who.narrow(rooms.registry.schools())
        room = rooms.enrolment
        room.states.flush()
        found = listed(rooms.registry, room.states, room.configurations, room.plan)
        names = {each.id: each.name or each.id for each in schools.values()}
        return page(
            request, "agents.html", status, notice=self._notice, time_zone=self._zone.key, problem=problem,
            agents=[self._view(each, names, language) for each in found if each.school_id in names],
            may_manage=who.may(Permission.MANAGE_AGENTS), schools=list(schools.values()), cards=cards,
            is_private=is_private, is_known=bool(rooms.settings.public_url),
            missing=len(self._desk.without_agent()),
        )  # fmt: skip

    def _act(self, request: Request, form: Form) -> Response:
        who, agent = request.state.who, form.text("agent")
        match form.text("what"):
            case "invite":
                invited = self._desk.invite([form.text("school")], agent, None, who)
                cards = [self._card(each, invited.address) for each in invited.codes]
                return self._show(request, cards=cards, is_private=invited.address.is_private)
            case "rotate":
                self._desk.rotate(agent, who)
            case "revoke":
                self._desk.revoke(agent, who)
            case _:
                raise bad_request("what: allowed: invite, rotate, revoke")
        return RedirectResponse(PATH, HTTPStatus.SEE_OTHER)

    def _sheet(self, request: Request, form: Form) -> Response:
        kind, schools = form.text("format"), self._rooms.registry.schools()
        if kind not in SHEETS:
            raise bad_request(f"format: allowed: {', '.join(SHEETS)}")
        wanted = list(schools) if form.text("whom") == "all" else self._desk.without_agent()
        if not wanted:
            raise bad_request("every school has an agent")
        valid = float(self._rooms.settings.enrolment.sheet_valid)
        codes, address = self._desk.invite(wanted, "", valid, request.state.who)
        text = (
            csv_sheet(codes, schools, address, self._zone)
            if kind == "csv"
            else html_sheet(codes, schools, address, self._zone, language_wished(request))
        )
        headers = {
            "Content-Disposition": f'attachment; filename="codes.{kind}"',
            "Cache-Control": "no-store",
        }
        return Response(text, media_type=SHEETS[kind], headers=headers)

    def _card(self, each: Invitation, address: Address) -> Card:
        import segno  # noqa: PLC0415 (for this alone)

        line = line_to_type(each, address)
        picture = segno.make(line, error="m", micro=False).svg_inline(scale=3, light="#fff")
        school = self._rooms.registry.schools()[each.school]
        return Card(
            school.name or school.id, each.agent, each.code, local_time(each.expires_at, self._zone), line,
            Markup(picture),  # noqa: S704 (made here, of squares)
        )  # fmt: skip

    def _view(self, agent: Listed, names: Mapping[str, str], language: Language) -> AgentView:
        liveness, now = self._rooms.liveness, datetime.now(UTC)
        heard, silent = liveness.of(agent.id), liveness.silent_seconds(agent.id)
        if silent is None and agent.seen_at is not None:
            silent = (now - agent.seen_at).total_seconds()
        return AgentView(
            id=agent.id,
            school=agent.school_id,
            name=names[agent.school_id],
            state=_state(agent, heard.state if heard is not None else None, language),
            heard="–" if silent is None else age(silent, language),
            version=agent.version or "–",
            clock="–" if agent.clock_offset_seconds is None else f"{agent.clock_offset_seconds:+.1f} s",
            enrolled=f"{agent.created_at.astimezone(self._zone):%Y-%m-%d}",
            is_revoked=agent.revoked_at is not None,
            follows=agent.configuration,
            configuration=translate(CONFIGURATIONS[agent.configuration], language),
            reason=agent.reason,
        )


def _state(agent: Listed, state: str | None, language: Language) -> str:
    if agent.revoked_at is not None:
        return translate("revoked", language)
    if state is None:
        return translate(message("not heard since the collector started"), language)
    return translate(STATES.get(state, state), language)
