"""Puts the rooms together: the only place that knows them all.

To add a room: a field in ``Rooms`` (collector/rooms.py), its making in ``open_rooms``, its routes in
``routes_of``. What
is opened is pushed on the stack at once, so that it is closed in reverse order, also when a later room fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute

from collector.access.pages import access_routes
from collector.access.region import Region
from collector.access.region_routes import region_routes
from collector.access.room import AccessRoom
from collector.access.routes import guarded
from collector.enrolment.agent_pages import agent_page_routes
from collector.enrolment.api import enrolment_api
from collector.enrolment.configuration_pages import configuration_page_routes
from collector.enrolment.room import EnrolmentRoom
from collector.enrolment.routes import enrolment_routes
from collector.incidents.api import incident_api_routes
from collector.incidents.pages import incident_page_routes
from collector.incidents.report_routes import fault_report_routes
from collector.incidents.room import IncidentRoom
from collector.incidents.silence_pages import silence_page_routes
from collector.ingest.answers import Answer, answer_refusal
from collector.ingest.consumer import Consumer
from collector.ingest.journal import Journal
from collector.ingest.liveness import Liveness
from collector.ingest.service import IngestService
from collector.ingest.set_aside import SetAside
from collector.messages.room import MessageRoom
from collector.metrics import metrics_routes
from collector.packages.api import upgrade_api
from collector.packages.routes import package_routes
from collector.registry import Registry
from collector.reports.content import Gatherer
from collector.reports.mailing import Mailer, start_mailing
from collector.reports.routes import report_routes
from collector.responder import open_far_end, ticket_routes
from collector.responder.icmpv6_routes import icmpv6_routes, open_icmpv6
from collector.rooms import Rooms
from collector.settings import CollectorSettings
from collector.store.opening import open_store
from collector.terminals.room import TerminalRoom
from collector.terminals.routes import terminal_routes
from collector.uptime.room import UptimeRoom
from collector.verdicts.opening import open_room
from collector.verdicts.ticker import Ticker
from collector.web.api import api_routes
from collector.web.api_county import county_routes
from collector.web.api_document import document_routes
from collector.web.board import Board
from collector.web.errors import answer_missing
from collector.web.events import Events
from collector.web.health import health_routes
from collector.web.operations_page import operation_routes
from collector.web.problems import answer_broken, answer_broken_off, answer_http, answer_invalid
from collector.web.readiness_routes import readiness_routes
from collector.web.routes import page_routes
from config.clock import Clock, SystemClock
from config.evidence import may_concern
from config.watchdog import READY, STOPPING, Promises, Watchdog, notify, watchdog_seconds

UPTIME_TICK_SECONDS = 10.0


def open_rooms(settings: CollectorSettings, stack: ExitStack, clock: Clock | None = None) -> Rooms:
    """Open every room; ``stack`` closes them: first who takes in, then who keeps.

    Raises StoreUnavailable, RegistryError or OSError when a room cannot be opened.
    """
    clock = clock or SystemClock()
    data = settings.data
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    registry = Registry.open(settings.registry_url, settings.registry.refresh)
    stack.callback(registry.close)
    access = AccessRoom(registry, settings.access, clock, settings.public_url)
    region = Region(settings.region, clock)
    stack.callback(region.stop)
    verdicts = open_room(registry, settings.verdicts, clock)
    store = open_store(settings, registry=registry)
    stack.callback(store.close)
    journal = Journal(
        data / "journal",
        max_bytes=settings.journal.max_bytes,
        segment_bytes=settings.journal.segment_bytes,
        reserve_bytes=settings.journal.reserve_bytes,
    )
    stack.callback(journal.close)
    set_aside = SetAside(data / "set_aside.jsonl", settings.ingest.set_aside_bytes)
    liveness = Liveness(clock)
    promises = Promises()
    consumer = Consumer(
        journal,
        store,
        set_aside=set_aside,
        clock=clock,
        upkeep_every_seconds=settings.store.fold_every,
        catch_up_bytes_per_second=settings.store.catch_up,
        promise=lambda seconds: promises.back_within("consumer", seconds),
    )
    enrolment = EnrolmentRoom(registry, settings, clock)
    stack.callback(enrolment.close)
    ingest = IngestService(
        settings,
        agents=registry,
        journal=journal,
        liveness=liveness,
        set_aside=set_aside,
        clock=clock,
        on_heartbeat=enrolment.heard,
    )
    stack.callback(ingest.close)
    ingest.remember(store)
    ticker = Ticker([verdicts.tick, registry.flush_seen, access.tick, ingest.save, enrolment.tick])
    uptime = UptimeRoom(
        registry, store, liveness, verdicts.calendar, settings.uptime,
        heartbeat_seconds=settings.heartbeat, clock=clock,
    )  # fmt: skip
    stack.callback(uptime.close)
    watch = Ticker([uptime.tick], min(UPTIME_TICK_SECONDS, settings.uptime.minute / 4))
    consumer.add_listener(verdicts, may_concern, verdicts.settle)
    consumer.add_listener(uptime, uptime.hears)
    stack.callback(consumer.stop)
    stack.callback(ticker.stop)
    stack.callback(watch.stop)
    messages = MessageRoom(
        registry, settings.messages, verdicts.calendar.time_zone, public_url=settings.public_url, clock=clock
    )
    incidents = IncidentRoom(
        registry, verdicts, uptime, liveness, settings.incidents, clock=clock, on_change=messages.on_change
    )
    consumer.add_listener(incidents, incidents.hears)
    alarm = Ticker([incidents.tick], settings.incidents.every)
    stack.callback(messages.stop)
    stack.callback(alarm.stop)
    tickets, responder = open_far_end(
        settings.responder, data, stack, registry=registry, verdicts=verdicts, clock=clock
    )
    if tickets is not None:
        consumer.add_listener(tickets, may_concern)
    icmpv6 = open_icmpv6(settings.responder, data, stack)
    reports = Gatherer(registry, verdicts, settings.uptime)
    if settings.reports.schedule:
        start_mailing(Mailer(registry, reports, settings.reports, settings.messages.channels), stack)
    terminals = TerminalRoom(
        registry,
        settings.terminals,
        verdicts.plans,
        lambda batch: journal.append(None, batch).result(),
        clock,
    )
    board = Board(
        registry, store, verdicts, uptime,
        refresh_seconds=settings.web.refresh, open_incidents=incidents.book.open_now,
    )  # fmt: skip
    stack.callback(board.stop)
    events = Events(board, settings.web.streams, settings.web.keep_alive)
    return Rooms(
        settings,
        clock,
        registry,
        access,
        region,
        enrolment,
        journal,
        store,
        set_aside,
        liveness,
        ingest,
        consumer,
        verdicts,
        uptime,
        ticker,
        watch,
        tickets,
        board,
        events,
        terminals,
        reports,
        incidents,
        messages,
        alarm,
        icmpv6,
        promises,
        responder,
    )


def routes_of(rooms: Rooms) -> Sequence[BaseRoute]:
    """Every route of every room, each behind the guard. Raises UnguardedRoute for one without permission."""
    every: list[BaseRoute] = [
        *rooms.ingest.routes(),
        *access_routes(rooms.access, rooms.settings.notice),
        *region_routes(rooms.region, rooms.settings.notice),
        *metrics_routes(rooms),
        *health_routes(rooms),
        *enrolment_routes(rooms.enrolment, rooms.settings),
        *package_routes(rooms.enrolment.packages, rooms.registry, rooms.settings.packages),
        *ticket_routes(rooms),
        *icmpv6_routes(rooms, rooms.icmpv6),
        *api_routes(rooms),
        *county_routes(rooms),
        *enrolment_api(rooms.enrolment, rooms.registry, rooms.settings),
        *agent_page_routes(rooms, rooms.settings.notice),
        *configuration_page_routes(rooms, rooms.settings.notice),
        *upgrade_api(rooms.enrolment, rooms.registry, rooms.settings.packages),
        *incident_api_routes(rooms),
        *incident_page_routes(rooms, rooms.settings.notice),
        *silence_page_routes(rooms, rooms.settings.notice),
        *fault_report_routes(rooms),
        *readiness_routes(rooms, rooms.settings.notice),
        *terminal_routes(rooms.terminals, rooms.registry, rooms.settings.notice),
        *report_routes(rooms.registry, rooms.reports, rooms.settings.reports, rooms.settings.notice),
        *operation_routes(rooms, rooms.settings.notice),
        *page_routes(rooms),
    ]
    every += document_routes(every, rooms.settings.notice)
    return guarded(every, rooms.access)


def make_app(
    settings: CollectorSettings, clock: Clock | None = None, on_ready: Callable[[Rooms], None] | None = None
) -> Starlette:
    """The collector as one ASGI application. Its lifespan opens the rooms and closes them."""
    return FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(settings, clock, on_ready),
        exception_handlers={
            Answer: answer_refusal,
            RequestValidationError: answer_invalid,
            HTTPException: answer_http,
            ClientDisconnect: answer_broken_off,
            HTTPStatus.NOT_FOUND: answer_missing,
            Exception: answer_broken,
        },
    )


def _lifespan(
    settings: CollectorSettings, clock: Clock | None, on_ready: Callable[[Rooms], None] | None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with ExitStack() as stack:
            rooms = await run_in_threadpool(open_rooms, settings, stack, clock)
            app.router.routes.extend(routes_of(rooms))
            rooms.consumer.start()
            rooms.ticker.start()
            rooms.uptime.start()
            rooms.watch.start()
            rooms.region.start()
            rooms.messages.start()
            rooms.alarm.start()
            rooms.board.start()
            app.state.before_shutdown = [rooms.events.end]
            if on_ready is not None:
                on_ready(rooms)
            watching = asyncio.create_task(_feed(Watchdog(rooms.promises, watchdog_seconds())))
            stack.callback(watching.cancel)
            notify(READY)
            stack.callback(notify, STOPPING)
            yield

    return lifespan


async def _feed(watchdog: Watchdog) -> None:
    """Tell the service manager that the collector lives. On the event loop, so that its hanging tells too."""
    while watchdog.every_seconds is not None:
        await asyncio.sleep(watchdog.every_seconds)
        watchdog.feed()
