"""What an incident is and what happens to it: the words between this room and the messages.

Nothing here is rendered: codes and quantities, which a catalogue turns into words for people
(``collector/incidents/words.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from sqlalchemy.engine import Connection

Kind: TypeAlias = Literal[
    "below_target", "line_down", "school_silent", "one_line_left", "ipv6_fell", "rogue_router",
    "latency_under_load", "port_slower", "clock_off", "certificate_ends", "data_gap",
    "carrier_down", "centre_down", "many_at_once",
]  # fmt: skip
"""The last three are of several schools at once; all others of one."""
UNREACHED: frozenset[Kind] = frozenset({"line_down", "school_silent"})
"""Kinds that a carrier or the centre can be the cause of; «many/unreached» are many of them at once."""
Severity: TypeAlias = Literal["info", "warning", "critical"]
State: TypeAlias = Literal["pending", "open", "acknowledged", "resolved"]
What: TypeAlias = Literal[
    "opened", "acknowledged", "escalated", "repeated", "resolved", "children_changed", "noted", "accepted"
]
LikelyCause: TypeAlias = Literal[
    "power", "agent", "lan", "line", "carrier", "centre", "capacity", "port", "configuration", "clock",
    "certificate", "device", "unknown",
]  # fmt: skip
LookAt: TypeAlias = Literal[
    "capacity_test", "port_speed", "line_and_modem", "power_and_gateway", "other_line", "ipv6_checks",
    "rogue_device", "queue_of_gateway", "cable_and_port", "time_service", "certificate", "agent_spool",
    "carrier_hotline", "centre_network", "what_is_common",
]  # fmt: skip
Unit: TypeAlias = Literal["bit/s", "s", "d", "level", "schools", ""]
Waiting: TypeAlias = Literal["", "time", "parent", "silence", "school_hours", "data"]


class Key(NamedTuple):
    """What an incident is of. There is never more than one of a key that is not resolved."""

    kind: Kind
    school_id: str
    subject: str


class Quantity(msgspec.Struct, frozen=True):
    """A number with its unit."""

    value: int | float
    unit: Unit


class EvidenceReference(msgspec.Struct, frozen=True):
    """Where the proof is: a verdict's transition, an outage, a presence, or a measured point, and its time.

    ``number`` is the transition's number or the outage's id; ``tags`` those of the point.
    """

    source: Literal["verdict", "outage", "presence", "point", "children"]
    at: datetime
    measurement: str = ""
    tags: dict[str, str] = {}
    number: int | None = None


class Facts(msgspec.Struct, frozen=True):
    """What a message says of an incident beside what, where and since when.

    ``plan``, ``target_id`` and ``quote`` are of «below_target». ``values`` are further facts by name:
    «mac», «prefix», «interface», «direction», «lines_left», «lines_up», «failed», «plan_title» and such.
    """

    measured: Quantity | None = None
    target: Quantity | None = None
    evidence: EvidenceReference | None = None
    cause: LikelyCause = "unknown"
    look_at: LookAt = "what_is_common"
    plan: str = ""
    target_id: str = ""
    quote: str = ""
    values: dict[str, str | int | float] = {}


class Incident(msgspec.Struct, frozen=True):
    """Something that is wrong with one subject, from its beginning (``started_at``, dated back) to its end.

    ``subject``: «school», «line/ID», «agent/ID», «port/NAME», «service/NAME», «router/MAC»,
    «routers» (more than are told of one by one), «target/PLAN/ID», «carrier/NAME», «centre», «many/KIND».
    ``school_id`` is empty for what is of several schools; ``noticed_at`` is when the collector first saw it.
    ``number`` grows with each change: (id, number) tells a repeat of the same message. ``waits_for`` says why
    a pending one has not opened; «data» of one that is open: nothing is known of it any more. A child is told
    of with its ``parent`` only.
    """

    id: int
    kind: Kind
    school_id: str
    subject: str
    severity: Severity
    state: State
    started_at: datetime
    noticed_at: datetime
    number: int = 0
    parent: int | None = None
    children: tuple[int, ...] = ()
    schools: tuple[str, ...] = ()
    """Of a parent: the schools it has hit, those that are back too."""
    opened_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    facts: Facts = Facts()
    waits_for: Waiting = ""
    flapping: bool = False
    escalations: int = 0
    told_at: datetime | None = None
    """When people were last told (opened, escalated, repeated)."""
    cleared_at: datetime | None = None
    """Since when the condition holds no more; it is resolved when it has not for long enough."""
    turns: tuple[datetime, ...] = ()
    """When the condition began or ceased to hold, the newest last: what flapping is told by."""
    accepted_by: str = ""
    """Who took what is measured now as the new normal."""
    carrier_ticket: str = ""
    note: str = ""

    @property
    def key(self) -> Key:
        """What it is of: never two unresolved of one key."""
        return Key(self.kind, self.school_id, self.subject)

    @property
    def is_parent(self) -> bool:
        """Of several schools at once."""
        return self.kind in ("carrier_down", "centre_down", "many_at_once")


class Change(msgspec.Struct, frozen=True):
    """Something happened to an incident, which stands here as it is afterwards.

    ``send`` False: nobody is told (silenced, told with the parent). ``whom`` names the groups of recipients.
    ``not_before``: it is of low severity in quiet hours, and is told after them. ``digest``: it belongs into
    the daily digest only.
    """

    incident: Incident
    what: What
    at: datetime
    whom: tuple[str, ...] = ()
    send: bool = True
    not_before: datetime | None = None
    digest: bool = False

    @property
    def key(self) -> str:
        """The same for the same change, however often it is written or sent."""
        return f"{self.incident.id}-{self.incident.number}-{self.what}"


OnChange: TypeAlias = Callable[[Connection, Sequence[Change]], None]
"""Called in the transaction that writes the changes: what it writes stands or falls with them."""
