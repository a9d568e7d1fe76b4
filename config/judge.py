"""The judge: from a target, a school, evidence and a time to a verdict. Pure: no clock, file or network."""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Literal

import msgspec

from config.evidence import Evidence


class Answer(enum.Enum):
    """The three answers. Unknown is never shown as met."""

    MET = "met"
    NOT_MET = "not_met"
    UNKNOWN = "unknown"


class Reason(msgspec.Struct, frozen=True):
    """Why, or what else is worth knowing: a code that a catalogue has words for, and the values in them."""

    code: str
    values: dict[str, str | int | float] = {}


class Settles(msgspec.Struct, frozen=True):
    """The cheapest thing that would settle an unknown: a test of a line, or something to poll or declare."""

    code: str
    line: str | None = None
    direction: Literal["down", "up"] | None = None
    bits_per_second: int | None = None
    bytes: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What a target's verdict is for a school at a time.

    ``evidence`` decided (the deciding ones first); ``beside`` is shown and did not judge. ``needed`` is in
    bit/s, before the tolerance. ``counts`` is False for the row on delivery that stands beside an access
    target: it is shown and changes no total. ``quote`` is the plan's words.
    """

    plan: str
    school: str
    target: str
    kind: str
    answer: Answer
    needed: int | None
    evidence: tuple[Evidence, ...]
    beside: tuple[Evidence, ...]
    reasons: tuple[Reason, ...]
    settles: Settles | None
    quote: str
    deadline: date
    due: Literal["due", "overdue", "lapsed"]
    at: datetime
    counts: bool = True
