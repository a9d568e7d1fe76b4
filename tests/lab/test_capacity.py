"""The short form of the capacity matrix: a few lines of each kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from config.calendar import default_calendar
from config.evidence import evidence_of
from config.judge import judge_plan
from config.plan import shipped_plans
from config.points import Point
from config.school import School
from tests.agent.capacity.far_end import number
from tests.lab.capacity_lines import SHARED_MACHINE, Lines, held_to
from tests.lab.capacity_matrix import (
    IPERF_SECONDS,
    M,
    Setting,
    held_is_right,
    search_is_right,
    thrifty,
    verify_at,
    verify_is_right,
)

pytestmark = [pytest.mark.quiet, pytest.mark.needs_root, pytest.mark.needs("iperf3"), pytest.mark.needs("tc")]
DOWN = SHARED_MACHINE | {"directions": ["down"]}
UP = SHARED_MACHINE | {"directions": ["up"]}
SEARCH = SHARED_MACHINE | {"mode": "search"}
OWN_CPU = {"cpu_limit": 0.97}


@pytest.mark.parametrize(
    ("setting", "family", "way"),
    [
        (Setting(10 * M, 0.0, 0.0), "ipv4", DOWN),
        (Setting(45 * M, 0.010, 0.001), "ipv6", UP),
        (Setting(100 * M, 0.0, 0.0), "ipv6", DOWN),
        (Setting(100 * M, 0.010, 0.0), "ipv4", UP),
    ],
    ids=str,
)
def test_a_search_finds_the_lines_rate_with_few_bytes(
    lines: Lines, setting: Setting, family: str, way: dict[str, object]
) -> None:
    line = setting.on(lines)
    full = setting.rate / 8 * IPERF_SECONDS  # the matrix runs iperf3 beside; here what it would move
    (point,) = _undisturbed(
        lambda: line.measured(family, [SEARCH | way]),
        lambda found: search_is_right(found[0], setting.rate) and thrifty(found[0], setting.rate, full),
    )
    assert search_is_right(point, setting.rate), point
    assert thrifty(point, setting.rate, full), point


def test_a_verify_run_is_right_on_both_sides_of_its_target(lines: Lines) -> None:
    line = Setting(45 * M, 0.0, 0.0).on(lines)
    asked = [verify_at(45 * M * share) | DOWN for share in (0.95, 1.05)]
    below, above = _undisturbed(
        lambda: line.measured("ipv4", asked), lambda found: verify_is_right(found[0], reaches=True)
    )
    assert verify_is_right(below, reaches=True), below
    assert verify_is_right(above, reaches=False), above


def test_users_traffic_counts_as_carried(lines: Lines) -> None:
    line = Setting(45 * M, 0.0, 0.0).on(lines)
    with line.users("down", round(0.7 * 45 * M), 30.0):
        (point,) = line.measured("ipv4", [SEARCH | DOWN])
    assert number(point, "ip_bits_per_second") == pytest.approx(45 * M, rel=0.05)
    assert number(point, "users_bits_per_second") > 5 * M


@pytest.mark.needs("snmpd", "snmpget")
def test_a_box_behind_the_gateway_reads_the_lines_counter_by_snmp(lines: Lines) -> None:
    line = Setting(45 * M, 0.0, 0.0).on(lines)
    line.wait_for_router()  # what other tests moved is not to look like this one's users
    (quiet,) = line.measured_from_a_box([SEARCH | DOWN])
    assert quiet.tags.get("line") == "l1", quiet.fields.get("note")
    assert quiet.fields["counts_for_line"] is True, quiet
    assert number(quiet, "ip_bits_per_second") == pytest.approx(45 * M, rel=0.03)
    with line.users("down", 5 * M, 30.0):
        (busy,) = line.measured_from_a_box([verify_at(43 * M) | DOWN | OWN_CPU])
    assert busy.fields["counts_for_line"] is True, busy
    assert busy.fields["bound"] != "upper", busy  # users not told apart are no proof against the line


def test_reno_on_a_long_lossy_path_gives_a_lower_bound_and_says_why(lines: Lines) -> None:
    line = Setting(100 * M, 0.040, 0.001).on(lines)
    (point,) = line.measured("ipv4", [verify_at(95 * M) | DOWN | {"congestion_control": "reno"}])
    assert (point.fields["bound"], point.fields["limited_by"]) == ("lower", "loss_under_reno")
    assert _answer(line.declared, point) != "not_met"


def test_a_gateway_held_to_a_tenth_of_a_core_is_limited_by_the_host(lines: Lines) -> None:
    line = Setting(900 * M, 0.0, 0.0).on(lines)
    own = DOWN | {"cpu_limit": 0.85, "busy_cpu": 1.0}
    with held_to(0.1) as group:
        found, asked = line.measured("ipv4", [SEARCH | own, verify_at(860 * M) | own], group)
    assert found.fields["limited_by"] == "host_cpu", found
    for point in (found, asked):
        assert held_is_right(point), point
        assert _answer(line.declared, point) != "not_met"


def _undisturbed(measure: Callable[[], list[Point]], right: Callable[[list[Point]], bool]) -> list[Point]:
    """Measure again, twice at most, when it is off and this machine's cores were fully taken meanwhile."""
    for _ in range(2):
        found = measure()
        if right(found) or max(number(point, "host_cpu_share") for point in found) < 0.95:
            return found
    return measure()


def _answer(school: School, point: Point) -> str:
    """The verdict on the exit of a school, 10 Mbit/s for each of its classes."""
    evidence = list(evidence_of(point, school))
    moment = max(each.at for each in evidence) + timedelta(minutes=1)
    verdicts = judge_plan(shipped_plans()["shandan"], school, evidence, moment, default_calendar())
    return next(each.answer.value for each in verdicts if each.target == "egress_all_2018")
