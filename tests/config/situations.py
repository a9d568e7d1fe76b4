"""Schools and evidence for the judge's tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from config.calendar import CalendarSettings, SchoolCalendar
from config.evidence import AccessPoints, Evidence, EvidenceKind, Ipv6Level, Uplink
from config.plan import Plan, Target, shipped_plans
from config.school import Area, Device, Level, Line, School, Survey

NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)  # a Wednesday, 12:00 in Shanghai
CALENDAR = SchoolCalendar(CalendarSettings(public_holidays="none"))
M = 1_000_000
G = 1_000_000_000
CORE = Device("core", trunk_ports=("ten1",), serves_terminals=False)
FLOOR = Device("floor")
SURVEY = Survey("王老师", date(2026, 9, 1), wired=("indoors",), wireless=("indoors", "outdoors"))


def school(
    classes: int | None = 36,
    area: Area = "urban",
    level: Level = "primary",
    lines: tuple[Line, ...] = (Line("edu", kind="education"),),
) -> School:
    """A school with one education line unless told otherwise."""
    return School(
        "s1", level=level, area=area, classes=classes, lines=lines, devices=(CORE, FLOOR), surveys=(SURVEY,)
    )


def target_of(plan_id: str, target_id: str) -> tuple[Plan, Target]:
    """A target of a shipped plan."""
    plan = shipped_plans()[plan_id]
    return plan, next(target for target in plan.targets if target.id == target_id)


def before(hours: float) -> datetime:
    """So many hours before NOW."""
    return NOW - timedelta(hours=hours)


def peak(rate: int, *, hours: float = 1, line: str = "edu") -> Evidence:
    return Evidence(EvidenceKind.PASSIVE_PEAK, line, before(hours), "down", lower_bits_per_second=rate)


def port(rate: int, *, hours: float = 0.01, line: str = "edu") -> Evidence:
    return Evidence(EvidenceKind.PORT_SPEED, line, before(hours), upper_bits_per_second=rate)


def search(rate: int, *, hours: float = 1, line: str = "edu") -> Evidence:
    return Evidence(EvidenceKind.SEARCH, line, before(hours), "down", rate, rate)


def passed(rate: int, *, hours: float = 1, line: str = "edu") -> Evidence:
    return Evidence(EvidenceKind.VERIFY_PASSED, line, before(hours), "down", lower_bits_per_second=rate)


def failed(rate: int, *, hours: float = 1, line: str = "edu") -> Evidence:
    return Evidence(EvidenceKind.VERIFY_FAILED, line, before(hours), "down", upper_bits_per_second=rate - 1)


def trunk(rate: int) -> Evidence:
    return Evidence(
        EvidenceKind.PORT_SPEED, "core/ten1", before(0.01), upper_bits_per_second=rate, about="trunk_port"
    )


def terminal(rate: int, name: str = "floor/1") -> Evidence:
    return Evidence(
        EvidenceKind.PORT_SPEED, name, before(0.01), upper_bits_per_second=rate, about="access_port"
    )


def access_points(online: int, installed: int = 100) -> Evidence:
    seen = AccessPoints(online, installed)
    return Evidence(EvidenceKind.OBSERVED, "controller", before(0.1), about="campus", observed=seen)


def ipv6(at_least: int, at_most: int) -> Evidence:
    return Evidence(EvidenceKind.OBSERVED, "edu", before(0.1), observed=Ipv6Level(at_least, at_most))


def uplink(line: str, next_hop: str | None, port_type: str | None = "fibre", *, up: bool = True) -> Evidence:
    seen = Uplink(up, port_type, next_hop)
    return Evidence(EvidenceKind.OBSERVED, line, before(0.01), observed=seen)
