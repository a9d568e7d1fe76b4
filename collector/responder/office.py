"""Who gets a ticket, and for how much: the policy, without a network."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from agent.capacity.estimate import VERIFY_HEADROOM
from agent.capacity.tcp import MOST_UNSENT_BYTES
from collector.responder.denied import Denied
from collector.responder.far_ends import FarEnd, FarEnds
from collector.responder.ledger import GrantedTest
from collector.responder.needs import Need
from collector.responder.settings import ResponderSettings
from collector.responder.slot_room import Asked, Chosen, SlotRoom
from collector.responder.slots import SETUP_SECONDS, Purpose
from collector.responder.ticket import Ticket, new_nonce, sign
from config.points import Point
from config.units import format_rate

HOUR_SECONDS = 3600.0
HOLDER = re.compile("[0-9a-f]{64}")
SETUP_RATE = 10_000_000_000
"""A search without a rate is reckoned as one of a line of 10 Gbit/s."""
SEARCH_SHARE = 0.25
"""The part of a school's month that one search may move. Its rate for all of its time may be more than a
month has, and most settle in 1.6 s, which at 10 Gbit/s are 2 GB. One that its bytes end gives a lower bound.
"""


class TicketRequest(msgspec.Struct, frozen=True):
    """What an agent asks for. ``bits_per_second``: the rate to verify, or the most a search shall go to.

    Mode «due» leaves it to the collector which test of which of the ``lines`` and ``families`` it is.
    ``now``: somebody waits for it; ``force``: in lessons and beyond the month's bytes too. Method «iperf3»
    asks for a slot alone, of so many ``seconds`` at most: its server takes no tickets.
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
    method: Literal["tcp", "iperf3"] = "tcp"
    seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None


class TestOver(msgspec.Struct, frozen=True):
    """A test is over, or never began, after so many bytes; None: its agent cannot tell."""

    __test__ = False

    test_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    bytes: Annotated[int, msgspec.Meta(ge=0, le=10**15)] | None = None


class Ordered(msgspec.Struct, frozen=True):
    """The test that a ticket is for. ``bits_per_second`` is what a verify run asks about, a search's cap."""

    direction: Literal["down", "up"]
    family: Literal["ipv4", "ipv6"]
    mode: Literal["search", "verify"]
    line: str | None
    bits_per_second: int | None
    why: str = ""
    force: bool = False


class Address(msgspec.Struct, frozen=True):
    """A responder and where it listens."""

    id: str
    host: str
    port: int


class Grant(msgspec.Struct, frozen=True):
    """A ticket, or a slot without one, and what it allows."""

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
    """Issues the tickets of a county's responders. Without ``slots`` every test asked for is granted."""

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
        self._far_ends = FarEnds(settings)
        self._asked: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def issue(self, agent: str, school: str, request: TicketRequest, host: str) -> Grant:
        """A grant for that agent. ``host`` is the name by which it reached us. Raises Denied."""
        self._refuse_unservable(request)
        chosen = self._chosen(school, request)
        self._count(agent)
        ticket = self._ticket(agent, school, chosen, request)
        if self._slots is not None:
            heard = chosen.far_end.heard and request.method == "tcp"
            self._slots.reserve(self._reserved(ticket, chosen.far_end), chosen, heard=heard)
        far_end, need = chosen.far_end, chosen.need
        return Grant(
            ticket=sign(ticket, self._key) if request.method == "tcp" else "",
            responder=Address(far_end.id, far_end.host_for(ticket.family, host), far_end.port),
            bytes=ticket.bytes,
            seconds=ticket.seconds,
            streams=ticket.streams,
            bits_per_second=ticket.bits_per_second,
            test=Ordered(
                ticket.direction, ticket.family, ticket.mode, ticket.line, ticket.bits_per_second, need.why,
                chosen.purpose.forced,
            ),
            warning=chosen.warning,
            test_id=ticket.nonce,
        )  # fmt: skip

    def over(self, school: str, over: TestOver) -> None:
        """An agent of that school says that a test is over."""
        if self._slots is not None:
            self._slots.over(school, over.test_id, over.bytes)

    def order(self, school_id: str, at: datetime, *, forced: bool, tests: int) -> bool:
        """Order tests of every line of a school, which its agent gets when it asks. False without slots."""
        if self._slots is not None:
            self._slots.order(school_id, at, forced=forced, tests=tests)
        return self._slots is not None

    def on_points(self, school_id: str, points: Sequence[Point]) -> None:
        """Hear of every point, for the slots."""
        if self._slots is not None:
            self._slots.on_points(school_id, points)

    def _chosen(self, school: str, request: TicketRequest) -> Chosen:
        if request.mode == "due":
            if self._slots is None:
                raise Denied(409, "this collector grants no tests by itself")
            families = request.families or ("ipv4",)
            return self._slots.choose(school, request.lines, families, request.responder)
        if request.direction is None or request.family is None:
            raise Denied(400, "direction and family are missing")
        need = Need(request.line or "", request.direction, request.mode, request.bits_per_second, "", rank=0)
        purpose = Purpose(urgent=True, in_person=request.now, forced=request.force)
        if self._slots is None:
            far_end = self._far_ends.of(request.responder, None, request.method)
            return Chosen(need, request.family, purpose, far_end)
        asked = Asked(need, request.family, purpose, request.responder, request.method)
        return self._slots.allow_asked(school, asked)

    def _ticket(self, agent: str, school: str, chosen: Chosen, request: TicketRequest) -> Ticket:
        settings, need = self._settings, chosen.need
        rate = self._capped(need, chosen.far_end)
        seconds = float(settings.search if need.mode == "search" else settings.verify)
        if request.method == "iperf3":
            seconds = min(request.seconds or seconds, float(settings.search))
        streams = min(settings.max_streams, streams_for(rate))
        now = self._wall()
        return Ticket(
            agent=agent,
            school=school,
            line=need.line or None,
            responder=chosen.far_end.id,
            direction=need.direction,
            family="ipv6" if chosen.family == "ipv6" else "ipv4",
            mode=need.mode,
            bytes=self._most_bytes(chosen, request.method, _load_of(rate, seconds), streams),
            seconds=seconds,
            streams=streams,
            bits_per_second=rate,
            issued=now,
            until=now + float(settings.ticket_valid),
            holder=request.holder,
            nonce=new_nonce(),
        )

    def _most_bytes(self, chosen: Chosen, method: str, load: int, streams: int) -> int:
        """What a test may move: its load, and what may wait unsent in the sender's buffers.

        The month bounds a search unless somebody forces it. No bytes end an iperf3 test: all that it could
        move is set aside.
        """
        if chosen.need.mode == "search" and method == "tcp" and not chosen.purpose.forced:
            load = min(load, round(SEARCH_SHARE * self._settings.slots.bytes_per_month))
        return min(int(self._settings.max_bytes), load + 2 * MOST_UNSENT_BYTES * streams)

    def _reserved(self, ticket: Ticket, far_end: FarEnd) -> GrantedTest:
        """What the ledger keeps: until when it is surely over, and what it may take of the line."""
        now = datetime.fromtimestamp(ticket.issued, UTC)
        most_seconds = float(self._settings.ticket_valid) + SETUP_SECONDS + ticket.seconds
        return GrantedTest(
            ticket.nonce,
            ticket.school,
            ticket.line or "",
            ticket.responder,
            ticket.direction,
            ticket.family,
            ticket.mode,
            _taken(ticket, far_end.most_rate),
            ticket.bytes,
            now,
            now + timedelta(seconds=most_seconds),
        )

    def _capped(self, need: Need, far_end: FarEnd) -> int | None:
        """A search goes no further than the responder and its line allow."""
        most = far_end.most_rate if self._slots is not None and need.mode == "search" else None
        rates = [rate for rate in (need.bits_per_second, self._settings.max_rate, most) if rate is not None]
        return int(min(rates)) if rates else None

    def _refuse_unservable(self, request: TicketRequest) -> None:
        settings = self._settings
        if HOLDER.fullmatch(request.holder) is None:
            raise Denied(409, "holder is not a SHA-256 in 64 lower-case hexadecimal digits")
        if request.bits_per_second is not None and not 1000 <= request.bits_per_second <= 10**12:
            raise Denied(409, "bits_per_second is not between 1 kbit/s and 1 Tbit/s")
        if request.mode == "due" and request.method != "tcp":
            raise Denied(409, "what is due is tested by method tcp")
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


def _taken(ticket: Ticket, most: int | None) -> int:
    """What it takes of its far end's line, bit/s: a verify run paces above what it asks."""
    rate = ticket.bits_per_second or most or SETUP_RATE
    paced = round(rate * VERIFY_HEADROOM) if ticket.mode == "verify" else rate
    return paced if most is None else max(rate, min(paced, most))


def _load_of(rate: int | None, seconds: float) -> int:
    """What the rate moves in that time, in bytes, and a tenth more."""
    return round((rate or SETUP_RATE) * seconds / 8 * 1.1)
