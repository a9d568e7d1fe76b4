"""Evidence: what one observation says about the capacity of one line, and since when."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from config import readiness
from config.points import Point
from config.school import Device, Line, School

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PEAK_SECONDS = 10.0
PEAK_REFRESHES = 3
SEARCH_ERROR = 0.02

NOT_BY_LINE = "the path left by no declared line"
NOT_ENOUGH_BY_LINE = "the line's own counter moved by less than 90 % of the bytes"
UNDECLARED_LINE = "the line is not declared"
OTHER_RESPONDER = "the responder does not lie beyond this line"
SHORT_PEAK = "the peak spans less than 10 s or 3 refreshes of the counter"
LIMITED = "something other than the line limited the test"

_TELLING = frozenset({"ping", "capacity", "ipv6", "access_points", "terminal_test", readiness.SUMMARY})

Direction: TypeAlias = Literal["down", "up", "both"]


class EvidenceKind(enum.Enum):
    """How a bound was found. The judge's ``Rules`` say how long each counts."""

    PASSIVE_PEAK = "passive_peak"
    PORT_SPEED = "port_speed"
    SEARCH = "search"
    SEARCH_LIMITED = "search_limited"
    VERIFY_PASSED = "verify_passed"
    VERIFY_FAILED = "verify_failed"
    PLATEAU = "plateau"
    DECLARED = "declared"
    OBSERVED = "observed"
    TERMINAL_TEST = "terminal_test"


class Uplink(msgspec.Struct, frozen=True, tag="uplink"):
    """How an uplink of the school was seen. ``next_hop`` is the address of its own default route's router."""

    up: bool | None = None
    port_type: str | None = None
    next_hop: str | None = None


class AccessPoints(msgspec.Struct, frozen=True, tag="access_points"):
    """How many of the installed access points a wireless controller has online."""

    online: int
    installed: int


class Ipv6Level(msgspec.Struct, frozen=True, tag="ipv6_level"):
    """The IPv6 readiness level of a line, 0 to 4, between what is shown and what is ruled out."""

    at_least: int = 0
    at_most: int = 4


class Ipv6Checks(msgspec.Struct, frozen=True, tag="ipv6_checks"):
    """Numbers of the IPv6 readiness checks that one agent saw pass and fail; the rest is not known to it."""

    passed: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()


class Declared(msgspec.Struct, frozen=True, tag="declared"):
    """What somebody declared; never counted as measured."""

    what: str
    value: str
    declared_by: str = ""


Observed: TypeAlias = Uplink | AccessPoints | Ipv6Level | Ipv6Checks | Declared


class Evidence(msgspec.Struct, frozen=True):
    """One bound on one line, rates in bit/s at the IP layer.

    ``judges`` is False for what is shown but never counts (the path did not leave by a declared line).
    ``about`` says what it speaks of; ``subject`` is the id of that line, «device/port» of that port, or the
    device's id. ``observed`` holds what is no rate (kinds OBSERVED and DECLARED). ``note`` is one of this
    module's sentences, or the measurement's own remark.
    """

    kind: EvidenceKind
    subject: str
    at: datetime
    direction: Direction = "both"
    lower_bits_per_second: int | None = None
    upper_bits_per_second: int | None = None
    judges: bool = True
    note: str = ""
    about: Literal["line", "trunk_port", "access_port", "campus", "terminal"] = "line"
    observed: Observed | None = None


def may_concern(measurement: str, tags: Mapping[str, str]) -> bool:
    """Whether points of a series may be evidence, or part of a plateau: nobody need look at the others."""
    if measurement == "interface":
        return "line" in tags or "device" in tags
    return measurement in _TELLING


def evidence_of(point: Point, school: School) -> list[Evidence]:
    """What one measured point says about the school's lines and ports; nothing for most measurements."""
    match point.measurement:
        case "interface":
            found = _of_interface(point, school)
        case "capacity":
            found = _of_capacity(point, school)
        case "ipv6":
            found = _of_ipv6(point, school)
        case "access_points":
            found = _of_controller(point, school)
        case "terminal_test":
            found = _of_terminal(point)
        case readiness.SUMMARY:
            found = iter([_of_readiness(point)])
        case _:
            return []
    return list(found)


def moment_of(point: Point) -> datetime:
    """The point's own time, UTC, to the microsecond."""
    return EPOCH + timedelta(microseconds=point.time_ns // 1000)


def _of_interface(point: Point, school: School) -> Iterator[Evidence]:
    if "line" in point.tags:
        yield from _of_uplink(point, school)
    elif "device" in point.tags:
        yield from _of_campus_port(point, school)


def _of_uplink(point: Point, school: School) -> Iterator[Evidence]:
    line = _line(school, point.tags["line"])
    yield from _peaks(point, declared=line is not None)
    yield from _port_speed(point, point.tags["line"], "line", "" if line else UNDECLARED_LINE)
    seen = Uplink(
        up=_flag(point, "operational"), port_type=_text(point, "port_type"), next_hop=_text(point, "next_hop")
    )
    if line and seen != Uplink():
        yield Evidence(EvidenceKind.OBSERVED, line.id, moment_of(point), observed=seen)


def _peaks(point: Point, *, declared: bool) -> Iterator[Evidence]:
    """The windows' peaks, received (down) and sent (up); too short a span lies where counters are cached."""
    span = _number(point, "peak_seconds") or 0.0
    long_enough = span >= max(PEAK_SECONDS, PEAK_REFRESHES * (_number(point, "refresh_seconds") or 0.0))
    note = "" if declared and long_enough else UNDECLARED_LINE if not declared else SHORT_PEAK
    directions: tuple[tuple[str, Direction], ...] = (("rx", "down"), ("tx", "up"))
    for prefix, direction in directions:
        peak = _integer(point, f"{prefix}_peak_bits_per_second")
        if peak is not None:
            yield Evidence(
                EvidenceKind.PASSIVE_PEAK,
                point.tags["line"],
                moment_of(point),
                direction,
                lower_bits_per_second=peak,
                judges=not note,
                note=note,
            )


def _port_speed(
    point: Point, subject: str, about: Literal["line", "trunk_port", "access_port"], note: str = ""
) -> Iterator[Evidence]:
    speed = _integer(point, "port_bits_per_second")
    if speed is not None and speed > 0 and point.fields.get("operational") is not False:
        yield Evidence(
            EvidenceKind.PORT_SPEED,
            subject,
            moment_of(point),
            upper_bits_per_second=speed,
            judges=not note,
            note=note,
            about=about,
        )


def _of_campus_port(point: Point, school: School) -> Iterator[Evidence]:
    device = next((each for each in school.devices if each.id == point.tags["device"]), None)
    port = point.tags.get("interface", "")
    about = _port_role(device, port) if device else None
    if device and about:
        yield from _port_speed(point, f"{device.id}/{port}", about)


def _of_controller(point: Point, school: School) -> Iterator[Evidence]:
    """Access points online of those installed, of a device that the school declares."""
    online, installed = _integer(point, "online"), _integer(point, "installed")
    declared = any(device.id == point.tags.get("device") for device in school.devices)
    if declared and online is not None and installed is not None:
        yield Evidence(
            EvidenceKind.OBSERVED,
            point.tags["device"],
            moment_of(point),
            about="campus",
            observed=AccessPoints(online, installed),
        )


def _port_role(device: Device, port: str) -> Literal["trunk_port", "access_port"] | None:
    if port in device.trunk_ports:
        return "trunk_port"
    if device.access_ports:
        return "access_port" if port in device.access_ports else None
    return "access_port" if device.kind == "switch" and device.serves_terminals else None


def _of_capacity(point: Point, school: School) -> Iterator[Evidence]:
    found = _verify(point) if point.tags.get("mode") == "verify" else _search(point)
    if found is None:
        return
    kind, lower, upper = found
    why_not = _why_not_the_lines(point, school) or ("" if lower is not None or upper is not None else LIMITED)
    yield Evidence(
        kind,
        point.tags.get("line") or point.tags.get("responder", ""),
        moment_of(point),
        "up" if point.tags.get("direction") == "up" else "down",
        lower_bits_per_second=lower,
        upper_bits_per_second=upper,
        judges=not why_not,
        note=why_not or _text(point, "note") or "",
    )


Bounds: TypeAlias = tuple[EvidenceKind, int | None, int | None]


def _verify(point: Point) -> Bounds | None:
    """Passed: at least its rate. Failed: below it, when nothing but the line was in the way."""
    asked, passed = _integer(point, "asked_bits_per_second"), _flag(point, "passed")
    if asked is None or passed is None:
        return None
    if passed:
        return EvidenceKind.VERIFY_PASSED, asked, None
    return EvidenceKind.VERIFY_FAILED, None, None if _limited(point) else asked - 1


def _search(point: Point) -> Bounds | None:
    """Not limited: from the estimate, which was delivered, to SEARCH_ERROR above it. Limited: at least it."""
    rate, bound = _integer(point, "ip_bits_per_second"), _text(point, "bound")
    if rate is None:
        return None
    if bound == "none":
        return EvidenceKind.SEARCH_LIMITED, None, None
    if bound == "lower" or _limited(point):
        return EvidenceKind.SEARCH_LIMITED, rate, None
    return EvidenceKind.SEARCH, None if bound == "upper" else rate, round(rate * (1 + SEARCH_ERROR))


def _limited(point: Point) -> bool:
    return (_text(point, "limited_by") or "nothing") != "nothing" or _text(point, "bound") == "none"


def _why_not_the_lines(point: Point, school: School) -> str:
    """Why a test says nothing about a line; empty when it does."""
    if "line" not in point.tags:
        return NOT_BY_LINE
    line = _line(school, point.tags["line"])
    if line is None:
        return UNDECLARED_LINE
    if point.fields.get("counts_for_line") is not True:
        return NOT_ENOUGH_BY_LINE
    if line.responders and point.tags.get("responder") not in line.responders:
        return OTHER_RESPONDER
    return ""


def _of_ipv6(point: Point, school: School) -> Iterator[Evidence]:
    """Checks 1 and 2 of the readiness list: one that fails rules out level 1, both show it."""
    line = _line(school, point.tags.get("line", ""))
    checks = [_flag(point, name) for name in ("global_address", "default_route", "next_hop_answers")]
    if line is None:
        return
    if False in checks:
        level = Ipv6Level(at_most=0)
    elif None in checks:
        return
    else:
        level = Ipv6Level(at_least=1)
    note = _text(point, "finding") or ""
    yield Evidence(EvidenceKind.OBSERVED, line.id, moment_of(point), observed=level, note=note)


def _of_readiness(point: Point) -> Evidence:
    """One agent's view of the fifteen checks; the judge merges the views of a school."""
    seen = Ipv6Checks(
        passed=readiness.numbers_of(_text(point, "passed") or ""),
        failed=readiness.numbers_of(_text(point, "failed") or ""),
    )
    subject = f"ipv6 {point.tags.get('place', '')}/{point.tags.get('source', '')}"
    return Evidence(EvidenceKind.OBSERVED, subject, moment_of(point), about="campus", observed=seen)


def _of_terminal(point: Point) -> Iterator[Evidence]:
    """What one browser got is a lower bound of what its terminal can get, and of no other terminal; its own
    limit may be the device, the browser or the wireless. So it is shown, and never judges.
    """
    directions: tuple[Direction, ...] = ("down", "up")
    for direction in directions:
        rate = _integer(point, f"{direction}_ip_bits_per_second")
        if rate is not None:
            yield Evidence(
                EvidenceKind.TERMINAL_TEST,
                "terminal",  # one series a school: its book keeps the newest tests, however many terminals
                moment_of(point),
                direction,
                lower_bits_per_second=rate,
                judges=False,
                note=" ".join(filter(None, (_text(point, "place"), _text(point, "address")))),
                about="terminal",
            )


def _line(school: School, line_id: str) -> Line | None:
    return next((line for line in school.lines if line.id == line_id), None)


def _number(point: Point, field: str) -> float | None:
    value = point.fields.get(field)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(point: Point, field: str) -> int | None:
    value = point.fields.get(field)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(point: Point, field: str) -> bool | None:
    value = point.fields.get(field)
    return value if isinstance(value, bool) else None


def _text(point: Point, field: str) -> str | None:
    value = point.fields.get(field)
    return value if isinstance(value, str) and value else None
