"""The page of silences: which hold now or may later, and a form. It works without any script."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import get_args

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.access.forms import Form
from collector.access.screens import posted
from collector.incidents.model import Kind
from collector.incidents.seeing import IncidentRooms, Seeing
from collector.incidents.silences import Silence
from collector.incidents.wishes import NewSilence, silence_of
from collector.messages.words import KINDS
from collector.web.moments import moment_of
from collector.web.problems import Problem, bad_request, not_found
from collector.web.rendering import SecurityHeaders, language_wished, page
from config.words import translate

PATH = "/silences"
FIELDS = ("school", "line", "kind", "starts_at", "ends_at", "weekly", "why")


def silence_page_routes(rooms: IncidentRooms, notice: str = "") -> list[BaseRoute]:
    """The page and its form; ``notice`` stands at its top."""
    pages, guarded = SilencePages(rooms, notice), [Middleware(SecurityHeaders)]
    return [
        permitted(Permission.READ_LISTS, Route(PATH, pages.show, middleware=guarded)),
        permitted(
            Permission.ACKNOWLEDGE_INCIDENTS, Route(PATH, pages.act, methods=["POST"], middleware=guarded)
        ),
    ]


class SilencePages(Seeing):
    """Silences of the caller's schools; those of the whole county for its staff."""

    def __init__(self, rooms: IncidentRooms, notice: str) -> None:
        super().__init__(rooms)
        self._notice = notice
        self._zone = rooms.incidents.calendar.time_zone

    async def show(self, request: Request) -> Response:
        """What is silenced."""
        return await run_in_threadpool(self._show, request)

    @posted
    async def act(self, request: Request, form: Form) -> Response:
        """Add or end one: a form's post; then the page again."""
        wish = {name: value.strip() for name, value in form.firsts().items()}
        return await run_in_threadpool(self._act, request, wish)

    def _show(
        self, request: Request, problem: str = "", status: int = 200, wish: Mapping[str, str] | None = None
    ) -> Response:
        who, language = request.state.who, language_wished(request)
        kept = [each for each in self._kept() if who.sees(each.school_id or None)]
        schools = who.narrow(self.rooms.registry.schools())
        kinds = [(kind, translate(KINDS[kind], language)) for kind in get_args(Kind)]
        return page(
            request, "silences.html", status, notice=self._notice, time_zone=self._zone.key,
            silences=[self._row(each, dict(kinds), {id_: school.name for id_, school in schools.items()})
                      for each in kept],
            may_act=who.may(Permission.ACKNOWLEDGE_INCIDENTS), of_county=who.sees(None),
            schools=list(schools.values()), kinds=kinds, problem=problem,
            wish={name: (wish or {}).get(name, "") for name in FIELDS},
        )  # fmt: skip

    def _act(self, request: Request, wish: Mapping[str, str]) -> Response:
        try:
            self._do(request, wish)
        except Problem as problem:
            return self._show(request, problem.detail, problem.status, wish)
        return RedirectResponse(PATH, HTTPStatus.SEE_OTHER)

    def _do(self, request: Request, wish: Mapping[str, str]) -> None:
        who, now, book = request.state.who, self.now(), self.rooms.incidents.silences
        if wish.get("action") == "add":
            book.add(silence_of(self._wished(wish), who, self.rooms.registry, now), who)
        elif wish.get("action") == "end":
            known = {str(each.id): each for each in self._kept() if who.sees(each.school_id or None)}
            found = known.get(wish.get("number", ""))
            if found is None or book.end(found.id, who, now) is None:
                raise not_found("this silence is not known, or is over")
        else:
            raise bad_request("action: allowed: add, end")

    def _wished(self, wish: Mapping[str, str]) -> NewSilence:
        given: dict[str, object] = {name: wish[name] for name in FIELDS if wish.get(name)}
        times = [name for name in ("starts_at", "ends_at") if name in given]
        given |= {name: moment_of(wish[name], name, self._zone) for name in times}
        try:
            return msgspec.convert(given, NewSilence)
        except msgspec.ValidationError as error:
            raise bad_request(str(error)) from None

    def _kept(self) -> list[Silence]:
        return self.rooms.incidents.silences.kept(self.now())

    def _row(
        self, silence: Silence, kinds: Mapping[str, str], schools: Mapping[str, str]
    ) -> dict[str, object]:
        return {
            "id": silence.id,
            "school": schools.get(silence.school_id) or silence.school_id,
            "line": silence.line,
            "kind": kinds.get(silence.kind, ""),
            "starts": f"{silence.starts_at.astimezone(self._zone):%Y-%m-%d %H:%M}",
            "ends": f"{silence.ends_at.astimezone(self._zone):%Y-%m-%d %H:%M}" if silence.ends_at else "",
            "weekly": str(silence.weekly) if silence.weekly else "",
            "is_on": silence.is_on(self.now(), self._zone),
            "why": silence.why,
            "by": silence.by,
        }
