"""Whether something flaps, by Nagios's formula over the last slots. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from collector.uptime.spells import (
    FLAPPING_BELOW_PERCENT,
    FLAPPING_FROM_PERCENT,
    STATES,
    changed_percent,
)

TURNS_KEPT = 2 * STATES
FEWEST_TURNS = 4
"""Fewer cannot come to 30 %, however new they are."""


def is_flapping(turns: Sequence[datetime], holds: bool, now: datetime, slot: timedelta, before: bool) -> bool:
    """From 30 % of change on, until less than 20 %; ``before``: it flapped already.

    A slot is bad when it was bad at any time of it, so that what changes faster than a slot is one trouble.
    """
    if not before and len(turns) < FEWEST_TURNS:
        return False
    percent = changed_percent(_slots(turns, holds, now, slot))
    return percent >= (FLAPPING_BELOW_PERCENT if before else FLAPPING_FROM_PERCENT)


def recent(turns: Sequence[datetime], now: datetime, slot: timedelta) -> tuple[datetime, ...]:
    """The turns that the formula can still see."""
    return tuple(each for each in turns if each > now - STATES * slot)[-TURNS_KEPT:]


def _slots(turns: Sequence[datetime], holds: bool, now: datetime, slot: timedelta) -> list[bool]:
    """The last 21 slots, the oldest first; True where it was well all the time."""
    seen = recent(turns, now, slot)
    well: list[bool] = []
    end, bad_at_end = now, holds
    for _ in range(STATES):
        start = end - slot
        inside = sum(start < each <= end for each in seen)
        well.append(not bad_at_end and inside == 0)
        bad_at_end ^= inside % 2 == 1
        end = start
    return well[::-1]
