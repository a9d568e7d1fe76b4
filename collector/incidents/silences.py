"""When nobody is to be told: silences by school, line, kind and time, once or each week. The rule is pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import audit
from collector.access.who import Who
from collector.incidents.model import Incident, Kind
from collector.incidents.tables import SilenceRow
from collector.registry import Registry

Weekday = Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
WEEKDAYS: tuple[Weekday, ...] = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"""As RFC 5545 names them (BYDAY)."""
LONGEST = timedelta(days=7)
_WEEKLY = re.compile(
    r"\A(?P<days>[A-Z]{2}(,[A-Z]{2})*) (?P<starts>\d\d:\d\d)-(?P<ends>\d\d:\d\d)\Z", re.IGNORECASE
)


class Weekly(msgspec.Struct, frozen=True):
    """Each of these days from ``starts`` to ``ends``, local; an end before the start is on the next day."""

    days: tuple[Weekday, ...]
    starts: time
    ends: time

    def __str__(self) -> str:
        return f"{','.join(self.days)} {self.starts:%H:%M}-{self.ends:%H:%M}"


class Silence(msgspec.Struct, frozen=True):
    """What is not told, and when. Empty ``school_id``, ``line`` or ``kind`` is any.

    From ``starts_at`` to ``ends_at`` (None: until somebody ends it); with ``weekly`` only at those hours.
    """

    starts_at: datetime
    why: Annotated[str, msgspec.Meta(max_length=500)]
    by: str
    created_at: datetime
    ends_at: datetime | None = None
    school_id: str = ""
    line: str = ""
    kind: Kind | Literal[""] = ""
    weekly: Weekly | None = None
    id: int = 0

    def is_on(self, moment: datetime, zone: ZoneInfo) -> bool:
        """It holds at a moment."""
        if moment < self.starts_at or (self.ends_at is not None and moment >= self.ends_at):
            return False
        return self.weekly is None or _in_week(self.weekly, moment.astimezone(zone))

    def covers(self, incident: Incident) -> bool:
        """It is of this incident. One of a school or line never covers several schools at once."""
        of_kind = self.kind in ("", incident.kind)
        of_school = self.school_id in ("", incident.school_id)
        return of_kind and of_school and (not self.line or _is_of_line(incident, self.line))


def weekly_of(text: str) -> Weekly:
    """«SU 22:00-06:00», «MO,TU,WE 12:00-13:00». Raises ValueError, with what is allowed."""
    match = _WEEKLY.match(text.strip())
    allowed = f"{text!r}: allowed is like «SU 22:00-06:00» or «MO,TU 12:00-13:00», days {', '.join(WEEKDAYS)}"
    if match is None:
        raise ValueError(allowed)
    given = match["days"].upper().split(",")
    days = tuple(day for day in WEEKDAYS if day in given)
    try:
        starts, ends = time.fromisoformat(match["starts"]), time.fromisoformat(match["ends"])
    except ValueError:
        raise ValueError(allowed) from None
    if len(days) != len(given) or starts == ends:
        raise ValueError(allowed)
    return Weekly(days, starts, ends)


def silenced(
    incident: Incident, silences: Iterable[Silence], moment: datetime, zone: ZoneInfo
) -> Silence | None:
    """The first silence that covers an incident at a moment."""
    return next((each for each in silences if each.is_on(moment, zone) and each.covers(incident)), None)


class SilenceBook:
    """The silences' table."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def add(self, silence: Silence, who: Who) -> Silence:
        """Keep one, with its line in the audit log; gives it with its id."""
        with self._registry.writing() as connection:
            insert = sa.insert(SilenceRow).values(ends_at=silence.ends_at, body=_text(silence))
            found = connection.scalars(insert.returning(SilenceRow.id)).one()
            kept = msgspec.structs.replace(silence, id=found)
            _log(connection, who, "silence.add", kept, silence.created_at)
        return kept

    def kept(self, now: datetime) -> list[Silence]:
        """Those that hold now or may later, by id."""
        chosen = sa.select(SilenceRow.id, SilenceRow.body).order_by(SilenceRow.id)
        lasting = sa.or_(SilenceRow.ends_at.is_(None), SilenceRow.ends_at > now)
        with self._registry.reading() as connection:
            return [
                msgspec.structs.replace(_decoder.decode(row.body), id=row.id)
                for row in connection.execute(chosen.where(lasting))
            ]

    def end(self, silence_id: int, who: Who, now: datetime) -> Silence | None:
        """End one now; None when none of that id holds or may later."""
        found = next((each for each in self.kept(now) if each.id == silence_id), None)
        if found is None:
            return None
        ended = msgspec.structs.replace(found, ends_at=now)
        with self._registry.writing() as connection:
            change = sa.update(SilenceRow).where(SilenceRow.id == silence_id)
            connection.execute(change.values(ends_at=now, body=_text(ended)))
            _log(connection, who, "silence.end", found, now)
        return ended


def _log(connection: Connection, who: Who, action: str, of: Silence, now: datetime) -> None:
    told = {
        "school": of.school_id, "line": of.line, "kind": of.kind, "starts_at": of.starts_at,
        "ends_at": of.ends_at, "weekly": str(of.weekly) if of.weekly else "", "why": of.why,
    }  # fmt: skip
    audit.record(connection, who, action, str(of.id), at=now, **{k: v for k, v in told.items() if v})


def _in_week(weekly: Weekly, local: datetime) -> bool:
    today, yesterday = WEEKDAYS[local.weekday()], WEEKDAYS[local.weekday() - 1]
    clock = local.time()
    if weekly.starts < weekly.ends:
        return today in weekly.days and weekly.starts <= clock < weekly.ends
    return (today in weekly.days and clock >= weekly.starts) or (
        yesterday in weekly.days and clock < weekly.ends
    )


def _is_of_line(incident: Incident, line: str) -> bool:
    of_subject = incident.subject == f"line/{line}" or incident.subject.startswith(f"line/{line}/")
    return of_subject or incident.facts.values.get("line") == line


def _text(silence: Silence) -> str:
    return _encoder.encode(silence).decode("utf-8")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Silence)
