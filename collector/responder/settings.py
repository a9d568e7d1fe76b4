"""What a responder allows and how it is reached: every bound with its default."""

from __future__ import annotations

import msgspec

from config.units import BitsPerSecond, Bytes, Seconds


class ResponderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The block ``responder`` of the collector's settings.

    ``id`` is what lines name in their ``responders``. ``host`` is what agents are told to connect to; empty
    means the name by which they reached the collector. ``enabled: false`` only issues tickets, for a
    responder that runs alone with the same key and ``id``. ``max_pending`` bounds connections that have
    not shown a ticket yet, ``handshake`` how long each may take. ``max_rate`` caps a search; None does not.
    """

    id: str = "county"
    enabled: bool = True
    listen: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104
    port: int = 8081
    host: str = ""
    max_tests: int = 4
    max_streams: int = 8
    max_bytes: Bytes = Bytes(16 * 10**9)
    max_rate: BitsPerSecond | None = None
    search: Seconds = Seconds(10)
    verify: Seconds = Seconds(4)
    ticket_valid: Seconds = Seconds(60)
    tickets_per_hour: int = 60
    handshake: Seconds = Seconds(5)
    max_pending: int = 256


def sent(settings: ResponderSettings) -> bytes:
    """Settings as a parent hands them to its responder: one line of JSON with plain numbers."""
    return msgspec.json.encode(settings, enc_hook=lambda quantity: quantity.real)


def received(line: bytes) -> ResponderSettings:
    """The other way round."""
    return msgspec.json.decode(line, type=ResponderSettings, dec_hook=lambda kind, number: kind(number))
