"""What an agent and the far end of its ICMPv6 checks say to each other: one datagram asks, one answers.

No datagram is answered without a ticket, and what comes back is never larger than what came, so that the far
end amplifies nothing. Pure.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
import struct

import msgspec

PATH = "/api/v1/ipv6/tickets"
TICKET_BYTES = 32
SMALLEST_MTU = 1280
"""RFC 8200 5."""
EXCHANGE_BYTES = 1600
"""Of the whole IPv6 packet that check 9 exchanges."""
LARGE_BYTES = 1400
"""Of the packet that is told to be too big: it fits every path that carries Ethernet's 1500, tunnels too."""
ERRORS = (
    (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6),
    (2, 0),
    (3, 0),
    (4, 1), (4, 2),
)  # fmt: skip
"""ICMPv6 errors (type, code) that must pass: RFC 4890 4.3.1."""

_ASK = struct.Struct("!4sBBBBH")
_ANSWER = struct.Struct("!4sBB2x")
_TICKET = struct.Struct("!I12s")
_ASK_MAGIC, _ANSWER_MAGIC = b"XT6?", b"XT6!"


class Kind(enum.IntEnum):
    """What is asked for."""

    REPEAT = 1
    """Send as many bytes back."""
    ERROR = 2
    """Send the ICMPv6 error ``type``, ``code`` that quotes this very datagram."""
    PING = 3
    """Send an echo request, and say whether a reply came."""
    CONNECT = 4
    """Open a TCP connection to ``port`` of the sender, and say whether that worked."""


LEAST_BYTES = {Kind.REPEAT: 42, Kind.ERROR: 64, Kind.PING: 160, Kind.CONNECT: 640}
"""Of each kind of question: what it makes the far end send, IP headers included, is never more. A connection
that is won and ended is six packets of 80 bytes at most, and one that is not a SYN each second."""


class Ask(msgspec.Struct, frozen=True):
    """One question. ``number`` tells questions of one socket apart."""

    kind: Kind
    ticket: bytes
    type: int = 0
    code: int = 0
    port: int = 0
    number: int = 0


class Grant(msgspec.Struct, frozen=True):
    """Where the far end is, and the ticket that it wants to see, in hexadecimal."""

    host: str
    port: int
    ticket: str


def encode_ask(ask: Ask, size: int = 0) -> bytes:
    """The datagram, filled up to ``size`` bytes, and to what its kind must have."""
    head = _ASK.pack(_ASK_MAGIC, ask.kind, ask.type, ask.code, ask.number, ask.port) + ask.ticket
    return head.ljust(max(size, LEAST_BYTES[ask.kind]), b"\0")


def decode_ask(data: bytes) -> Ask | None:
    """The other way round; None for anything else, and for what is shorter than its kind must be."""
    if len(data) < _ASK.size + TICKET_BYTES:
        return None
    magic, kind, icmp_type, code, number, port = _ASK.unpack_from(data)
    if magic != _ASK_MAGIC or kind not in set(Kind) or len(data) < LEAST_BYTES[Kind(kind)]:
        return None
    ticket = data[_ASK.size : _ASK.size + TICKET_BYTES]
    return Ask(Kind(kind), ticket, icmp_type, code, port, number)


def encode_answer(number: int, *, yes: bool, size: int = 0) -> bytes:
    """An answer, filled up to ``size`` bytes."""
    return _ANSWER.pack(_ANSWER_MAGIC, number, yes).ljust(size, b"\0")


def decode_answer(data: bytes) -> tuple[int, bool] | None:
    """Number and answer; None for anything else."""
    if len(data) < _ANSWER.size:
        return None
    magic, number, yes = _ANSWER.unpack_from(data)
    return (number, bool(yes)) if magic == _ANSWER_MAGIC else None


def make_ticket(key: bytes, until: int) -> bytes:
    """A ticket that is good until a Unix time."""
    body = _TICKET.pack(until, secrets.token_bytes(12))
    return body + _mac(key, body)


def ticket_holds(key: bytes, ticket: bytes, now: float) -> bool:
    """It was made with ``key`` and its time has not passed."""
    body, mac = ticket[: _TICKET.size], ticket[_TICKET.size :]
    return hmac.compare_digest(mac, _mac(key, body)) and _TICKET.unpack(body)[0] >= now


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, b"ipv6 far end" + body, hashlib.sha256).digest()[: TICKET_BYTES - _TICKET.size]
