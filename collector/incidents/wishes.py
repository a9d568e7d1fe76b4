"""A silence as somebody asks for it, by the API or a page: checked, then kept with its line in the log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from collector.access.who import Who
from collector.incidents.model import Kind
from collector.incidents.silences import Silence, Weekly, weekly_of
from collector.registry import Registry
from collector.web.problems import bad_request, not_found


class NewSilence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A silence as it is asked for; times are ISO 8601 with their offset."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    school: Annotated[str, msgspec.Meta(max_length=64)] = ""
    line: Annotated[str, msgspec.Meta(max_length=64)] = ""
    kind: Kind | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    weekly: str | None = None


def silence_of(wished: NewSilence, who: Who, registry: Registry, now: datetime) -> Silence:
    """What is to be kept. Raises Problem where it may not be, or cannot be meant."""
    _refuse_place(wished, who, registry)
    begins, ends = wished.starts_at or now, wished.ends_at
    if any(each is not None and each.tzinfo is None for each in (wished.starts_at, ends)):
        raise bad_request("starts_at, ends_at: allowed: ISO 8601 with its offset")
    if ends is None and wished.weekly is None:
        raise bad_request("ends_at: is missing; allowed: a time, or weekly")
    if ends is not None and ends <= max(begins, now):
        raise bad_request("ends_at: allowed: a time to come, after starts_at")
    weekly = _weekly(wished.weekly)
    return Silence(
        begins, wished.why, who.name, now, ends, wished.school, wished.line, wished.kind or "", weekly
    )


def _weekly(text: str | None) -> Weekly | None:
    try:
        return weekly_of(text) if text else None
    except ValueError as error:
        raise bad_request(f"weekly: {error}") from None


def _refuse_place(wished: NewSilence, who: Who, registry: Registry) -> None:
    """Of whom it may not be, or who is not known."""
    school = registry.school(wished.school) if wished.school else None
    if not who.sees(wished.school or None) or (wished.school and school is None):
        raise not_found(f"school {wished.school!r} is not known; allowed: one of yours")
    if wished.line and (school is None or wished.line not in {line.id for line in school.lines}):
        raise bad_request(f"line: {wished.line!r} is no line of that school")
