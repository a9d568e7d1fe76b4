"""A school, its campuses and its lines, as they are declared, and what of it was valid on a day."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeAlias

import msgspec

from config.calendar import Hours
from config.units import BitsPerSecond

Area = Literal["urban", "town", "rural"]
Level = Literal[
    "kindergarten", "primary", "junior", "nine_year", "complete", "senior", "vocational", "special",
    "teaching_point", "other_body", "district",
]  # fmt: skip
Place = Literal["teaching", "office", "indoors", "outdoors"]
FactName = Literal["network_standard_a", "real_name_login", "security_equipment", "pilot_5g"]

NameWithin: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[^\s,;=/\\\"'<>]{1,40}\Z")]
"""Of a line or campus within its school: it becomes a tag of points and part of addresses."""
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Longitude: TypeAlias = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Network: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Fa-f:.]{2,43}/[0-9]{1,3}\Z")]
Latitude: TypeAlias = Annotated[float, msgspec.Meta(ge=-90, le=90)]


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A contracted rate of a line, valid from ``starts`` to ``ends``, both days included; None is open."""

    number: str = ""
    """The contract's number, for a fault report to the carrier."""
    carrier: str = ""
    """Who sells the line; empty is the line's own carrier."""
    down: BitsPerSecond | None = None
    """The rate that is paid for, towards the school."""
    up: BitsPerSecond | None = None
    """The rate that is paid for, from the school."""
    starts: date | None = None
    ends: date | None = None


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One uplink of a school, in use from ``starts`` to ``ends`` (both included; None is open).

    ``interface`` is the agent's name of the port it leaves by; None means the interface of the default route.
    ``responders`` are the ids of the responders that lie beyond this line. ``contracts`` with dates come
    before ``contracted_down`` and ``contracted_up``, which hold when no dated contract does.
    """

    id: NameWithin
    """Its name among the lines of the school: no spaces, commas, quotes, slashes or equals signs."""
    carrier: str = ""
    """Who runs it (电信, 移动, 联通, 广电, 教育网 …)."""
    kind: Literal["internet", "education"] = "internet"
    """Where it leads: the internet, or the education network."""
    interface: str | None = None
    contracted_down: BitsPerSecond | None = None
    contracted_up: BitsPerSecond | None = None
    medium: Literal["fibre", "copper", "wireless", "unknown"] = "unknown"
    """What it is made of; counts where a modem hands fibre over as copper."""
    responders: tuple[str, ...] = ()
    campus: str = ""
    """Id of the campus it ends at; empty is the main one."""
    public_address: str = ""
    """Where the gateway is reached from outside; asked only if the collector's settings say so."""
    contracts: tuple[Contract, ...] = ()
    starts: date | None = None
    ends: date | None = None


class Campus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A campus 校区 or teaching point 教学点 of a school."""

    id: NameWithin
    """Its name among the campuses of the school, written like a line's."""
    name: str = ""
    """What people call it."""
    township: str = ""
    """The township (乡镇) it lies in."""
    longitude: Longitude | None = None
    """Degrees east."""
    latitude: Latitude | None = None
    """Degrees north."""


class SchoolCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ten-digit 学校标识码 and the days it held; a school that changes its kind gets another."""

    code: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{10}\Z")]
    """Ten digits."""
    starts: date | None = None
    """First day it held; empty is always."""
    ends: date | None = None
    """Last day it held; empty is still."""


class ClassesOfYear(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Classes and pupils from ``starts`` on, until the next such entry: one for each school year."""

    starts: date
    classes: Count
    """How many classes."""
    pupils: Count | None = None
    """How many pupils."""


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A switch or wireless controller of the campus that is polled by SNMP.

    ``trunk_ports`` are the names (ifName) of the ports of the campus backbone; ``access_ports`` those that
    terminals use, and empty means every other port of a switch that ``serves_terminals``.
    """

    id: str
    """The same id as in the agent's settings of the snmp probe."""
    kind: Literal["switch", "controller", "gateway"] = "switch"
    """What it is."""
    address: str = ""
    """Where it is polled; shown only."""
    trunk_ports: tuple[str, ...] = ()
    access_ports: tuple[str, ...] = ()
    serves_terminals: bool = True


class Survey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A survey of what the campus network covers, as ``declared_by`` said on ``declared_on``.

    «indoors» includes teaching and office areas.
    """

    declared_by: str
    declared_on: date
    wired: tuple[Place, ...] = ()
    """Places that the wired network covers."""
    wireless: tuple[Place, ...] = ()
    """Places that the wireless network covers."""


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can only be declared, with who declared it and when; shown as declared, never as measured."""

    name: FactName
    """What is declared."""
    holds: bool
    """Whether it is so."""
    declared_by: str
    """Who said so."""
    declared_on: date
    """When."""
    note: str = ""
    """Whatever should be shown with it."""


class School(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A school as its county declares it; a site of level «district» is the district's own node.

    ``classes_by_year`` comes before ``classes``, which holds when no dated entry does. ``egress`` says
    whether the school leaves by its own lines or by the county's shared exit 统一出口: its lines then end
    there. ``power_cut`` are the hours when its power is cut («22:30-06:00»): neither silence nor down.
    """

    id: str
    """The county's own id of the school; never reissued."""
    name: str = ""
    """What people call it."""
    level: Level = "primary"
    """Its kind; 幼儿园 is kindergarten, 完全中学 complete, 教学点 teaching_point."""
    area: Area = "rural"
    """城区 is urban, 镇区 town, 乡村 rural; what a plan means by them is in the plan's groups."""
    classes: Count | None = None
    """How many classes it has, where no school year says otherwise."""
    lines: tuple[Line, ...] = ()
    """Its uplinks."""
    pupils: Count | None = None
    """How many pupils it has."""
    codes: tuple[SchoolCode, ...] = ()
    """Its 学校标识码 over the years."""
    campuses: tuple[Campus, ...] = ()
    """Its campuses and teaching points."""
    classes_by_year: tuple[ClassesOfYear, ...] = ()
    township: str = ""
    """The township (乡镇) it lies in."""
    longitude: Longitude | None = None
    """Degrees east."""
    latitude: Latitude | None = None
    """Degrees north."""
    egress: Literal["lines", "shared_exit"] = "lines"
    networks: tuple[Network, ...] = ()
    """Networks («10.3.8.0/22») that its terminals come from, as the collector sees them: by them a browser's
    test knows its school."""
    power_cut: tuple[Hours, ...] = ()
    devices: tuple[Device, ...] = ()
    """Switches and controllers that are polled."""
    surveys: tuple[Survey, ...] = ()
    """Surveys of what its network covers."""
    facts: tuple[Fact, ...] = ()
    """What can only be declared."""


def classes_on(school: School, day: date) -> int | None:
    """How many classes the school had on ``day``; None where nobody declared it."""
    begun = [year for year in school.classes_by_year if year.starts <= day]
    if not begun:
        return school.classes
    return max(begun, key=lambda year: year.starts).classes


def lines_on(school: School, day: date) -> tuple[Line, ...]:
    """The lines that were in use on ``day``."""
    return tuple(line for line in school.lines if _within(day, line.starts, line.ends))


def contract_on(line: Line, day: date) -> Contract:
    """The contract of a line on ``day``; its rates are None where nothing was contracted."""
    for contract in line.contracts:
        if _within(day, contract.starts, contract.ends):
            return contract
    return Contract(carrier=line.carrier, down=line.contracted_down, up=line.contracted_up)


def code_on(school: School, day: date) -> str | None:
    """The 学校标识码 that the school had on ``day``."""
    return next((code.code for code in school.codes if _within(day, code.starts, code.ends)), None)


def fact_on(school: School, name: FactName, day: date | None = None) -> Fact | None:
    """What was declared last of ``name`` by ``day``, or at all; None where nobody has."""
    known = [each for each in school.facts if each.name == name and (day is None or each.declared_on <= day)]
    return max(known, key=lambda each: each.declared_on, default=None)


def _within(day: date, starts: date | None, ends: date | None) -> bool:
    return (starts is None or starts <= day) and (ends is None or day <= ends)
