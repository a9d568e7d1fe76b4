"""What the API gives: one struct for each answer. The OpenAPI document is made from them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

import msgspec

from collector.access.audit import Entry
from collector.access.logins import ApiToken
from collector.access.users import User
from collector.uptime.history import Correction
from collector.uptime.presence import Presence
from config.school import Line


class ProblemAnswer(msgspec.Struct, frozen=True):
    """An error (RFC 9457)."""

    title: str
    status: int
    detail: str


class SchoolInShort(msgspec.Struct, frozen=True):
    """A school of a list."""

    id: str
    name: str
    level: str
    area: str


class Schools(msgspec.Struct, frozen=True):
    """A page of schools by id, and the plans that are judged."""

    schools: list[SchoolInShort]
    plans: list[str]
    next: str | None


class LineOfSchool(msgspec.Struct, frozen=True):
    """A line as it is declared, with its school. ``key`` is unique in the county."""

    key: str
    school: str
    line: Line


class Lines(msgspec.Struct, frozen=True):
    """A page of lines by school and id."""

    lines: list[LineOfSchool]
    next: str | None


class AgentReport(msgspec.Struct, frozen=True):
    """An agent. ``silent_seconds`` is by the collector's own clock; null when not heard since it started."""

    id: str
    school: str
    enrolled_at: datetime
    revoked_at: datetime | None
    heard_at: datetime | None
    silent_seconds: float | None
    state: str | None
    version: str | None
    uptime_seconds: float | None
    clock_offset_seconds: float | None


class Agents(msgspec.Struct, frozen=True):
    """A page of agents by id."""

    agents: list[AgentReport]
    next: str | None


class Aggregate(msgspec.Struct, frozen=True):
    """A field over one window."""

    count: int
    sum: int | float | None
    min: int | float | None
    max: int | float | None
    mean: float | None


class SeriesPoint(msgspec.Struct, frozen=True):
    """A point as measured, or a window by its start."""

    at: datetime
    fields: dict[str, int | float | str | bool | Aggregate]


class OneSeries(msgspec.Struct, frozen=True):
    """The points with the same tags."""

    tags: dict[str, str]
    points: list[SeriesPoint]


class Series(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A measurement of a school over [from, to); ``resolution_seconds`` is null for points as measured."""

    school: str
    measurement: str
    start: datetime
    end: datetime
    resolution_seconds: int | None
    series: list[OneSeries]


class OutageReport(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """An outage (``down``) or the absence of an agent (``unknown``); ``to`` is null while it goes on."""

    id: int | None
    subject: str
    start: datetime
    end: datetime | None
    minutes: int
    state: str
    cause: str
    why: str
    live: bool
    recorded_at: datetime | None
    withdrawn_at: datetime | None
    corrections: list[Correction]


class FlappingReport(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """When the school, or a line of it, went up and down too often."""

    subject: str
    start: datetime
    end: datetime | None


class Outages(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A school's outages of a month, and how it stands now."""

    school: str
    start: datetime
    end: datetime
    now: Presence | None
    outages: list[OutageReport]
    flapping: list[FlappingReport]


class TallyReport(msgspec.Struct, frozen=True):
    """Minutes; ``availability`` is null where less than 95 % are known, a count where none is."""

    availability: float | None
    coverage: float | None
    scheduled_minutes: int | None
    up_minutes: int | None
    degraded_minutes: int | None
    down_minutes: int | None
    unknown_minutes: int | None
    centre_minutes: int | None
    one_line_minutes: int | None


class SubjectReport(msgspec.Struct, frozen=True):
    """The school, a line or a family, in school hours and 24 x 7."""

    subject: str
    school_hours: TallyReport
    all_hours: TallyReport


class Availability(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A school's availability of a month."""

    school: str
    start: datetime
    end: datetime
    subjects: list[SubjectReport]


class TargetShare(msgspec.Struct, frozen=True):
    """How the county's schools stand on one target. ``share_percent`` is what the plan asks, if anything;
    ``answer`` then is the county's own verdict.
    """

    target: str
    kind: str
    quote: str
    deadline: date
    schools: int
    met: int
    not_met: int
    unknown: int
    share_percent: int | None
    answer: str | None


class PlanReport(msgspec.Struct, frozen=True):
    """A plan and the county's shares on each of its targets."""

    id: str
    title: str
    county: str
    issuer: str
    targets: list[TargetShare]


class Plans(msgspec.Struct, frozen=True):
    """The plans that are judged, as of ``at``."""

    plans: list[PlanReport]
    schools: int
    at: datetime


class Tokens(msgspec.Struct, frozen=True):
    """A page of tokens by number, without their secrets."""

    tokens: list[ApiToken]
    next: str | None


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to make for oneself."""

    name: str
    scope: Literal["read", "full"] = "read"
    days: float = 90


class MadeToken(msgspec.Struct, frozen=True):
    """A token that was made; ``secret`` is shown this once."""

    token: ApiToken
    secret: str


class Users(msgspec.Struct, frozen=True):
    """A page of users by number."""

    users: list[User]
    next: str | None


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user to add."""

    name: str
    role: Literal["county_admin", "school_admin", "display", "regional"]
    schools: list[str] = []
    oidc_name: str | None = None


class UserChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change: let in no more, let in again, or make a new one-time link."""

    what: Literal["disable", "enable", "link"]


class ChangedUser(msgspec.Struct, frozen=True):
    """A user as he is now; ``link`` is where he sets a password, shown this once."""

    user: User
    link: str | None = None


class Audit(msgspec.Struct, frozen=True):
    """A page of who did what, the newest first; ``next`` is the number to go on before."""

    entries: list[Entry]
    next: str | None


Anything = dict[str, Any]
