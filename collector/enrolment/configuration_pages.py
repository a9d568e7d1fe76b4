"""``/agents/configuration``: what the county, a school or an agent is to measure: try, set, go back."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlencode

import msgspec
import yaml
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.access.forms import Form
from collector.access.screens import posted_within
from collector.enrolment.agent_pages import AgentRooms
from collector.enrolment.configurations import Scope, Version
from collector.enrolment.desk import AgentDesk
from collector.enrolment.inviting import local_time
from collector.enrolment.sealing import masked
from collector.registry import RegistryError
from collector.web.problems import Problem, bad_request
from collector.web.rendering import SecurityHeaders, page
from config.central import MAX_BYTES
from config.settings import SettingsError, parse_yaml

PATH = "/agents/configuration"
MOST_BYTES = 3 * MAX_BYTES
"""A form writes one byte of a document as three at most."""


class State(msgspec.Struct, frozen=True):
    """One state of a document in words, secrets masked."""

    number: int
    at: str
    by: str
    text: str


def configuration_page_routes(rooms: AgentRooms, notice: str = "") -> list[BaseRoute]:
    """The page and its form; ``notice`` stands at its top."""
    pages, guarded = ConfigurationPages(rooms, notice), [Middleware(SecurityHeaders)]
    may = Permission.MANAGE_AGENTS
    return [
        permitted(may, Route(PATH, pages.show, middleware=guarded)),
        permitted(may, Route(PATH, pages.act, methods=["POST"], middleware=guarded)),
    ]


class ConfigurationPages:
    """``?for=`` is county, school:ID or agent:ID."""

    def __init__(self, rooms: AgentRooms, notice: str) -> None:
        self._rooms = rooms
        self._notice = notice
        self._desk = AgentDesk(rooms.enrolment, rooms.registry, rooms.settings)
        self._book = rooms.enrolment.configurations
        self._zone = rooms.verdicts.calendar.time_zone

    async def show(self, request: Request) -> Response:
        """What holds, and what held."""
        return await run_in_threadpool(self._told, request, "", lambda scope: self._show(request, scope))

    @posted_within(MOST_BYTES)
    async def act(self, request: Request, form: Form) -> Response:
        """Try a document, set it, or go back to one that held."""
        typed = form.secret("document").replace("\r\n", "\n")
        return await run_in_threadpool(
            self._told, request, typed, lambda scope: self._act(request, scope, form, typed)
        )

    def _told(self, request: Request, typed: str, work: Callable[[Scope], Response]) -> Response:
        """What cannot be is said on the page, over what was typed."""
        scope = Scope("county")
        try:
            scope = self._desk.scope(request.query_params.get("for", "county"))
            return work(scope)
        except Problem as problem:
            return self._show(request, scope, problem=problem.detail, status=problem.status, typed=typed)
        except (RegistryError, SettingsError) as error:
            return self._show(request, scope, problem=str(error), status=HTTPStatus.BAD_REQUEST, typed=typed)

    def _act(self, request: Request, scope: Scope, form: Form, typed: str) -> Response:
        who, what = request.state.who, form.text("what")
        if what in ("try", "set"):
            self._refuse_late(scope, form.text("seen"))
            found = self._desk.put(scope, _document(typed), who, dry_run=what == "try")
        elif what in ("try_back", "back"):
            number = form.text("number")
            if not (number.isascii() and number.isdecimal() and len(number) < 10):
                raise bad_request("number: allowed is that of a state")
            found = self._desk.undo(scope, who, int(number), dry_run=what == "try_back")
        else:
            raise bad_request("what: allowed: try, set, try_back, back")
        if what.startswith("try"):
            return self._show(request, scope, would=self._state(found), typed=typed)
        return RedirectResponse(f"{PATH}?{urlencode({'for': _word(scope)})}", HTTPStatus.SEE_OTHER)

    def _refuse_late(self, scope: Scope, seen: str) -> None:
        """Somebody else set another document since this one's page was shown."""
        current = self._book.current(scope)
        if seen != (str(current.number) if current else ""):
            raise Problem(
                HTTPStatus.CONFLICT, "another document was set meanwhile: look at it, then set yours"
            )

    def _show(
        self,
        request: Request,
        scope: Scope,
        *,
        would: State | None = None,
        typed: str = "",
        problem: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        states = [self._state(each) for each in self._book.history(scope)]
        current = states[0] if states else None
        school, effective = self._of_agent(scope)
        return page(
            request, "agents_configuration.html", status, notice=self._notice, time_zone=self._zone.key,
            scope=_word(scope), kind=scope.kind, subject=scope.subject, school=school, effective=effective,
            current=current, states=states, would=would,
            typed=typed or (current.text if current else ""), problem=problem,
        )  # fmt: skip

    def _of_agent(self, scope: Scope) -> tuple[str, str]:
        """An agent's school, and what the agent is told in all; nothing for others."""
        found = next((each for each in self._rooms.registry.agents() if each.id == scope.subject), None)
        school = self._rooms.registry.school(found.school_id) if found is not None else None
        if scope.kind != "agent" or school is None:
            return "", ""
        effective = self._book.effective(scope.subject, school, self._rooms.enrolment.plan)
        return school.id, _yaml(masked(effective.document))

    def _state(self, version: Version) -> State:
        return State(
            version.number,
            local_time(version.set_at, self._zone),
            version.set_by,
            _yaml(masked(version.document)),
        )


def _word(scope: Scope) -> str:
    return scope.key.rstrip(":")


def _document(text: str) -> object:
    """What was typed; dates become text, as agents read them. Raises SettingsError."""
    return msgspec.json.decode(msgspec.json.encode(parse_yaml(text, "document") or {}))


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False) if document else ""
