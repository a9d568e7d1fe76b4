"""How newly found outages meet those that stand written: what is new, changed, or was none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from collector.uptime.causes import Cause

ARRIVED = "the agent's record arrived later"
OTHERS = "what other schools saw at that time"


class Outage(msgspec.Struct, frozen=True):
    """An outage of a subject of a school, or the absence of its agent (``state`` «unknown»).

    ``ended_at`` is None while it goes on; ``down_until`` is the end of its last minute that is known.
    ``live`` tells that it was recorded while it went on: what backfill brings is never news of now.
    """

    school_id: str
    subject: str
    started_at: datetime
    ended_at: datetime | None
    down_until: datetime
    state: str
    cause: Cause = Cause.UNKNOWN
    why: str = ""
    live: bool = False
    id: int | None = None
    recorded_at: datetime | None = None
    withdrawn_at: datetime | None = None

    def overlaps(self, other: Outage) -> bool:
        """They share a moment, and are of one state."""
        mine, its = self.ended_at or self.down_until, other.ended_at or other.down_until
        return self.state == other.state and self.started_at < its and other.started_at < mine


class Correction(msgspec.Struct, frozen=True):
    """What was said before and what is said now; ``what`` is found, started, ended, cause or withdrawn."""

    at: datetime
    what: str
    was: str
    became: str
    why: str


class Change(msgspec.Struct, frozen=True):
    """An outage as it is to be written, with what that corrects."""

    outage: Outage
    corrections: tuple[Correction, ...] = ()


class Fresh(msgspec.Struct, frozen=True):
    """What live data take to show that an outage began, and that one ended, in seconds after it did."""

    start_seconds: float
    end_seconds: float


def changes(written: Sequence[Outage], found: Sequence[Outage], now: datetime, fresh: Fresh) -> list[Change]:
    """What to write. An outage that is found later than live data would show it corrects «unknown»; the end
    of one that goes on is no correction.
    """
    left = list(written)
    result = []
    for outage in found:
        match = max(
            (old for old in left if old.overlaps(outage)), key=lambda old: _shared(old, outage), default=None
        )
        if match is None:
            result.append(_new(outage, now, fresh))
            continue
        left.remove(match)
        change = _changed(match, outage, now, fresh)
        if change is not None:
            result.append(change)
    return result + [_withdrawn(old, now) for old in left]


def recaused(old: Outage, cause: Cause, why: str, now: datetime) -> Change | None:
    """The same outage with the cause as it is understood now; a first cause corrects nothing."""
    if (old.cause, old.why) == (cause, why):
        return None
    first = old.cause is Cause.UNKNOWN or old.cause is cause
    corrections = () if first else (Correction(now, "cause", old.cause.value, cause.value, why),)
    return Change(msgspec.structs.replace(old, cause=cause, why=why), corrections)


def _new(outage: Outage, now: datetime, fresh: Fresh) -> Change:
    live = (now - outage.started_at).total_seconds() <= fresh.start_seconds
    made = msgspec.structs.replace(outage, live=live, recorded_at=now)
    corrections = () if live else (Correction(now, "found", "unknown", outage.state, ARRIVED),)
    return Change(made, corrections)


def _changed(old: Outage, new: Outage, now: datetime, fresh: Fresh) -> Change | None:
    merged = msgspec.structs.replace(
        old, started_at=new.started_at, ended_at=new.ended_at, down_until=new.down_until
    )
    if merged == old:
        return None
    corrections = []
    if old.started_at != new.started_at:
        corrections.append(Correction(now, "started", _text(old.started_at), _text(new.started_at), ARRIVED))
    late = new.ended_at is not None and (now - new.ended_at).total_seconds() > fresh.end_seconds
    if old.ended_at != new.ended_at and (old.ended_at is not None or late):
        corrections.append(Correction(now, "ended", _text(old.ended_at), _text(new.ended_at), ARRIVED))
    return Change(merged, tuple(corrections))


def _withdrawn(old: Outage, now: datetime) -> Change:
    corrections = (Correction(now, "withdrawn", old.state, "none", ARRIVED),)
    return Change(msgspec.structs.replace(old, withdrawn_at=now), corrections)


def _shared(one: Outage, other: Outage) -> float:
    ends = min(one.ended_at or one.down_until, other.ended_at or other.down_until)
    return (ends - max(one.started_at, other.started_at)).total_seconds()


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
