"""What a measured point says about a line."""

from __future__ import annotations

import pytest

from config.evidence import (
    LIMITED,
    NOT_BY_LINE,
    NOT_ENOUGH_BY_LINE,
    OTHER_RESPONDER,
    SHORT_PEAK,
    UNDECLARED_LINE,
    EvidenceKind,
    Ipv6Level,
    Uplink,
    evidence_of,
)  # fmt: skip
from config.points import FieldValue, Point
from config.school import Device, Line, School

SCHOOL = School(
    "s1",
    lines=(Line("edu", kind="education", responders=("county",)), Line("net")),
    devices=(Device("core", trunk_ports=("ten1",), serves_terminals=False), Device("floor")),
)
MOMENT_NS = 1_763_000_000_123_456_789

WINDOW: dict[str, FieldValue] = {
    "rx_peak_bits_per_second": 90_000_000,
    "tx_peak_bits_per_second": 9_000_000,
    "peak_seconds": 10.0,
    "refresh_seconds": 1.0,
    "port_bits_per_second": 1_000_000_000,
    "port_type": "fibre",
    "operational": True,
}
SEARCH: dict[str, FieldValue] = {
    "ip_bits_per_second": 100_000_000,
    "bound": "equal",
    "limited_by": "nothing",
    "counts_for_line": True,
}
VERIFY: dict[str, FieldValue] = {
    "asked_bits_per_second": 342_000_000,
    "passed": True,
    "bound": "lower",
    "limited_by": "nothing",
    "counts_for_line": True,
}
SEARCHED = {"line": "edu", "responder": "county", "direction": "down", "mode": "search"}
VERIFIED = SEARCHED | {"mode": "verify"}


def point(measurement: str, tags: dict[str, str], fields: dict[str, FieldValue]) -> Point:
    return Point(measurement, tags, fields, MOMENT_NS)


def test_a_window_of_a_line_gives_peaks_port_speed_and_how_the_uplink_was_seen() -> None:
    down, up, speed, seen = evidence_of(
        point("interface", {"interface": "eth0", "line": "edu"}, WINDOW), SCHOOL
    )
    assert (down.kind, down.direction, down.lower_bits_per_second) == (
        EvidenceKind.PASSIVE_PEAK, "down", 90_000_000,
    )  # fmt: skip
    assert (up.direction, up.lower_bits_per_second, up.upper_bits_per_second) == ("up", 9_000_000, None)
    assert (speed.kind, speed.upper_bits_per_second) == (EvidenceKind.PORT_SPEED, 1_000_000_000)
    assert seen.observed == Uplink(True, "fibre")
    assert all(each.judges and each.subject == "edu" for each in (down, up, speed, seen))
    assert down.at.isoformat() == "2025-11-13T02:13:20.123456+00:00"


@pytest.mark.parametrize(
    ("tags", "changes", "note"),
    [
        ({"line": "edu"}, {"peak_seconds": 9.9}, SHORT_PEAK),
        ({"line": "edu"}, {"refresh_seconds": 3.4}, SHORT_PEAK),
        ({"line": "gone"}, {}, UNDECLARED_LINE),
    ],
)
def test_a_peak_that_proves_nothing_is_shown(
    tags: dict[str, str], changes: dict[str, FieldValue], note: str
) -> None:
    first = evidence_of(point("interface", tags, WINDOW | changes), SCHOOL)[0]
    assert (first.judges, first.note) == (False, note)


def test_a_port_that_is_down_has_no_speed() -> None:
    found = evidence_of(point("interface", {"line": "edu"}, WINDOW | {"operational": False}), SCHOOL)
    assert EvidenceKind.PORT_SPEED not in {each.kind for each in found}
    assert found[-1].observed == Uplink(False, "fibre")


@pytest.mark.parametrize(
    ("device", "port", "about"),
    [
        ("core", "ten1", "trunk_port"),
        ("floor", "1", "access_port"),
        ("core", "ten2", None),
        ("other", "1", None),
    ],
)
def test_ports_of_the_campus(device: str, port: str, about: str | None) -> None:
    tags = {"device": device, "interface": port, "role": "other"}
    found = [(each.about, each.subject) for each in evidence_of(point("interface", tags, WINDOW), SCHOOL)]
    assert found == ([(about, f"{device}/{port}")] if about else [])


@pytest.mark.parametrize(
    ("tags", "fields", "kind", "bounds", "note"),
    [
        (SEARCHED, SEARCH, "search", (100_000_000, 102_000_000), ""),
        (SEARCHED, SEARCH | {"limited_by": "host_cpu"}, "search_limited", (100_000_000, None), ""),
        (SEARCHED, SEARCH | {"bound": "lower"}, "search_limited", (100_000_000, None), ""),
        (SEARCHED, SEARCH | {"bound": "none"}, "search_limited", (None, None), LIMITED),
        (SEARCHED, SEARCH | {"bound": "upper"}, "search", (None, 102_000_000), ""),
        (VERIFIED, VERIFY, "verify_passed", (342_000_000, None), ""),
        (VERIFIED, VERIFY | {"passed": False, "bound": "upper"}, "verify_failed", (None, 341_999_999), ""),
        (
            VERIFIED,
            VERIFY | {"passed": False, "limited_by": "far_end"},
            "verify_failed",
            (None, None),
            LIMITED,
        ),
        (
            SEARCHED,
            SEARCH | {"counts_for_line": False},
            "search",
            (100_000_000, 102_000_000),
            NOT_ENOUGH_BY_LINE,
        ),
        (SEARCHED | {"responder": "x"}, SEARCH, "search", (100_000_000, 102_000_000), OTHER_RESPONDER),
        (SEARCHED | {"line": "gone"}, SEARCH, "search", (100_000_000, 102_000_000), UNDECLARED_LINE),
        ({"mode": "search", "responder": "x"}, SEARCH, "search", (100_000_000, 102_000_000), NOT_BY_LINE),
    ],
)
def test_a_capacity_test(
    tags: dict[str, str],
    fields: dict[str, FieldValue],
    kind: str,
    bounds: tuple[int | None, int | None],
    note: str,
) -> None:
    (found,) = evidence_of(point("capacity", tags, fields), SCHOOL)
    assert (found.kind.value, found.direction) == (kind, "down")
    assert (found.lower_bits_per_second, found.upper_bits_per_second) == bounds
    assert (found.judges, found.note) == (not note, note)


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"global_address": True, "default_route": True, "next_hop_answers": True}, Ipv6Level(at_least=1)),
        ({"global_address": False, "default_route": True}, Ipv6Level(at_most=0)),
        ({"global_address": True, "default_route": True}, None),
    ],
)
def test_ipv6_of_a_line(fields: dict[str, FieldValue], level: Ipv6Level | None) -> None:
    found = evidence_of(point("ipv6", {"line": "net", "interface": "eth0"}, fields), SCHOOL)
    assert [each.observed for each in found] == ([level] if level else [])


def test_other_measurements_say_nothing() -> None:
    assert evidence_of(point("ping", {"target": "gateway"}, {"sent": 1}), SCHOOL) == []
    assert evidence_of(point("capacity", VERIFIED, {"counts_for_line": True}), SCHOOL) == []
