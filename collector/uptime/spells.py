"""Outages and flapping, from minutes in a row. Pure: tables and rules without I/O."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from collector.uptime.minutes import Strip

DOWN_MINUTES = 3
UP_MINUTES = 5
STATES = 21
"""Nagios keeps 21 states: 20 transitions."""
FLAPPING_FROM_PERCENT = 30.0
FLAPPING_BELOW_PERCENT = 20.0
OLDEST_WEIGHT, NEWEST_WEIGHT = 0.75, 1.25

_WORKS = b"udUD"
_DEAD = b"xpbc"
_WEIGHTS = tuple(
    OLDEST_WEIGHT + (NEWEST_WEIGHT - OLDEST_WEIGHT) * number / (STATES - 2) for number in range(STATES - 1)
)


class Spell(NamedTuple):
    """An outage, by minute numbers: ``end`` is the first minute that worked again, None while it goes on."""

    first: int
    end: int | None
    last_known: int
    """The minute after the last one that is known to be down."""


def outages(strip: Strip, down_minutes: int = DOWN_MINUTES, up_minutes: int = UP_MINUTES) -> list[Spell]:
    """Outages: from the first of so many down minutes in a row to the first of so many working ones in a row.

    An unknown minute breaks a row, both ways.
    """
    begins = re.compile(b"[%b]{%d}" % (_DEAD, down_minutes))
    ends = re.compile(b"[%b]{%d}" % (_WORKS, up_minutes))
    found, position = [], 0
    while begun := begins.search(strip.codes, position):
        over = ends.search(strip.codes, begun.end())
        position = over.start() if over else len(strip.codes)
        last_down = max(
            strip.codes.rfind(_DEAD[i : i + 1], begun.start(), position) for i in range(len(_DEAD))
        )
        found.append(
            Spell(
                strip.first + begun.start(),
                strip.first + over.start() if over else None,
                strip.first + last_down + 1,
            )
        )
    return found


def absences(strip: Strip, code: bytes, least_minutes: int = DOWN_MINUTES) -> list[Spell]:
    """When the agent alone was away, by the minutes' code: at least so many such minutes in a row."""
    found = re.finditer(b"%b{%d,}" % (code, least_minutes), strip.codes)
    return [Spell(strip.first + m.start(), strip.first + m.end(), strip.first + m.end()) for m in found]


def changed_percent(works: list[bool]) -> float:
    """Nagios's formula over the last 21 states: the weighted share of transitions, the newest weighs most.

    Fewer states than that have changed less often than they could. Source: Nagios Core, «Detection and
    Handling of State Flapping».
    """
    last = works[-STATES:]
    changes = [before is not after for before, after in itertools.pairwise(last)]
    weighted = sum(w for w, changed in zip(reversed(_WEIGHTS), reversed(changes), strict=False) if changed)
    return 100.0 * weighted / (STATES - 1)


def flapping(strip: Strip) -> Iterator[tuple[int, int | None]]:
    """When it flapped: from 30 % on, over below 20 %. Minutes that are not known do not count as states."""
    works: list[bool] = []
    since: int | None = None
    for number, code in enumerate(strip.codes, strip.first):
        if code not in _WORKS and code not in _DEAD:
            continue
        works = [*works[-STATES + 1 :], code in _WORKS]
        percent = changed_percent(works)
        if since is None and percent >= FLAPPING_FROM_PERCENT:
            since = number
        elif since is not None and percent < FLAPPING_BELOW_PERCENT:
            yield since, number
            since = None
    if since is not None:
        yield since, None
