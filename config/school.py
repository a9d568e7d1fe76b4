"""A school, its campuses and its lines, as they are declared."""

from __future__ import annotations

from typing import Literal

import msgspec

from config.units import BitsPerSecond

Area = Literal["urban", "town", "rural"]
Level = Literal[
    "kindergarten", "primary", "junior", "nine_year", "complete", "senior", "vocational", "special",
    "teaching_point", "other_body",
]  # fmt: skip


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One uplink of a school.

    ``interface`` is the agent's name of the port it leaves by; None means the interface of the default route.
    ``responders`` are the ids of the responders that lie beyond this line.
    """

    id: str
    carrier: str = ""
    kind: Literal["internet", "education"] = "internet"
    interface: str | None = None
    contracted_down: BitsPerSecond | None = None
    contracted_up: BitsPerSecond | None = None
    medium: Literal["fibre", "copper", "wireless", "unknown"] = "unknown"
    responders: tuple[str, ...] = ()


class School(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A school as its county declares it."""

    id: str
    name: str = ""
    level: Level = "primary"
    area: Area = "rural"
    classes: int | None = None
    lines: tuple[Line, ...] = ()
