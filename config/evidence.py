"""Evidence: what one observation says about the capacity of one line, and since when."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec


class EvidenceKind(enum.Enum):
    """How a bound was found; the table in ARCHITECTURE.md says what each bounds and how long it counts."""

    PASSIVE_PEAK = "passive_peak"
    PORT_SPEED = "port_speed"
    SEARCH = "search"
    SEARCH_LIMITED = "search_limited"
    VERIFY_PASSED = "verify_passed"
    VERIFY_FAILED = "verify_failed"
    PLATEAU = "plateau"
    DECLARED = "declared"
    OBSERVED = "observed"


class Uplink(msgspec.Struct, frozen=True, tag="uplink"):
    """How an uplink of the school was seen. ``next_hop`` is the address of its own default route's router."""

    up: bool | None = None
    port_type: str | None = None
    next_hop: str | None = None


class AccessPoints(msgspec.Struct, frozen=True, tag="access_points"):
    """How many of the installed access points a wireless controller has online."""

    online: int
    installed: int


class Ipv6Level(msgspec.Struct, frozen=True, tag="ipv6_level"):
    """The IPv6 readiness level of a line, 0 to 4, between what is shown and what is ruled out."""

    at_least: int = 0
    at_most: int = 4


class Declared(msgspec.Struct, frozen=True, tag="declared"):
    """What somebody declared; never counted as measured."""

    what: str
    value: str
    declared_by: str = ""


Observed: TypeAlias = Uplink | AccessPoints | Ipv6Level | Declared


class Evidence(msgspec.Struct, frozen=True):
    """One bound on one line, rates in bit/s at the IP layer.

    ``judges`` is False for what is shown but never counts (the path did not leave by a declared line).
    ``about`` says what it speaks of; ``subject`` is the id of that line, «device/port» of that port, or the
    device's id. ``observed`` holds what is no rate (kinds OBSERVED and DECLARED).
    """

    kind: EvidenceKind
    subject: str
    at: datetime
    direction: Literal["down", "up", "both"] = "both"
    lower_bits_per_second: int | None = None
    upper_bits_per_second: int | None = None
    judges: bool = True
    note: str = ""
    about: Literal["line", "trunk_port", "access_port", "campus"] = "line"
    observed: Observed | None = None
