"""``/operations``: what the county's staff does now and then: schools, maintenance, exams, messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, audit, permitted
from collector.access.forms import BadForm, Form
from collector.access.origin import comes_from_elsewhere
from collector.access.refusals import problem as refusal
from collector.access.screens import posted
from collector.messages.outbox import NOT_DONE
from collector.messages.room import MessageRoom
from collector.messages.trying import NotTaken, try_channel
from collector.messages.words import STATES
from collector.pdf_fonts import NoChineseFont
from collector.registry import Registry, RegistryError
from collector.registry.sheets import MAX_FILE_BYTES
from collector.responder.ledger import Ledger
from collector.responder.slots import Suppression
from collector.settings import CollectorSettings
from collector.uptime.announcing import announce
from collector.uptime.records import Maintenance, Records
from collector.verdicts.room import VerdictRoom
from collector.web.moments import moment_of
from collector.web.problems import Problem, bad_request
from collector.web.rendering import SecurityHeaders, language_wished, page
from collector.web.school_list import Brought, SchoolList
from collector.web.uploads import upload_of
from config.settings import SettingsError
from config.words import message, translate

PATH = "/operations"
EVER = datetime.max.replace(tzinfo=UTC)


class OperationRooms(Protocol):
    """The rooms that this page works in."""

    @property
    def registry(self) -> Registry: ...
    @property
    def verdicts(self) -> VerdictRoom: ...
    @property
    def messages(self) -> MessageRoom: ...
    @property
    def settings(self) -> CollectorSettings: ...


def operation_routes(rooms: OperationRooms, notice: str = "") -> list[BaseRoute]:
    """The page and its forms; ``notice`` stands at its top."""
    pages, guarded = OperationsPage(rooms, notice), [Middleware(SecurityHeaders)]

    def takes(path: str, endpoint: object, permission: Permission = Permission.OPERATE) -> BaseRoute:
        route = Route(f"{PATH}/{path}", endpoint, methods=["POST"], middleware=guarded)  # type: ignore[arg-type]
        return permitted(permission, route)

    return [
        permitted(Permission.OPERATE, Route(PATH, pages.show, middleware=guarded)),
        takes("schools", pages.schools, Permission.MANAGE_SCHOOLS),
        takes("notices", pages.notices, Permission.MANAGE_SCHOOLS),
        takes("maintenance", pages.maintenance),
        takes("tests", pages.tests),
        takes("messages", pages.messages),
    ]


class OperationsPage:
    """Each form does what a command does, and is told in the log by the same words."""

    def __init__(self, rooms: OperationRooms, notice: str) -> None:
        self._rooms = rooms
        self._notice = notice
        self._list = SchoolList(rooms.registry, rooms.settings)
        self._zone = rooms.verdicts.calendar.time_zone

    async def show(self, request: Request) -> Response:
        """What there is to do."""
        return await run_in_threadpool(self._show, request)

    async def schools(self, request: Request) -> Response:
        """The county's list, as a file."""
        if comes_from_elsewhere(request):
            return refusal(HTTPStatus.FORBIDDEN, "this form was sent by another site")
        try:
            upload = await upload_of(request, MAX_FILE_BYTES)
        except BadForm:
            return refusal(HTTPStatus.BAD_REQUEST, "this is no form of these pages, or its file is too large")
        who, now = request.state.who, datetime.now(UTC)
        today = self._rooms.verdicts.calendar.local_day(now)
        return await run_in_threadpool(
            self._told,
            request,
            lambda: self._show(request, brought=self._list.bring_in(upload, who, today, now)),
        )

    @posted
    async def notices(self, request: Request, form: Form) -> Response:
        """Notices with the codes of the terminals' page, PDF."""

        def made() -> Response:
            language = language_wished(request)
            content = self._list.notices(form.text("school"), request.state.who, language)
            headers = {
                "Content-Disposition": 'attachment; filename="speed-codes.pdf"',
                "Cache-Control": "no-store",
            }
            return Response(content, media_type="application/pdf", headers=headers)

        return await run_in_threadpool(self._told, request, made)

    @posted
    async def maintenance(self, request: Request, form: Form) -> Response:
        """Announce maintenance."""
        return await run_in_threadpool(self._told, request, lambda: self._announce(request, form))

    @posted
    async def tests(self, request: Request, form: Form) -> Response:
        """Suppress capacity tests for a time, or grant them again."""
        return await run_in_threadpool(self._told, request, lambda: self._tests(request, form))

    @posted
    async def messages(self, request: Request, form: Form) -> Response:
        """Try a channel; send again or drop what waits."""
        return await run_in_threadpool(self._told, request, lambda: self._messages(request, form))

    def _told(self, request: Request, work: Callable[[], Response]) -> Response:
        """What cannot be is said on the page."""
        try:
            return work()
        except Problem as problem:
            return self._show(request, problem=problem.detail, status=problem.status)
        except (RegistryError, SettingsError, NotTaken, NoChineseFont) as error:
            return self._show(request, problem=str(error), status=HTTPStatus.BAD_REQUEST)

    def _show(
        self,
        request: Request,
        *,
        brought: Brought | None = None,
        problem: str = "",
        said: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        who, rooms, now, ledger = request.state.who, self._rooms, datetime.now(UTC), self._ledger()
        language = language_wished(request)
        waiting = rooms.messages.outbox.listed(NOT_DONE)
        return page(
            request, "operations.html", status, notice=self._notice, time_zone=self._zone.key,
            problem=problem, said=said, brought=brought, when=self._when,
            may_schools=who.may(Permission.MANAGE_SCHOOLS), names=self._names(),
            has_url=bool(rooms.settings.terminals.url),
            maintenances=Records(rooms.registry).maintenances(now, EVER),
            suppressions=None if ledger is None else ledger.suppressions(now),
            channels=[(name, rooms.messages.failures().get(name, 0)) for name in rooms.messages.channels],
            waiting=[(each, translate(STATES[each.state], language)) for each in waiting],
        )  # fmt: skip

    def _announce(self, request: Request, form: Form) -> Response:
        begins, ends = (moment_of(form.text(name), name, self._zone) for name in ("from", "to"))
        school = form.text("school") or None
        wanted = Maintenance(school, begins, ends, form.text("why"), datetime.now(UTC))
        announce(self._rooms.registry, wanted, request.state.who)
        return _back("maintenance-title")

    def _tests(self, request: Request, form: Form) -> Response:
        ledger, now, by = self._ledger(), datetime.now(UTC), request.state.who
        if ledger is None:
            raise bad_request("this collector grants no tests")
        if form.text("what") == "resume":
            ledger.resume(now, lambda found: audit.record(found, by, "capacity.resume", at=now))
            return _back("tests-title")
        school, why = form.text("school"), form.text("why")[:500]
        ends = moment_of(form.text("until"), "until", self._zone)
        if school and self._rooms.registry.school(school) is None:
            raise bad_request(f"school {school}: is not known")
        if ends <= now:
            raise bad_request("until: is over; allowed: a time to come")
        ledger.suppress(
            Suppression(now, ends, why, (school,) if school else ()),
            lambda found: audit.record(found, by, "capacity.suppress", school, at=now, until=ends, why=why),
        )
        return _back("tests-title")

    def _messages(self, request: Request, form: Form) -> Response:
        rooms, now, by = self._rooms, datetime.now(UTC), request.state.who
        what, channel, language = form.text("what"), form.text("channel"), language_wished(request)
        if what == "test":
            with rooms.registry.writing() as connection:
                audit.record(connection, by, "notify.test", channel, at=now)
            key = try_channel(rooms.settings.messages, channel, language, rooms.settings.public_url)
            said = translate(message("Sent over {channel}: {key}"), language, channel=channel, key=key)
            return self._show(request, said=said)
        numbers = [int(each) for each in form.all("number") if each.isascii() and each.isdecimal()]
        change = {"retry": rooms.messages.outbox.retry, "drop": rooms.messages.outbox.drop}.get(what)
        if change is None:
            raise bad_request("what: allowed: test, retry, drop")
        if not change([each for each in numbers if each < 2**31], by, now):
            raise bad_request("number: this message is not known, or was sent meanwhile")
        return _back("messages-title")

    def _ledger(self) -> Ledger | None:
        return Ledger(self._rooms.registry) if self._rooms.settings.responder is not None else None

    def _names(self) -> dict[str, str]:
        return {each.id: each.name or each.id for each in self._rooms.registry.schools().values()}

    def _when(self, moment: datetime) -> str:
        return f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M}"


def _back(part: str) -> Response:
    return RedirectResponse(f"{PATH}#{part}", HTTPStatus.SEE_OTHER)
