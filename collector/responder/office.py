"""Who gets a ticket, and for how much: the policy, without a network."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent.capacity.tcp import MOST_UNSENT_BYTES
from collector.responder.denied import Denied
from collector.responder.ledger import GrantedTest
from collector.responder.settings import ResponderSettings
from collector.responder.slot_room import Chosen, SlotRoom
from collector.responder.slots import Purpose
from collector.responder.ticket import KEY_FILE, Ticket, load_key, new_nonce, sign
from config.points import Point
from config.units import format_rate

HOUR_SECONDS = 3600.0
SETUP_RATE = 10_000_000_000
"""A search without a rate may move what a line of 10 Gbit/s carries in its time."""


class TicketRequest(msgspec.Struct, frozen=True):
    """What an agent asks for. ``bits_per_second``: the rate to verify, or the most a search shall go to.

    Mode «due» leaves it to the collector which test of which of the ``lines`` and ``families`` it is.
    ``after``: the id of this agent's last test, which is over. ``now``: somebody waits for it; ``force``: in
    lessons and beyond the month's bytes too.
    """

    mode: Literal["search", "verify", "due"]
    holder: str
    direction: Literal["down", "up"] | None = None
    family: Literal["ipv4", "ipv6"] | None = None
    line: str | None = None
    responder: str | None = None
    bits_per_second: int | None = None
    lines: tuple[str, ...] = ()
    families: tuple[Literal["ipv4", "ipv6"], ...] = ()
    now: bool = False
    force: bool = False
    after: str = ""


class Ordered(msgspec.Struct, frozen=True):
    """The test that a ticket is for. ``bits_per_second`` is what a verify run asks about, a search's cap."""

    direction: Literal["down", "up"]
    family: Literal["ipv4", "ipv6"]
    mode: Literal["search", "verify"]
    line: str | None
    bits_per_second: int | None
    why: str = ""


class Address(msgspec.Struct, frozen=True):
    """A responder and where it listens."""

    id: str
    host: str
    port: int


class Grant(msgspec.Struct, frozen=True):
    """A ticket and what it allows."""

    ticket: str
    responder: Address
    bytes: int
    seconds: float
    streams: int
    bits_per_second: int | None
    test: Ordered | None = None
    warning: str = ""
    test_id: str = ""


def streams_for(bits_per_second: int | None) -> int:
    """TCP streams by rate: 1 to 50 Mbit/s, 2 to 200 Mbit/s, 4 above and where the rate is not known."""
    limits = ((50_000_000, 1), (200_000_000, 2))
    if bits_per_second is None:
        return 4
    return next((streams for limit, streams in limits if bits_per_second <= limit), 4)


class TicketOffice:
    """Issues the tickets of one responder. Without ``slots`` every test that is asked for is granted."""

    def __init__(
        self,
        settings: ResponderSettings,
        key: bytes,
        wall: Callable[[], float] = time.time,
        slots: SlotRoom | None = None,
    ) -> None:
        self._settings = settings
        self._key = key
        self._wall = wall
        self._slots = slots
        self._asked: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def issue(self, agent: str, school: str, request: TicketRequest, host: str) -> Grant:
        """A grant for that agent. ``host`` is the name by which it reached us. Raises Denied."""
        settings = self._settings
        self._refuse_unservable(request)
        if self._slots is not None and request.after:
            self._slots.over(school, request.after)
        test, chosen, warning = self._test_for(school, request)
        self._count(agent)
        now = self._wall()
        ticket = self._ticket(agent, school, test, request.holder, now)
        if self._slots is not None:
            purpose = chosen.purpose if chosen else Purpose(True, request.now, request.force)
            self._slots.reserve(
                self._reserved(ticket, self._slots), purpose, chosen.order if chosen else None
            )
        return Grant(
            ticket=sign(ticket, self._key),
            responder=Address(settings.id, self._host_for(test, host), settings.port),
            bytes=ticket.bytes,
            seconds=ticket.seconds,
            streams=ticket.streams,
            bits_per_second=ticket.bits_per_second,
            test=msgspec.structs.replace(test, bits_per_second=ticket.bits_per_second),
            warning=warning,
            test_id=ticket.nonce,
        )

    def _host_for(self, test: Ordered, reached: str) -> str:
        of_family = self._settings.host_ipv6 if test.family == "ipv6" else ""
        return of_family or self._settings.host or reached

    def order(self, school_id: str, at: datetime, *, forced: bool, tests: int) -> bool:
        """Order tests of every line of a school, which its agent gets when it asks. False without slots."""
        if self._slots is not None:
            self._slots.order(school_id, at, forced=forced, tests=tests)
        return self._slots is not None

    def on_points(self, school_id: str, points: Sequence[Point]) -> None:
        """Hear of every point, for the slots."""
        if self._slots is not None:
            self._slots.on_points(school_id, points)

    def _test_for(self, school: str, request: TicketRequest) -> tuple[Ordered, Chosen | None, str]:
        if request.mode == "due":
            if self._slots is None:
                raise Denied(409, "this collector grants no tests by itself")
            chosen = self._slots.choose(school, request.lines, request.families or ("ipv4",))
            need = chosen.need
            family: Literal["ipv4", "ipv6"] = "ipv6" if chosen.family == "ipv6" else "ipv4"
            test = Ordered(need.direction, family, need.mode, need.line, need.bits_per_second, need.why)
            return test, chosen, chosen.warning
        if request.direction is None or request.family is None:
            raise Denied(400, "direction and family are missing")
        warning = ""
        if self._slots is not None:
            warning = self._slots.allow_asked(school, request.line, now=request.now, forced=request.force)
        rate = request.bits_per_second
        return Ordered(request.direction, request.family, request.mode, request.line, rate), None, warning

    def _ticket(self, agent: str, school: str, test: Ordered, holder: str, now: float) -> Ticket:
        settings = self._settings
        rate = self._capped(test.bits_per_second, test.mode)
        seconds = float(settings.search if test.mode == "search" else settings.verify)
        streams = min(settings.max_streams, streams_for(rate))
        return Ticket(
            agent=agent,
            school=school,
            line=test.line,
            responder=settings.id,
            direction=test.direction,
            family=test.family,
            mode=test.mode,
            bytes=min(int(settings.max_bytes), _bytes_of(rate, seconds, streams)),
            seconds=seconds,
            streams=streams,
            bits_per_second=rate,
            issued=now,
            until=now + float(settings.ticket_valid),
            holder=holder,
            nonce=new_nonce(),
        )

    def _reserved(self, ticket: Ticket, slots: SlotRoom) -> GrantedTest:
        now = datetime.fromtimestamp(ticket.issued, UTC)
        return GrantedTest(
            ticket.nonce,
            ticket.school,
            ticket.line or "",
            ticket.direction,
            ticket.family,
            ticket.mode,
            ticket.bits_per_second or slots.most_rate or SETUP_RATE,
            ticket.bytes,
            now,
            slots.reserved_until(now, float(self._settings.ticket_valid), ticket.seconds),
        )

    def _capped(self, wanted: int | None, mode: str) -> int | None:
        """A search goes no further than the responder and the county's line allow."""
        most = self._slots.most_rate if self._slots is not None and mode == "search" else None
        rates = [int(rate) for rate in (wanted, self._settings.max_rate, most) if rate is not None]
        return min(rates) if rates else None

    def _refuse_unservable(self, request: TicketRequest) -> None:
        settings = self._settings
        if request.responder not in (None, settings.id):
            raise Denied(409, f"there is no responder {request.responder!r}; allowed: {settings.id}")
        if len(request.holder) != 64:
            raise Denied(409, "holder is not a SHA-256 in hexadecimal")
        if request.bits_per_second is not None and not 1000 <= request.bits_per_second <= 10**12:
            raise Denied(409, "bits_per_second is not between 1 kbit/s and 1 Tbit/s")
        if request.mode == "verify" and not request.bits_per_second:
            raise Denied(409, "a verify run needs bits_per_second")
        over = settings.max_rate is not None and (request.bits_per_second or 0) > settings.max_rate
        if request.mode == "verify" and over:
            raise Denied(409, f"this responder serves at most {format_rate(settings.max_rate or 0)}")

    def _count(self, agent: str) -> None:
        with self._lock:
            self._count_one(agent, self._wall())

    def _count_one(self, agent: str, now: float) -> None:
        asked = self._asked.setdefault(agent, deque())
        while asked and asked[0] <= now - HOUR_SECONDS:
            asked.popleft()
        if len(asked) >= self._settings.tickets_per_hour:
            wait = max(1, round(asked[0] + HOUR_SECONDS - now))
            raise Denied(429, f"{len(asked)} tests in the last hour are the most allowed", wait)
        asked.append(now)


def _bytes_of(rate: int | None, seconds: float, streams: int) -> int:
    """What the rate moves in that time, a tenth more, and what may wait unsent in the sender's buffers."""
    return round((rate or SETUP_RATE) * seconds / 8 * 1.1) + 2 * MOST_UNSENT_BYTES * streams


def open_office(
    settings: ResponderSettings, data_directory: Path, slots: SlotRoom | None = None
) -> TicketOffice:
    """The office of a collector, with the key in its data directory. Raises TicketError, one line."""
    return TicketOffice(settings, load_key(data_directory / KEY_FILE), slots=slots)
