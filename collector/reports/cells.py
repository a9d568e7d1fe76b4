"""What a report's tables are made of: columns, cells, and the numbers in them. Pure.

A cell is None where nothing is known: never zero, never an empty text that could be a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple, TypeAlias

from collector.reports.content import Stand
from collector.verdicts.totals import Total

Kind: TypeAlias = Literal["text", "count", "rate", "share", "time", "day"]
Cell: TypeAlias = str | int | float | datetime | date | None

MEGA = 1e6


class Column(NamedTuple):
    """A column: its heading, what it holds (rates in Mbit/s), and about how many characters wide it is."""

    heading: str
    kind: Kind = "text"
    width: int = 14


class Sheet(NamedTuple):
    """A table with a name for files and a title for people."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def between(total: Total) -> tuple[float | None, float | None]:
    """The share that meets it: what is unknown may be on either side."""
    if not total.schools:
        return None, None
    return total.met / total.schools, (total.met + total.unknown) / total.schools


def known(stand: Stand) -> tuple[float | None, float | None]:
    """The ends that the verdict's own words name: of what all lines or ports come to together."""
    ends: dict[str, float] = {}
    for reason in stand.judged.verdict.reasons if stand.judged else ():
        if reason.code in {"reaches", "falls_short", "between"}:
            ends |= {name: float(v) for name, v in reason.values.items() if name in ("lower", "upper")}
    return mega(ends.get("lower")), mega(ends.get("upper"))


def mega(bits_per_second: float | None) -> float | None:
    """In Mbit/s."""
    return None if bits_per_second is None else bits_per_second / MEGA


def milli(seconds: float | None) -> float | None:
    """In milliseconds."""
    return None if seconds is None else seconds * 1000
