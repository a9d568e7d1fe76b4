"""A scenario: a network, what happens to it when, and what must be said of it by when."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from collector.incidents.model import Kind
from config import settings
from config.units import BitsPerSecond, Bytes, Seconds
from tests.lab.description import County, LineState, Name, Share

SCENARIOS = Path(__file__).with_name("scenarios")
IPV6_LEVEL, STATE, INCIDENT, MESSAGE = "IPv6 level", "state", "incident ", "message "
Answer = Literal["met", "not_met", "unknown"]


class Flap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line that goes down and up again so many times."""

    down: Seconds
    up: Seconds
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a terminal moves: TCP, ``rate`` at the IP layer (without it all the line gives), over ``line``."""

    line: Name
    seconds: Seconds
    way: Literal["down", "up"] = "down"
    rate: BitsPerSecond = BitsPerSecond(0)


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens ``at`` so many seconds after the agents started, to a ``school`` or its ``line``.

    ``agent`` ends or starts the school's agent (``kill`` is SIGKILL). ``plugged_in`` is a device that
    somebody plugs into the LAN: a router that advertises itself.
    """

    at: Seconds
    school: Name
    line: Name | None = None
    rate_down: BitsPerSecond | None = None
    rate_up: BitsPerSecond | None = None
    delay: Seconds | None = None
    loss: Share | None = None
    state: LineState | None = None
    flap: Flap | None = None
    traffic: Traffic | None = None
    agent: Literal["kill", "stop", "start"] | None = None
    plugged_in: Literal["router"] | None = None

    def __post_init__(self) -> None:
        of_line = (self.rate_down, self.rate_up, self.delay, self.loss, self.state, self.flap)
        if self.line is None and any(value is not None for value in of_line):
            raise ValueError("rate_down, rate_up, delay, loss, state and flap need a line")


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be said of a school ``by`` when (after ``after``, when something has changed by then).

    One of: the ``verdict`` on a ``target``; the IPv6 ``level``; the ``state`` of the school for the centre;
    an ``incident`` of that kind that is open; a ``message`` of that kind of incident that every channel has
    taken. With ``within`` a message must be there so long after its deciding evidence was measured, whatever
    ``after`` and ``by`` are. ``truth`` is what is so; it may be left out where the verdict is not unknown. An
    unknown that is expected must still be one at the end of its time.
    """

    school: Name
    by: Seconds
    target: str = ""
    verdict: Answer | None = None
    level: Annotated[int, msgspec.Meta(ge=0, le=4)] | None = None
    state: Literal["heard", "silent"] | None = None
    incident: Kind | None = None
    message: Kind | None = None
    within: Seconds | None = None
    after: Seconds = Seconds(0)
    truth: Literal["met", "not_met"] | None = None

    def __post_init__(self) -> None:
        if bool(self.target) != (self.verdict is not None):
            raise ValueError("target and verdict go together")
        if [self.verdict, self.level, self.state, self.incident, self.message].count(None) != 4:
            raise ValueError("one of verdict, level, state, incident and message is expected")
        if self.within is not None and self.message is None:
            raise ValueError("within is of a message")
        if self.verdict == "unknown" and self.truth is None:
            raise ValueError("an expected unknown needs its truth: met or not_met")
        if self.by <= self.after:
            raise ValueError("by must be later than after")

    @property
    def subject(self) -> str:
        """Of what: a target's id, «IPv6 level», «state», «incident KIND» or «message KIND»."""
        if self.incident is not None:
            return f"{INCIDENT}{self.incident}"
        if self.message is not None:
            return f"{MESSAGE}{self.message}"
        return self.target or (IPV6_LEVEL if self.level is not None else STATE)

    @property
    def word(self) -> str:
        """What must be said."""
        told = "open" if self.incident else "told" if self.message else f"{self.level}"
        return self.verdict or self.state or told

    @property
    def may_come(self) -> bool:
        """What is expected becomes so at some time until ``by``; before, another word is no lie."""
        return bool(self.after > 0 or self.state or self.incident or self.message)

    @property
    def is_so(self) -> str:
        """What is so."""
        return self.truth or self.word


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case. ``probes`` are the agents' probes with settings; ``test_bytes_max`` bounds test traffic."""

    about: str
    county: County
    expect: tuple[Expectation, ...]
    plans: tuple[str, ...] = ("shandan",)
    probes: dict[str, dict[str, Any]] = {}
    timeline: tuple[Event, ...] = ()
    test_bytes_max: Bytes = Bytes(0)

    def __post_init__(self) -> None:
        lines = {school.id: {line.id for line in school.lines} for school in self.county.schools}
        for event in self.timeline:
            named = event.line or (event.traffic.line if event.traffic else None)
            if event.school not in lines or (named and named not in lines[event.school]):
                raise ValueError(
                    f"the timeline names {event.school}/{named or ''}, which is not in the county"
                )
        for expected in self.expect:
            if expected.school not in lines:
                raise ValueError(f"expect names school {expected.school}, which is not in the county")


def load(path: Path) -> Scenario:
    """Read a scenario. Raises SettingsError, one line."""
    return settings.load(path, Scenario)


def find(names: list[str]) -> dict[str, Path]:
    """The files of the scenarios of those names, of all when none is given. Raises SettingsError."""
    known = {path.stem: path for path in sorted(SCENARIOS.glob("*.yaml"))}
    for name in names:
        if name not in known:
            raise settings.SettingsError(f"{name}: no such scenario; allowed: {', '.join(known)}")
    return {name: known[name] for name in names or known}
