"""Opening this room in a collector: the responder's process, and the office that issues its tickets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
import sqlalchemy as sa

from collector.registry import Registry
from collector.responder.far_ends import Away, never
from collector.responder.ledger import Ledger
from collector.responder.office import TicketOffice
from collector.responder.process import ResponderProcess
from collector.responder.settings import ResponderSettings
from collector.responder.slot_room import SlotRoom, VerdictsOf
from collector.responder.ticket import KEY_FILE, load_key
from config.calendar import SchoolCalendar
from config.clock import Clock

log = logging.getLogger(__name__)


class Neighbours(Protocol):
    """The verdicts room and the calendar it judges by."""

    @property
    def calendar(self) -> SchoolCalendar: ...


def open_far_end(
    settings: ResponderSettings | None,
    data_directory: Path,
    stack: ExitStack,
    *,
    registry: Registry,
    verdicts: Neighbours,
    clock: Clock,
) -> tuple[TicketOffice | None, ResponderProcess | None]:
    """Start the responder (unless ``enabled: false``: then another machine runs it) and open the office.

    Neither without settings. Raises TicketError or ResponderFailed, one line each.
    """
    if settings is None:
        return None, None

    def now() -> datetime:
        return datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)

    ledger, process = Ledger(registry), None
    away: Away = never
    if settings.enabled:
        process = ResponderProcess(settings, data_directory, settling(ledger, now))
        stack.callback(process.stop)
        settings = msgspec.structs.replace(settings, port=process.start())
        away = process.away
    key = load_key(data_directory / KEY_FILE)
    judge = VerdictsOf(verdicts)
    slots = SlotRoom(settings, ledger, registry, judge, verdicts.calendar, salt=key, now=now, away=away)
    return TicketOffice(settings, key, slots=slots), process


def settling(ledger: Ledger, now: Callable[[], datetime]) -> Callable[[str, int | None], None]:
    """What writes down that a test began (None), or that it is over and moved so much."""

    def settle(test_id: str, moved_bytes: int | None) -> None:
        try:
            if moved_bytes is None:
                ledger.begun(test_id)
            else:
                ledger.moved(test_id, moved_bytes, now())
        except sa.exc.SQLAlchemyError as error:
            log.warning("capacity test not settled test=%s error=%s", test_id, error)

    return settle
