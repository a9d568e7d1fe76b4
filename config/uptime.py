"""Whether a school's network worked in a minute, from the probes of that minute. Pure.

Source: RFC 2678 and RFC 6673; «up»: what lies beyond the line answers with less than 20 % of loss. A next hop
is no target: one that ignores ICMP is not down, and one that answers does not make a dead line work.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from config.points import FieldValue

LOSS_LIMIT = 0.2
"""From this loss on a target does not answer."""
NEXT_HOP = "next_hop"
CENTRE = "centre"
FAMILIES = ("ipv4", "ipv6")
USUAL_WINDOW_SECONDS = 60.0
LONGEST_WINDOW_SECONDS = 3600.0
"""What an agent's settings allow of a ping. No window is taken as longer, whatever a client writes: each of
its minutes is looked at, and for each minute the points that end so much later are read. That of an interface
may be longer (``config.plateau``): none of its minutes is looked at.
"""


class State(enum.Enum):
    """The state of a minute."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


WORKS = frozenset({State.UP, State.DEGRADED})
_BEST_FIRST = (State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN)


class Heard(msgspec.Struct, frozen=True):
    """What one target answered. ``line`` is the line that the probes were bound to, None when to none."""

    target: str
    family: str
    place: str
    sent: int
    lost: int
    line: str | None = None

    @property
    def answers(self) -> bool:
        """It was asked, and lost less than the limit."""
        return self.sent > 0 and self.lost < LOSS_LIMIT * self.sent


class Minute(msgspec.Struct, frozen=True):
    """A judged minute: the school, each family of it, each line, and how many of several lines work."""

    school: State = State.UNKNOWN
    families: Mapping[str, State] = {}
    lines: Mapping[str, State] = {}
    one_line_only: bool = False
    by_centre_alone: bool = False
    """Down, and nothing was asked beyond the line but the county's own node."""


def window_seconds_of(ping: Mapping[str, FieldValue]) -> float:
    """How long the window was that a ping's fields tell of."""
    found = ping.get("window_seconds")
    if not isinstance(found, int | float) or found <= 0:
        return USUAL_WINDOW_SECONDS
    return min(float(found), LONGEST_WINDOW_SECONDS)


def judge_minute(heard: Sequence[Heard], declared_lines: Sequence[str] = ()) -> Minute:
    """The states of one minute. ``declared_lines`` are the school's lines; a school of one line is that line,
    also where the probes were bound to none.
    """
    beyond = [each for each in heard if each.place != NEXT_HOP and each.sent > 0]
    bound = {each.line for each in beyond if each.line is not None}
    lines = {line: _of_path([each for each in beyond if each.line == line]) for line in sorted(bound)}
    unbound = _of_path([each for each in beyond if each.line is None])
    if len(declared_lines) == 1 and not lines and unbound is not State.UNKNOWN:
        lines = {declared_lines[0]: unbound}
    school = _of_school(lines, unbound)
    return Minute(
        school=school,
        families=_by_family(beyond),
        lines=lines,
        one_line_only=len(lines) > 1 and sum(state in WORKS for state in lines.values()) == 1,
        by_centre_alone=school is State.DOWN and {each.place for each in beyond} == {CENTRE},
    )


def best(states: Iterable[State]) -> State:
    """The best of some states; unknown is worse than down, and none is unknown."""
    return min(states, key=_BEST_FIRST.index, default=State.UNKNOWN)


def _of_targets(targets: Sequence[Heard]) -> State:
    """All answer: up. Some do: degraded. None does: down. Nothing was asked: unknown."""
    if not targets:
        return State.UNKNOWN
    answering = sum(each.answers for each in targets)
    return State.UP if answering == len(targets) else State.DEGRADED if answering else State.DOWN


def _of_path(targets: Sequence[Heard]) -> State:
    """Both families of one path: IPv4's state where it is asked; a living IPv6 alone is degraded."""
    ipv4, ipv6 = (_of_targets([each for each in targets if each.family == family]) for family in FAMILIES)
    if ipv4 is State.UNKNOWN:
        return ipv6
    return State.DEGRADED if ipv4 is State.DOWN and ipv6 in WORKS else ipv4


def _of_school(lines: Mapping[str, State], unbound: State) -> State:
    """The service is up if any line is; degraded where the path that users take does not do as well."""
    by_lines = best(lines.values())
    if by_lines is State.UNKNOWN:
        return unbound
    return State.DEGRADED if by_lines is State.UP and unbound in (State.DEGRADED, State.DOWN) else by_lines


def _by_family(beyond: Sequence[Heard]) -> dict[str, State]:
    """Each family by itself, over the best of its paths."""
    found = {}
    for family in FAMILIES:
        members = [each for each in beyond if each.family == family]
        paths = {each.line for each in members}
        if members:
            found[family] = best(_of_targets([m for m in members if m.line == path]) for path in paths)
    return found
