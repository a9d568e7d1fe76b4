"""Why there was an outage, from who still saw what: rules in order, the first that fits. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import msgspec

from config.words import message


class Cause(enum.Enum):
    """Causes, as methods of the field tell them apart."""

    POWER = "power"
    AGENT = "agent"
    RESTART = "restart"
    LAN = "lan"
    LINE = "line"
    CARRIER = "carrier"
    CENTRE = "centre"
    UNKNOWN = "unknown"


CAUSE_WORDS = {
    Cause.POWER: message("power cut"),
    Cause.AGENT: message("the agent was stopped"),
    Cause.RESTART: message("announced restart"),
    Cause.LAN: message("campus network"),
    Cause.LINE: message("access line"),
    Cause.CARRIER: message("carrier"),
    Cause.CENTRE: message("the county's centre, not the school"),
    Cause.UNKNOWN: message("not known"),
}


class Facts(msgspec.Struct, frozen=True):
    """What is known about one outage.

    ``next_hop`` is True when the next router answered during it, False when it did not though it did before,
    None when it never answers. ``carrier_down`` counts the schools, this one too, that the outage's carriers
    lost at that time; ``carrier_up`` those of these carriers that still worked. ``others_up`` is False when
    no school of any carrier worked.
    """

    power_cut: bool = False
    rebooted: bool = False
    agent_stopped: bool = False
    in_lan: bool = False
    next_hop: bool | None = None
    port_down: bool = False
    centre_away: bool = False
    centre_alone_asked: bool = False
    carriers: tuple[str, ...] = ()
    schools_down: int = 1
    carriers_down: int = 1
    carrier_down: int = 1
    schools_up: int = 0


class Rules(msgspec.Struct, frozen=True):
    """How many schools make a common cause."""

    carrier_schools: int = 3
    centre_schools: int = 3


Rule = tuple[Cause, str, Callable[[Facts, Rules], bool]]

_TABLE: Sequence[Rule] = (
    (Cause.POWER, "the host booted anew after it", lambda f, _: f.power_cut),
    (Cause.RESTART, "the host was shut down as announced, and booted anew", lambda f, _: f.rebooted),
    (Cause.AGENT, "the host ran on, the agent was started anew", lambda f, _: f.agent_stopped),
    (Cause.LAN, "the agent in the LAN could not reach the school's gateway",
     lambda f, _: f.in_lan and (f.next_hop is False or f.port_down)),
    (Cause.CENTRE, "the collector was away, and nothing else was asked beyond the line",
     lambda f, _: f.centre_alone_asked and f.centre_away),
    (Cause.CENTRE, "schools of several carriers lost the centre at once, and none reached it",
     lambda f, r: f.centre_alone_asked and f.schools_down >= r.centre_schools and f.carriers_down > 1
     and not f.schools_up),
    (Cause.CARRIER, "several schools of this carrier were down at once",
     lambda f, r: not f.port_down and f.carrier_down >= r.carrier_schools),
    (Cause.LINE, "the gateway's port to the line was down", lambda f, _: f.port_down),
    (Cause.LINE, "the next router beyond the line did not answer any more", lambda f, _: f.next_hop is False),
    (Cause.CARRIER, "the next router answered, nothing beyond it did", lambda f, _: f.next_hop is True),
    (Cause.LINE, "the next router never answers, so that line and carrier cannot be told apart",
     lambda f, _: not f.in_lan),
)  # fmt: skip


def cause_of(facts: Facts, rules: Rules | None = None) -> tuple[Cause, str]:
    """The cause, and the sentence why."""
    for cause, why, fits in _TABLE:
        if fits(facts, rules or Rules()):
            return cause, why
    return Cause.UNKNOWN, "who still saw what is not known"
