"""The rooms of one collector, as the routes and services of each see the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.access.region import Region
from collector.access.room import AccessRoom
from collector.enrolment.room import EnrolmentRoom
from collector.incidents.room import IncidentRoom
from collector.ingest.consumer import Consumer
from collector.ingest.journal import Journal
from collector.ingest.liveness import Liveness
from collector.ingest.service import IngestService
from collector.ingest.set_aside import SetAside
from collector.messages.room import MessageRoom
from collector.registry import Registry
from collector.reports.content import Gatherer
from collector.responder.icmpv6_routes import FarEndOffice
from collector.responder.office import TicketOffice
from collector.responder.process import ResponderProcess
from collector.settings import CollectorSettings
from collector.store.interface import Store
from collector.terminals.room import TerminalRoom
from collector.uptime.room import UptimeRoom
from collector.verdicts.room import VerdictRoom
from collector.verdicts.ticker import Ticker
from collector.web.board import Board
from collector.web.events import Events
from config.clock import Clock
from config.watchdog import Promises


@dataclass(frozen=True)
class Rooms:
    """What a room may look into. A room that comes later adds one line here and one in ``open_rooms``."""

    settings: CollectorSettings
    clock: Clock
    registry: Registry
    access: AccessRoom
    region: Region
    enrolment: EnrolmentRoom
    journal: Journal
    store: Store
    set_aside: SetAside
    liveness: Liveness
    ingest: IngestService
    consumer: Consumer
    verdicts: VerdictRoom
    uptime: UptimeRoom
    ticker: Ticker
    watch: Ticker
    tickets: TicketOffice | None
    board: Board
    events: Events
    terminals: TerminalRoom
    reports: Gatherer
    incidents: IncidentRoom
    messages: MessageRoom
    alarm: Ticker
    icmpv6: FarEndOffice | None = None
    promises: Promises = field(default_factory=Promises)
    """When the threads that must not hang will be back."""
    responder: ResponderProcess | None = None
