"""Who gets a ticket, and for how much: the policy, without a network."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.capacity.tcp import MOST_UNSENT_BYTES
from collector.responder.settings import ResponderSettings
from collector.responder.ticket import KEY_FILE, Ticket, load_key, new_nonce, sign

HOUR_SECONDS = 3600.0
SETUP_RATE = 10_000_000_000
"""A search without a rate may move what a line of 10 Gbit/s carries in its time."""


class TicketRequest(msgspec.Struct, frozen=True):
    """What an agent asks for. ``bits_per_second``: the rate to verify, or the most a search shall go to."""

    direction: Literal["down", "up"]
    family: Literal["ipv4", "ipv6"]
    mode: Literal["search", "verify"]
    holder: str
    line: str | None = None
    responder: str | None = None
    bits_per_second: int | None = None


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


class Denied(Exception):
    """No ticket: ``status`` 409 (never), 429 or 503 (ask again after ``retry_after_seconds``)."""

    def __init__(self, status: int, reason: str, retry_after_seconds: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


def streams_for(bits_per_second: int | None) -> int:
    """TCP streams by rate: 1 to 50 Mbit/s, 2 to 200 Mbit/s, 4 above and where the rate is not known."""
    limits = ((50_000_000, 1), (200_000_000, 2))
    if bits_per_second is None:
        return 4
    return next((streams for limit, streams in limits if bits_per_second <= limit), 4)


class TicketOffice:
    """Issues the tickets of one responder."""

    def __init__(
        self, settings: ResponderSettings, key: bytes, wall: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._key = key
        self._wall = wall
        self._asked: dict[str, deque[float]] = {}

    def issue(self, agent: str, school: str, request: TicketRequest, host: str) -> Grant:
        """A grant for that agent. ``host`` is the name by which it reached us. Raises Denied."""
        settings = self._settings
        self._refuse_unservable(request)
        self._count(agent)
        rate = _capped(request, settings.max_rate)
        seconds = float(settings.search if request.mode == "search" else settings.verify)
        streams = min(settings.max_streams, streams_for(rate))
        now = self._wall()
        ticket = Ticket(
            agent=agent,
            school=school,
            line=request.line,
            responder=settings.id,
            direction=request.direction,
            family=request.family,
            mode=request.mode,
            bytes=min(int(settings.max_bytes), _bytes_of(rate, seconds, streams)),
            seconds=seconds,
            streams=streams,
            bits_per_second=rate,
            issued=now,
            until=now + float(settings.ticket_valid),
            holder=request.holder,
            nonce=new_nonce(),
        )
        return Grant(
            ticket=sign(ticket, self._key),
            responder=Address(settings.id, settings.host or host, settings.port),
            bytes=ticket.bytes,
            seconds=ticket.seconds,
            streams=ticket.streams,
            bits_per_second=rate,
        )

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
            raise Denied(409, f"this responder serves at most {settings.max_rate} bit/s")

    def _count(self, agent: str) -> None:
        now = self._wall()
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


def _capped(request: TicketRequest, max_rate: int | None) -> int | None:
    rates = [int(rate) for rate in (request.bits_per_second, max_rate) if rate is not None]
    return min(rates) if rates else None


def open_office(settings: ResponderSettings, data_directory: Path) -> TicketOffice:
    """The office of a collector, with the key in its data directory. Raises TicketError, one line."""
    return TicketOffice(settings, load_key(data_directory / KEY_FILE))
