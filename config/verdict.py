"""What a verdict is: an answer, what it rests on, why, and what would settle it where it is unknown."""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Literal

import msgspec

from config.evidence import Evidence


class Answer(enum.Enum):
    """The three answers. Unknown is never shown as met."""

    MET = "met"
    NOT_MET = "not_met"
    UNKNOWN = "unknown"


class Reason(msgspec.Struct, frozen=True):
    """Why, or what else is worth knowing: a code that a catalogue has words for, and the values in them.

    Codes of answers, with their values: ``reaches`` and ``falls_short`` (lower or upper, threshold),
    ``between`` (lower, upper, threshold; what is not known is left out), ``no_evidence``, ``contradiction``
    (lower, upper), ``no_line_declared``, ``one_line_declared``, ``classes_unknown``,
    ``no_trunk_port_declared``, ``no_switch_declared``, ``ports_unseen`` (ports),
    ``terminals_tested`` (tests, reached, threshold), ``two_networks`` (first, second), ``same_next_hop``
    (next_hop), ``not_fibre`` (line), ``uplinks_unseen``, ``access_points`` (online, installed),
    ``no_controller_seen``, ``no_wired_port_seen``, ``wired_ports`` (ports), ``no_survey``, ``survey_lacks``
    (places), ``ipv6_level`` (at_least, at_most, asked), ``only_declared``, ``not_declared``,
    ``judge_failed``. Findings: ``tolerance`` (needed, percent, threshold), ``classes`` (classes, rate),
    ``contract_below_target`` (contracted, needed), ``verify_failed_once``, ``expired`` (items),
    ``shared_exit``, ``uplink_down`` (line), ``fibre_declared`` (line), ``survey`` (declared_by, declared_on).
    """

    code: str
    values: dict[str, str | int | float] = {}


class Settles(msgspec.Struct, frozen=True):
    """The cheapest thing that would settle an unknown: a test of a line, or something to poll or declare.

    ``code``: ``verify``, ``search``, ``read_port_speed``, ``observe_uplinks``, ``poll_switches``,
    ``poll_controller``, ``check_ipv6``, ``declare_classes``, ``declare_lines``, ``declare_trunk_ports``,
    ``declare_switches``, ``declare_survey``, ``declare_fact``. ``bits_per_second`` is the rate to pace a
    verify run at; ``bytes`` what the test moves at most.
    """

    code: str
    line: str | None = None
    direction: Literal["down", "up"] | None = None
    bits_per_second: int | None = None
    bytes: int | None = None


class Finding(msgspec.Struct, frozen=True):
    """What one kind of target comes to, before plan, deadline and time are put to it."""

    answer: Answer
    reasons: tuple[Reason, ...]
    evidence: tuple[Evidence, ...] = ()
    beside: tuple[Evidence, ...] = ()
    settles: Settles | None = None
    needed: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What a target's verdict is for a school at a time.

    ``evidence`` decided (the deciding ones first); ``beside`` is shown and did not judge. ``needed`` is in
    bit/s, before the tolerance. ``counts`` is False for rows that are shown and change no total: what a line
    delivers beside an access target (kind «delivery»), and targets that are only reported. ``quote`` is the
    plan's words.
    """

    plan: str
    school: str
    target: str
    kind: str
    answer: Answer
    needed: int | None
    evidence: tuple[Evidence, ...]
    beside: tuple[Evidence, ...]
    reasons: tuple[Reason, ...]
    settles: Settles | None
    quote: str
    deadline: date
    due: Literal["due", "overdue", "lapsed"]
    at: datetime
    counts: bool = True


class ShareVerdict(msgspec.Struct, frozen=True):
    """How many of a county's schools meet a target that asks for a share of them."""

    plan: str
    target: str
    answer: Answer
    share_percent: int
    schools: int
    met: int
    not_met: int
    unknown: int
    quote: str
    deadline: date
    due: Literal["due", "overdue", "lapsed"]
    at: datetime
