"""A county's plan: its targets, whom they ask, by when, and in which words."""

from __future__ import annotations

import enum
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from config.school import Area, FactName, Level, Place, School, fact_on
from config.settings import SettingsError, load
from config.units import BitsPerSecond

PLANS_DIRECTORY = Path(__file__).parent / "plans"
SITES_THAT_ARE_NO_SCHOOL: frozenset[Level] = frozenset({"other_body", "district"})

Identifier: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class TargetKind(enum.Enum):
    """What a target asks for, which decides what it is judged by."""

    EGRESS_PER_CLASS = "egress_per_class"
    """``rate`` of egress for each class: the lines of the school together, down."""
    COUNTY_BACKBONE = "county_backbone"
    """``rate`` at the district's own site: its lines together, down."""
    UPLINK_PORT = "uplink_port"
    """A port of ``rate`` up to the network; what it delivers is a row beside it."""
    CAMPUS_BACKBONE = "campus_backbone"
    """``rate`` on every declared trunk port of the campus."""
    TERMINAL_SPEED = "terminal_speed"
    """``rate`` on every access port in use."""
    TWO_FIBRE_NETWORKS = "two_fibre_networks"
    """Two uplinks up at once, on fibre, with different next hops."""
    CAMPUS_COVERAGE = "campus_coverage"
    """The campus network reaches the places in ``covers``."""
    WIRELESS_COVERAGE = "wireless_coverage"
    """The same, wireless only."""
    IPV6 = "ipv6"
    """IPv6 at readiness level ``ipv6_level`` or above."""
    DECLARED = "declared"
    """``fact``, which can only be declared: shown as declared, never judged."""


RATE_KINDS = frozenset(
    {
        TargetKind.EGRESS_PER_CLASS, TargetKind.COUNTY_BACKBONE, TargetKind.UPLINK_PORT,
        TargetKind.CAMPUS_BACKBONE, TargetKind.TERMINAL_SPEED,
    }
)  # fmt: skip
COVERAGE_KINDS = frozenset({TargetKind.CAMPUS_COVERAGE, TargetKind.WIRELESS_COVERAGE})
KINDS_WITH: dict[str, frozenset[TargetKind]] = {
    "rate": RATE_KINDS,
    "covers": COVERAGE_KINDS,
    "ipv6_level": frozenset({TargetKind.IPV6}),
    "fact": frozenset({TargetKind.DECLARED}),
}


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan's word for a group of schools means.

    Empty ``areas`` are all of them; empty ``levels`` are all kinds of school and kindergarten, but no other
    body and no district site unless named. ``declared`` narrows the group to schools of which it was
    declared last that this fact holds (pilot schools).
    """

    areas: tuple[Area, ...] = ()
    """Areas that belong to it; empty is all."""
    levels: tuple[Level, ...] = ()
    """Kinds of school that belong to it; empty is every school and kindergarten."""
    declared: FactName | None = None

    def has(self, school: School) -> bool:
        """Whether a school belongs to the group."""
        if self.declared:
            fact = fact_on(school, self.declared)
            if fact is None or not fact.holds:
                return False
        level_fits = (
            school.level in self.levels if self.levels else school.level not in SITES_THAT_ARE_NO_SCHOOL
        )
        return level_fits and (not self.areas or school.area in self.areas)


class Covers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Places that the network shall reach: by wire, by wireless, or by either of them."""

    wired: tuple[Place, ...] = ()
    """By wire."""
    wireless: tuple[Place, ...] = ()
    """By wireless."""
    either: tuple[Place, ...] = ()
    """By either."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a plan asks for.

    ``who`` names one of the plan's ``groups``. ``deadline`` is the last day to reach it. ``rate`` belongs to
    the kinds that ask for one («10M», at the IP layer from 0.95 of it on). ``share_percent`` is the share of
    the group's schools that shall meet it, where the plan says one. ``line_kind`` narrows an uplink port to
    lines of that kind. A target that is ``reported_only`` asks for nothing that could be missed. ``quotes``
    are the plan's own words.
    """

    id: Identifier
    """Its name in the plan."""
    kind: TargetKind
    """What is asked for; decides which evidence counts."""
    who: Text
    deadline: date
    quotes: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    rate: BitsPerSecond | None = None
    share_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    direction: Literal["down", "up"] = "down"
    """The direction that a rate is asked of."""
    line_kind: Literal["internet", "education"] | None = None
    covers: Covers | None = None
    """Places that a coverage target asks for."""
    ipv6_level: Annotated[int, msgspec.Meta(ge=1, le=4)] | None = None
    """The level of readiness that an IPv6 target asks for."""
    fact: FactName | None = None
    """What a declared target asks to be declared."""
    reported_only: bool = False

    @property
    def quote(self) -> str:
        """The plan's words in one line: 「…」「…」."""
        return _quoted(self.quotes)


@functools.cache
def _quoted(quotes: tuple[str, ...]) -> str:
    return "".join(f"「{words}」" for words in quotes)


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published plan.

    ``starts`` and ``ends`` are the days it is in force, both included. A plan whose ``status`` is lapsed is
    judged only when chosen, and shown as lapsed. ``published`` is None where the source shows no date.
    ``groups`` say what the plan's words for schools (城区, 农村, …) mean: a county may mean something else.
    """

    id: Identifier
    """The plan's name here."""
    title: Text
    """Its full title."""
    county: Text
    """The county or district it is of."""
    issuer: str
    """Who published it."""
    starts: date
    ends: date
    groups: Annotated[dict[str, Group], msgspec.Meta(min_length=1)]
    targets: Annotated[tuple[Target, ...], msgspec.Meta(min_length=1)]
    """What it asks for."""
    published: date | None = None
    number: str = ""
    """The document's number."""
    status: Literal["in_force", "lapsed"] = "in_force"
    status_quote: str = ""
    """The page's own words on its status."""
    note: str = ""
    """Whatever should be shown with it."""

    def asks(self, target: Target, school: School) -> bool:
        """Whether ``target`` is asked of ``school``."""
        return self.groups[target.who].has(school)


def load_plan(path: Path) -> Plan:
    """Read and check a plan's file. Raises SettingsError, one line: file, key, what is allowed."""
    plan = load(path, Plan)
    problem = next(problems_of(plan), None)
    if problem:
        raise SettingsError(f"{path}: {problem}")
    return plan


@functools.cache
def shipped_plans() -> dict[str, Plan]:
    """The plans that come with the program, by id."""
    plans = map(load_plan, sorted(PLANS_DIRECTORY.glob("*.yaml")))
    return {plan.id: plan for plan in plans}


def problems_of(plan: Plan, numbers: Sequence[int] | None = None) -> Iterator[str]:
    """What the types cannot say, one line each, the first key of the file first.

    ``numbers`` are the targets' places in the file, where not all of them are in ``plan``.
    """
    if plan.ends < plan.starts:
        yield f"key ends: {plan.ends} is before starts, {plan.starts}; allowed: that day or later"
    for target_id, times in Counter(target.id for target in plan.targets).items():
        if times > 1:
            yield f"key targets: id {target_id} is given {times} times; allowed: once"
    for number, target in zip(numbers or range(len(plan.targets)), plan.targets, strict=True):
        yield from (f"key targets[{number}].{problem}" for problem in _target_problems(plan, target))


def _target_problems(plan: Plan, target: Target) -> Iterator[str]:
    if target.who not in plan.groups:
        yield f"who: {target.who} is no group of this plan; allowed: {', '.join(plan.groups)}"
    if target.deadline < plan.starts:
        yield f"deadline: {target.deadline} is before starts, {plan.starts}; allowed: that day or later"
    if target.line_kind and target.kind is not TargetKind.UPLINK_PORT:
        yield f"line_kind: has no meaning for kind {target.kind.value}; allowed for: uplink_port"
    for key, kinds in KINDS_WITH.items():
        yield from _misplaced(target, key, kinds)
    if target.rate is not None and target.rate <= 0:
        yield "rate: is 0; allowed: above 0"


def _misplaced(target: Target, key: str, kinds: frozenset[TargetKind]) -> Iterator[str]:
    given = getattr(target, key) is not None
    if given and target.kind not in kinds:
        allowed = ", ".join(sorted(kind.value for kind in kinds))
        yield f"{key}: has no meaning for kind {target.kind.value}; allowed for: {allowed}"
    if not given and target.kind in kinds and target.kind is not TargetKind.WIRELESS_COVERAGE:
        yield f"{key}: is missing; kind {target.kind.value} needs it"
