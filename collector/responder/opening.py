"""Opening this room in a collector: the responder's process, and the office that issues its tickets."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from collector.responder.ledger import LEDGER_FILE, Ledger
from collector.responder.office import TicketOffice, open_office
from collector.responder.process import ResponderProcess
from collector.responder.settings import ResponderSettings
from collector.responder.slot_room import Schools, SlotRoom, VerdictsOf
from collector.responder.ticket import KEY_FILE, load_key
from config.calendar import SchoolCalendar
from config.clock import Clock, SystemClock


class Neighbours(Protocol):
    """The verdicts room and the calendar it judges by."""

    @property
    def calendar(self) -> SchoolCalendar: ...


def open_far_end(
    settings: ResponderSettings | None,
    data_directory: Path,
    stack: ExitStack,
    *,
    registry: Schools | None = None,
    verdicts: Neighbours | None = None,
    clock: Clock | None = None,
) -> TicketOffice | None:
    """Start the responder (unless ``enabled: false``: then another machine runs it) and open the office.

    With a registry and verdicts it grants by slots, else whatever is asked for. None without settings.
    Raises TicketError or ResponderFailed, one line each.
    """
    if settings is None:
        return None
    slots = None
    if registry is not None and verdicts is not None:
        slots = _open_slots(
            settings,
            data_directory,
            stack,
            registry=registry,
            verdicts=verdicts,
            clock=clock or SystemClock(),
        )
    if settings.enabled:
        report = (slots.responder_says,) if slots is not None else ()
        process = ResponderProcess(settings, data_directory, *report)
        stack.callback(process.stop)
        settings = msgspec.structs.replace(settings, port=process.start())
    return open_office(settings, data_directory, slots)


def _open_slots(
    settings: ResponderSettings,
    data_directory: Path,
    stack: ExitStack,
    *,
    registry: Schools,
    verdicts: Neighbours,
    clock: Clock,
) -> SlotRoom:
    ledger = Ledger(data_directory / LEDGER_FILE)
    stack.callback(ledger.close)
    return SlotRoom(
        settings.slots,
        ledger,
        registry,
        VerdictsOf(verdicts),
        verdicts.calendar,
        salt=load_key(data_directory / KEY_FILE),
        now=lambda: datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC),
        hears_responder=settings.enabled,
    )
