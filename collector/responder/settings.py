"""What a responder allows and how it is reached: every bound with its default."""

from __future__ import annotations

import msgspec

from config.units import BitsPerSecond, Bytes, Seconds


class ResponderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The far end of capacity tests."""

    id: str = "county"
    """What lines name in their ``responders``."""
    enabled: bool = True
    """false: only issue tickets, for a responder that runs alone with the same key and id."""
    listen: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104
    """Addresses, each for its own family."""
    port: int = 8081
    """Of the responder; 0 lets the system choose one."""
    host: str = ""
    """What agents are told to connect to; empty: the name by which they reached the collector."""
    max_tests: int = 4
    """At one time."""
    max_streams: int = 8
    """Of one test."""
    max_bytes: Bytes = Bytes(16 * 10**9)
    """Of one test."""
    max_rate: BitsPerSecond | None = None
    """Caps every test; absent: no cap."""
    search: Seconds = Seconds(10)
    """A search ends after that at the latest."""
    verify: Seconds = Seconds(4)
    """How long a verify run lasts."""
    ticket_valid: Seconds = Seconds(60)
    """How long a ticket may wait for its test."""
    tickets_per_hour: int = 60
    """For each agent."""
    handshake: Seconds = Seconds(5)
    """A connection that has not shown a ticket by then is closed."""
    max_pending: int = 256
    """Connections that have not shown a ticket yet."""


def sent(settings: ResponderSettings) -> bytes:
    """Settings as a parent hands them to its responder: one line of JSON with plain numbers."""
    return msgspec.json.encode(settings, enc_hook=lambda quantity: quantity.real)


def received(line: bytes) -> ResponderSettings:
    """The other way round."""
    return msgspec.json.decode(line, type=ResponderSettings, dec_hook=lambda kind, number: kind(number))
