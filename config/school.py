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

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Longitude: TypeAlias = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Latitude: TypeAlias = Annotated[float, msgspec.Meta(ge=-90, le=90)]


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A contracted rate of a line, valid from ``starts`` to ``ends``, both days included; None is open."""

    number: str = ""
    carrier: str = ""
    down: BitsPerSecond | None = None
    up: BitsPerSecond | None = None
    starts: date | None = None
    ends: date | None = None


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One uplink of a school, in use from ``starts`` to ``ends`` (both included; None is open).

    ``interface`` is the agent's name of the port it leaves by; None means the interface of the default route.
    ``responders`` are the ids of the responders that lie beyond this line. ``contracts`` with dates come
    before ``contracted_down`` and ``contracted_up``, which hold when no dated contract does.
    """

    id: str
    carrier: str = ""
    kind: Literal["internet", "education"] = "internet"
    interface: str | None = None
    contracted_down: BitsPerSecond | None = None
    contracted_up: BitsPerSecond | None = None
    medium: Literal["fibre", "copper", "wireless", "unknown"] = "unknown"
    responders: tuple[str, ...] = ()
    campus: str = ""
    contracts: tuple[Contract, ...] = ()
    starts: date | None = None
    ends: date | None = None


class Campus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A campus 校区 or teaching point 教学点 of a school."""

    id: str
    name: str = ""
    township: str = ""
    longitude: Longitude | None = None
    latitude: Latitude | None = None


class SchoolCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ten-digit 学校标识码 and the days it held; a school that changes its kind gets another."""

    code: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{10}\Z")]
    starts: date | None = None
    ends: date | None = None


class ClassesOfYear(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Classes and pupils from ``starts`` on, until the next such entry: one for each school year."""

    starts: date
    classes: Count
    pupils: Count | None = None


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A switch or wireless controller of the campus that is polled by SNMP.

    ``trunk_ports`` are the names (ifName) of the ports of the campus backbone; ``access_ports`` those that
    terminals use, and empty means every other port of a switch that ``serves_terminals``.
    """

    id: str
    kind: Literal["switch", "controller", "gateway"] = "switch"
    address: str = ""
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
    wireless: tuple[Place, ...] = ()


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can only be declared, with who declared it and when; shown as declared, never as measured."""

    name: FactName
    holds: bool
    declared_by: str
    declared_on: date
    note: str = ""


class School(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A school as its county declares it; a site of level «district» is the district's own node.

    ``classes_by_year`` comes before ``classes``, which holds when no dated entry does. ``egress`` says
    whether the school leaves by its own lines or by the county's shared exit 统一出口: its lines then end
    there. ``power_cut`` are the hours when its power is cut («22:30-06:00»): neither silence nor down.
    """

    id: str
    name: str = ""
    level: Level = "primary"
    area: Area = "rural"
    classes: Count | None = None
    lines: tuple[Line, ...] = ()
    pupils: Count | None = None
    codes: tuple[SchoolCode, ...] = ()
    campuses: tuple[Campus, ...] = ()
    classes_by_year: tuple[ClassesOfYear, ...] = ()
    township: str = ""
    longitude: Longitude | None = None
    latitude: Latitude | None = None
    egress: Literal["lines", "shared_exit"] = "lines"
    power_cut: tuple[Hours, ...] = ()
    devices: tuple[Device, ...] = ()
    surveys: tuple[Survey, ...] = ()
    facts: tuple[Fact, ...] = ()


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


def _within(day: date, starts: date | None, ends: date | None) -> bool:
    return (starts is None or starts <= day) and (ends is None or day <= ends)
