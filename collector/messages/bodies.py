"""What a message says before it is put into words: kept as JSON in the outbox, rendered when it is sent."""

from __future__ import annotations

from datetime import date
from typing import TypeAlias

import msgspec

from collector.incidents.model import Change, Incident


class ChangeBody(msgspec.Struct, frozen=True, tag_field="type", tag="change"):
    """Something happened to an incident."""

    change: Change


class DigestBody(msgspec.Struct, frozen=True, tag_field="type", tag="digest"):
    """The state of the day: what is open, what ended within a day, what nobody knows."""

    day: date
    open: tuple[Incident, ...] = ()
    resolved: tuple[Incident, ...] = ()
    unknown_targets: int = 0
    unknown_schools: int = 0
    undelivered: int = 0


class TrialBody(msgspec.Struct, frozen=True, tag_field="type", tag="trial"):
    """``notify test``."""

    channel: str


Body: TypeAlias = ChangeBody | DigestBody | TrialBody


def encode(body: Body) -> str:
    """As JSON text."""
    return msgspec.json.encode(body).decode()


def decode(text: str) -> Body:
    """From JSON text. Raises msgspec.DecodeError."""
    body: Body = msgspec.json.decode(text, type=Body)
    return body
