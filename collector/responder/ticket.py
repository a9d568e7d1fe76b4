"""One-use tickets: what a test may do, signed by the collector, checked by any responder that has its key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Literal

import msgspec

KEY_BYTES = 32
KEY_FILE = "responder.key"
MAX_TICKET_CHARACTERS = 1024
CLOCK_SLACK_SECONDS = 5.0
"""How far the clocks of collector and responder may lie apart."""


class TicketError(Exception):
    """A ticket that will not be served; the text is what the other end is told."""


class Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one test may do. ``holder`` is the SHA-256 of a secret that only the asking agent knows; times are
    seconds since 1970 UTC; rates are at the IP layer, None where nothing is paced.
    """

    agent: str
    school: str
    line: str | None
    responder: str
    direction: Literal["down", "up"]
    family: Literal["ipv4", "ipv6"]
    mode: Literal["search", "verify"]
    bytes: int
    seconds: float
    streams: int
    bits_per_second: int | None
    issued: float
    until: float
    holder: str
    nonce: str


_DECODER = msgspec.json.Decoder(Ticket)


def new_nonce() -> str:
    """128 random bits."""
    return secrets.token_hex(16)


def holder_of(secret: str) -> str:
    """What a ticket keeps of the secret that its holder will show."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def sign(ticket: Ticket, key: bytes) -> str:
    """The ticket as text: its JSON and an HMAC-SHA-256 over that, each in URL-safe base64."""
    body = msgspec.json.encode(ticket)
    return f"{_text(body)}.{_text(_seal(body, key))}"


def opened(text: str, key: bytes) -> Ticket:
    """Check the seal and read the ticket. Raises TicketError."""
    try:
        body, seal = (base64.b64decode(part, b"-_", validate=True) for part in _parts(text))
    except (ValueError, binascii.Error):
        raise TicketError("ticket malformed") from None
    if not hmac.compare_digest(seal, _seal(body, key)):
        raise TicketError("ticket not signed here")
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError:
        raise TicketError("ticket of another version") from None


def _parts(text: str) -> tuple[str, str]:
    body, dot, seal = text.partition(".")
    if len(text) > MAX_TICKET_CHARACTERS or not (body and dot and seal and text.isascii()):
        raise TicketError("ticket malformed")
    return body, seal


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii")


def _seal(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")


def load_key(file: Path) -> bytes:
    """The signing key, made on first use (mode 0600). Raises TicketError, one line."""
    try:
        _make_key(file)
        raw, mode = file.read_bytes(), file.stat().st_mode
    except OSError as error:
        raise TicketError(f"{file}: cannot be used as the responder's key: {error.strerror}") from None
    if mode & 0o077:
        raise TicketError(f"{file}: is readable by others; allowed is mode 0600")
    if len(raw) != KEY_BYTES:
        raise TicketError(f"{file}: holds {len(raw)} bytes; a key has {KEY_BYTES}")
    return raw


def _make_key(file: Path) -> None:
    """Put a whole key under its name at once, so that two starting processes never see half of one."""
    if file.exists():
        return
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
        _link(draft, file)
    finally:
        os.close(descriptor)
        draft.unlink()


def _link(draft: Path, file: Path) -> None:
    try:
        os.link(draft, file)
    except FileExistsError:
        return  # the other process was first: its key counts


class Gate:
    """What a responder checks of a ticket: seal, responder, time, holder, and that it is new.

    Nonces are kept in memory until their tickets expire; a ticket issued before this gate was made is
    refused, so that a restart opens no gap.
    """

    def __init__(self, key: bytes, responder: str, started: float) -> None:
        self._key = key
        self._responder = responder
        self._started = started
        self._used: dict[str, float] = {}

    def admit(self, text: str, secret: str, family: str, now: float) -> Ticket:
        """The ticket, now used up. Raises TicketError."""
        ticket = opened(text, self._key)
        self._check(ticket, secret, family, now)
        self._used = {
            nonce: until for nonce, until in self._used.items() if until >= now - CLOCK_SLACK_SECONDS
        }
        if ticket.nonce in self._used:
            raise TicketError("ticket used before")
        self._used[ticket.nonce] = ticket.until
        return ticket

    def _check(self, ticket: Ticket, secret: str, family: str, now: float) -> None:
        if not hmac.compare_digest(ticket.holder.encode(), holder_of(secret).encode()):
            raise TicketError("ticket of another agent")
        if ticket.responder != self._responder:
            raise TicketError("ticket for another responder")
        if ticket.family != family:
            raise TicketError(f"ticket for {ticket.family}")
        if now > ticket.until + CLOCK_SLACK_SECONDS:
            raise TicketError("ticket expired")
        if ticket.issued < self._started - CLOCK_SLACK_SECONDS or ticket.issued > now + CLOCK_SLACK_SECONDS:
            raise TicketError("ticket from another time")
