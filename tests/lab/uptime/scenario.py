"""An uptime scenario: a county, what is cut and mended when, and the outages that must be found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from config import settings
from config.units import Seconds
from tests.lab.description import County, LineState, Name, Share

SCENARIOS = Path(__file__).with_name("scenarios")
Action = Literal["cut", "mend"]
AgentAction = Literal["cut", "mend", "restart"]
Signed = Annotated[float, msgspec.Meta(ge=-86400, le=86400)]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens so many minutes after all schools were heard. Lines are «school/line»."""

    at: float
    line: str | None = None
    state: LineState | None = None
    loss: Share | None = None
    carrier: Name | None = None
    centre: Action | None = None
    collector: Action | None = None
    power: Name | None = None
    agent: Name | None = None
    lan: Name | None = None
    clock: Name | None = None
    step: Signed = 0.0
    do: AgentAction = "cut"
    """``restart`` is of agents: ended as an upgrade ends them, announced."""
    next_hop_silent: str | None = None


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outage that must be found, in minutes; ``subject`` is «school» or «line/ID»."""

    school: Name
    state: Literal["down", "unknown"]
    cause: str
    starts: float
    ends: float
    subject: str = "school"


class Flaps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subject that must be said to flap."""

    school: Name
    subject: str = "school"


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One county. Whatever is not expected must not be said; ``minute`` is the length of a judged minute.

    ``any_outage`` are subjects («school subject») of which outages may be said besides: a flapping line.
    """

    about: str
    county: County
    timeline: tuple[Event, ...]
    ends: float
    expect: tuple[Expected, ...] = ()
    flapping: tuple[Flaps, ...] = ()
    any_outage: tuple[str, ...] = ()
    power_cut_now: tuple[Name, ...] = ()
    clock_off: dict[str, float] = {}
    silent: dict[str, tuple[float, float]] = {}
    minute: Seconds = Seconds(6)


def load(path: Path) -> Scenario:
    """Read a scenario. Raises SettingsError, one line."""
    return settings.load(path, Scenario)
