"""Which messages go out as one letter, and whether a channel may be used now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from collector.messages.channels import Limit

MOST_MERGED = 300
MOST_LOOKED_AT = 500
MARGIN_SECONDS = 1.0
"""Added to the span of each limit: the channel counts when a message arrives, we when it leaves."""


class Waiting(msgspec.Struct, frozen=True):
    """A message as it stands."""

    id: int
    key: str
    channel: str
    recipient: str
    severity: str
    body: str
    created_at: datetime
    due_at: datetime
    state: str
    batch: str
    alone: bool
    tries: int
    error: str
    done_at: datetime | None


class Batch(msgspec.Struct, frozen=True):
    """What goes out as one letter: one message, or several merged. ``key`` stays when it is sent again."""

    key: str
    messages: tuple[Waiting, ...]

    @property
    def recipient(self) -> str:
        """All its messages have the same."""
        return self.messages[0].recipient


def chosen(due: Sequence[Waiting], left: int) -> Batch:
    """The first, or all of its recipient merged: where singles would overflow, or what waited for morning."""
    first = due[0]
    same = [each for each in due if each.recipient == first.recipient and not each.alone][:MOST_MERGED]
    were_kept_back = sum(each.due_at > each.created_at for each in same) > 1
    if first.alone or len(same) < 2 or not (were_kept_back or len(due) > left // 2):
        return Batch(first.key, (first,))
    return Batch(f"{first.key}+{len(same) - 1}", tuple(same))


def lies_ahead(moment: datetime | None, now: datetime, longest: timedelta) -> bool:
    """A moment to come. One more than twice as far ahead as any could be is of a clock that stepped back;
    the other collectors' clocks may be as much ahead of ours.
    """
    return moment is not None and now < moment <= now + 2 * longest


def recent_uses(used_at: str, limits: Sequence[Limit], now: datetime) -> list[float]:
    """When it was used of late; a use to come is of another collector, whose clock is ahead of ours."""
    longest = max((limit.seconds for limit in limits), default=0.0) + MARGIN_SECONDS
    seconds = now.timestamp()
    used = msgspec.json.decode(used_at, type=list[float])
    return [each for each in used if abs(seconds - each) < longest]


def uses_left(used: Sequence[float], limits: Sequence[Limit], now: datetime) -> int:
    """How many letters may go now."""
    seconds = now.timestamp()
    counts = (
        limit.most - sum(seconds - each < limit.seconds + MARGIN_SECONDS for each in used) for limit in limits
    )
    return min(counts, default=MOST_LOOKED_AT)
