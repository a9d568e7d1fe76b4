"""What a box makes of the counters of the school's router, on made readings."""

from __future__ import annotations

import re

import msgspec
import pytest

from agent.capacity.box import Moved, Reading, is_whole, judged, targets_of
from agent.capacity.estimate import Mark
from agent.probe import Site
from agent.probes.snmp import Device, PortRole
from agent.snmp.ifmib import PortReading
from config.school import School

START = 100.0
OWN = [Mark(0.05 * each, 5e6 * each) for each in range(61)]
"""3 s at 100 Mbit/s."""
MOVED = Moved(START, OWN, 300e6)
PORT = PortReading(
    name="wan", index=(2,), octets={"rx": 0, "tx": 0}, octet_bits=64, packets={"rx": 0, "tx": 0}, others={},
    speed_bits_per_second=10**9, operational=True, alias="", framing_bytes=18, discontinuity=0,
)  # fmt: skip


def readings(*seen: tuple[float, float]) -> list[Reading]:
    """(seconds after the start, Mbit since the first one) → readings that were new within 0.1 s."""
    return [
        Reading(
            round((START + at - 0.1) * 1e9),
            round((START + at) * 1e9),
            msgspec.structs.replace(PORT, octets={"rx": round(mbit * 125_000), "tx": 0}),
        )
        for at, mbit in seen
    ]


def test_the_line_whose_counter_moved_is_the_tests() -> None:
    seen = judged({"l1": readings((-0.5, 0), (4.0, 301)), "l2": readings((-0.5, 0))}, "rx", MOVED, "")
    assert seen.way.line == "l1"
    assert seen.share == pytest.approx(301 / 300)
    assert seen.users_bits_per_second == 0
    assert seen.doubt_bits_per_second == pytest.approx(1e6 / 3, rel=0.01)


def test_users_are_certain_only_between_two_refreshes_within_the_test() -> None:
    often = readings((-0.5, 0), (0.5, 90), (2.5, 370), (4.0, 500))
    seen = judged({"l1": often}, "rx", MOVED, "")
    assert seen.users_bits_per_second == pytest.approx(40e6 - 140e6 * 0.1 / 2)
    assert seen.doubt_bits_per_second == pytest.approx(14e6)
    late = judged({"l1": often}, "rx", Moved(START, OWN, 500e6), "")
    assert (late.users_bits_per_second, late.doubt_bits_per_second) == (0, 0)  # it was the test's own
    seldom = judged({"l1": readings((-0.5, 0), (2.5, 370), (4.0, 500))}, "rx", MOVED, "")
    assert seldom.users_bits_per_second == 0
    assert seldom.doubt_bits_per_second == pytest.approx(200e6 / 3)


def test_what_users_moved_is_not_taken_for_the_end_of_the_test() -> None:
    """A counter that shows as much as the test in its middle, half of it users', has more to show."""
    live = readings(*((0.1 * each, 10 * each) for each in range(31)))
    assert not is_whole(live, START, START + 3, START + 3.1)
    assert is_whole(live, START, START + 3, START + 3.5)
    seldom = readings((-0.5, 0), (1.5, 301))
    assert not is_whole(seldom, START, START + 3, START + 10)
    assert is_whole([*seldom, *readings((4.5, 600))], START, START + 3, START + 4.5)


@pytest.mark.parametrize(
    ("counters", "why"),
    [
        ({"l1": readings((-0.5, 0), (4.0, 200))}, r"no line's counter .* \(most: 67%\)"),
        (
            {"l2": readings((-0.5, 0), (4.0, 400)), "l1": readings((-0.5, 0), (4.0, 300))},
            "several lines moved by as much as the test: l1, l2",
        ),
        ({"l1": []}, "did not tell its counters: did not answer"),
    ],
)
def test_what_counts_for_no_line(counters: dict[str, list[Reading]], why: str) -> None:
    seen = judged(counters, "rx", MOVED, "did not answer")
    assert seen.way.line is None
    assert re.search(why, seen.way.why), seen.way.why


def test_targets_are_the_ports_that_lines_leave_by() -> None:
    gateway = Device(
        id="gw", host="10.0.0.1", community_file="c",
        ports={"wan": PortRole(role="line", line="l1"), "lan": PortRole(role="trunk")},
    )  # fmt: skip
    found = targets_of(Site(school=School(id="s1"), stands_on="lan", devices=(gateway,)))
    assert [(each.line, each.port) for each in found] == [("l1", "wan")]
    assert targets_of(Site(school=School(id="s1"))) == []
