"""Evidence: what one observation says about the capacity of one line, and since when."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Literal

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


class Evidence(msgspec.Struct, frozen=True):
    """One bound on one line, rates in bit/s at the IP layer.

    ``judges`` is False for what is shown but never counts (the path did not leave by a declared line).
    ``subject`` is the id of the line, or the name of the port, that it speaks of.
    """

    kind: EvidenceKind
    subject: str
    at: datetime
    direction: Literal["down", "up", "both"] = "both"
    lower_bits_per_second: int | None = None
    upper_bits_per_second: int | None = None
    judges: bool = True
    note: str = ""
