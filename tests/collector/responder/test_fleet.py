"""300 schools on paper clocks: no overlap beyond the share, everyone tested in its window, budgets kept.

Two collectors behind a balancer grant the tests.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.registry import Registry
from collector.responder.needs import Trigger
from collector.responder.settings import SlotSettings
from collector.responder.slots import Suppression
from config.evidence import Evidence, EvidenceKind
from config.points import Point
from config.units import BitsPerSecond, Bytes, Seconds
from tests.collector.responder.fleet import County, M, local, most_at_once

MONDAY = local(2026, 11, 23)
POLL = 3600.0
MakeCounty = Callable[..., County]


@pytest.fixture
def make_county(tmp_path: Path) -> Iterator[MakeCounty]:
    """A county of two collectors."""
    opened: list[Registry] = []

    def make(*given: Any, **options: Any) -> County:
        url = f"sqlite:///{tmp_path}/{len(opened)}.db"
        registries = [Registry.open(url) for _ in range(2)]
        opened.extend(registries)
        return County(*given, registries=registries, **options)

    yield make
    for each in opened:
        each.close()


def test_a_county_of_300_schools_is_tested_in_a_day_within_share_hours_and_bytes(
    make_county: MakeCounty,
) -> None:
    draw = random.Random(7)
    rates = {f"s{number:03}": draw.choice([60, 90, 100, 300, 500]) * M for number in range(300)}
    slots = SlotSettings(
        county_line=BitsPerSecond(2000 * M), share=0.5, bytes_per_month=Bytes(10 * 10**9), poll=Seconds(POLL)
    )
    county = make_county(rates, slots, MONDAY, power_cut=("22:30-06:00",))
    county.run_until(MONDAY + timedelta(days=1), POLL)
    ran = county.ran
    assert most_at_once(ran) <= 1000 * M
    assert not [each for each in ran if county.calendar.in_school_hours(each.starts)]
    assert not [each for each in ran if county.calendar.expected_off(each.starts, ("22:30-06:00",))]
    assert {each.school for each in ran if each.mode == "verify"} == set(rates)
    assert {each.school for each in ran if each.mode == "search"} == set(rates)
    for name in rates:
        own = [each for each in ran if each.school == name]
        assert sum(each.bytes for each in own) <= 10 * 10**9
        assert all(a.ends <= b.starts for a, b in itertools.pairwise(own))
    firsts = {each.school: each.starts for each in reversed(ran)}
    hours = {at.hour for at in firsts.values()}
    assert len(hours) >= 5  # spread, not all at the end of lessons


def test_a_schools_bytes_of_the_month_end_its_tests(make_county: MakeCounty) -> None:
    budget = 70 * 10**6
    county = make_county(
        {"s1": 100 * M}, SlotSettings(bytes_per_month=Bytes(budget), poll=Seconds(POLL)), MONDAY
    )
    county.run_until(MONDAY + timedelta(days=3), POLL)
    assert 0 < sum(each.bytes for each in county.ran) <= budget
    assert any("of this month's" in reason for _, reason in county.refusals)


def test_a_school_of_a_small_month_is_searched_whatever_its_line_carries(make_county: MakeCounty) -> None:
    """Nobody declares the county's line: no rate bounds a search."""
    rates, month = {"s1": 100 * M, "s2": 1000 * M, "s3": 10_000 * M}, 10 * 10**9
    county = make_county(rates, SlotSettings(bytes_per_month=Bytes(month), poll=Seconds(POLL)), MONDAY)
    county.run_until(MONDAY + timedelta(days=2), POLL)
    for name in rates:
        own = [each for each in county.ran if each.school == name]
        assert {each.direction for each in own if each.mode == "search"} == {"down", "up"}
        assert sum(each.bytes for each in own) <= month


def test_suppression_acts_at_once_and_ends(make_county: MakeCounty) -> None:
    county = make_county({f"s{n}": 100 * M for n in range(20)}, SlotSettings(poll=Seconds(POLL)), MONDAY)
    exam = Suppression(MONDAY, MONDAY + timedelta(days=1), "exams")
    county.ledger.suppress(exam)
    county.run_until(MONDAY + timedelta(days=1), POLL)
    assert county.ran == []
    assert {reason for _, reason in county.refusals} == {
        "tests are suppressed until 2026-11-23T16:00+0000: exams"
    }
    county.run_until(MONDAY + timedelta(days=2), POLL)
    assert {each.school for each in county.ran} == set(county.true_rates)


def test_a_met_school_is_verified_again_before_its_evidence_expires(make_county: MakeCounty) -> None:
    county = make_county({"s1": 500 * M}, SlotSettings(poll=Seconds(3600)), MONDAY)
    county.run_until(MONDAY + timedelta(days=1), 3600)
    assert county.answer("s1") == "met"
    for day in range(2, 90):
        county.run_until(MONDAY + timedelta(days=day), 3600)
        assert county.answer("s1") == "met", day
    verifies = [each for each in county.ran if each.mode == "verify" and each.direction == "down"]
    assert 3 <= len(verifies) <= 8


def test_a_line_cut_in_the_night_is_not_met_after_the_next_verify_and_its_second_try(
    make_county: MakeCounty,
) -> None:
    """100 → 60 Mbit/s without a trace in the port, though a peak of 98 was seen last week."""
    county = make_county({"s1": 100 * M}, SlotSettings(poll=Seconds(600)), MONDAY, classes=1)
    classes = 100 * M // (county.egress("s1").needed or 0)
    county.schools["s1"] = msgspec.structs.replace(county.schools["s1"], classes=classes)
    county.run_until(MONDAY + timedelta(days=1), 600)
    assert county.answer("s1") == "met"
    county.true_rates["s1"] = 60 * M
    day = MONDAY + timedelta(days=1)
    while county.answer("s1") == "met":
        _peak(county)
        day += timedelta(days=1)
        county.run_until(day, 600)
        assert day < MONDAY + timedelta(days=40), "never verified again"
    assert county.answer("s1") == "not_met"
    failed = [each for each in county.ran if each.passed is False and each.asked <= 95 * M]
    assert len(failed) == 2
    assert timedelta(seconds=600) <= failed[1].starts - failed[0].starts <= timedelta(hours=2)
    assert any(each.why == "a verify run failed" for each in county.ran)


def _peak(county: County) -> None:
    """Last week's traffic reached 98 Mbit/s: evidence from before the cut."""
    at = MONDAY + timedelta(hours=12)
    peak = Evidence(EvidenceKind.PASSIVE_PEAK, "l1", at, "down", lower_bits_per_second=98 * M)
    if peak not in county.evidence["s1"]:
        county.evidence["s1"].append(peak)


@pytest.mark.parametrize("why", ["the port changed from 1 Gbit/s to 100 Mbit/s", ""])
def test_a_change_of_the_port_asks_for_a_verify_at_once(make_county: MakeCounty, why: str) -> None:
    """Whichever collector heard of it, and whichever is asked."""
    county = make_county({"s1": 500 * M}, SlotSettings(poll=Seconds(600)), MONDAY)
    county.run_until(MONDAY + timedelta(days=2), 600)
    before, noticed = len(county.ran), county.now + timedelta(minutes=5)
    county.run_until(noticed, 600)
    for point in _told(why, noticed.timestamp()):
        county.office.on_points("s1", [point])
    county.run_until(MONDAY + timedelta(days=2, hours=1), 600)
    new = county.ran[before:]
    assert [(each.mode, each.why) for each in new][:1] == ([("verify", why)] if why else [])
    assert all(each.starts - noticed <= timedelta(minutes=20) for each in new[:1])


def _told(why: str, at: float) -> list[Point]:
    """What agents tell when that happens, and when nothing does."""
    verify = {"line": "l1", "responder": "county", "direction": "down", "family": "ipv4", "mode": "verify"}
    speeds = (1000 * M, 1000 * M, 100 * M if why.startswith("the port") else 1000 * M)
    port = {"interface": "wan", "line": "l1"}
    return [
        Point("capacity", verify, {"latency_grade": "B"}, round(at * 1e9)),
        *(
            Point("interface", port, {"port_bits_per_second": speed}, round((at + second) * 1e9))
            for second, speed in enumerate(speeds)
        ),
    ]


def test_latency_under_load_is_looked_at_once_more_and_no_further(make_county: MakeCounty) -> None:
    county = make_county({"s1": 500 * M}, SlotSettings(poll=Seconds(600)), MONDAY)
    county.run_until(MONDAY + timedelta(days=2), 600)
    county.grade, before = "C", len(county.ran)
    county.ledger.notice("s1", Trigger("l1", county.now, "a plateau"))
    county.run_until(MONDAY + timedelta(days=3), 600)
    new = [(each.why, each.direction) for each in county.ran[before:]]
    assert new == [("a plateau", "down"), ("latency under load", "down")]


def test_a_plateau_on_a_line_that_is_not_known_is_looked_into_at_once(make_county: MakeCounty) -> None:
    """Not at the school's moment of the day, as an unknown that nothing points at."""
    for noticed in (False, True):
        county = make_county({"s1": 500 * M}, SlotSettings(poll=Seconds(600)), MONDAY)
        if noticed:
            county.ledger.notice("s1", Trigger("l1", MONDAY + timedelta(minutes=5), "a plateau"))
        county.run_until(MONDAY + timedelta(hours=1), 600)
        assert [each.why for each in county.ran][:1] == (["a plateau"] if noticed else [])


def test_an_order_comes_at_the_next_question_but_waits_for_the_end_of_lessons_unless_forced(
    make_county: MakeCounty,
) -> None:
    monday_lessons = MONDAY + timedelta(hours=10)
    for forced in (False, True):
        county = make_county({"s1": 500 * M}, SlotSettings(poll=Seconds(600)), monday_lessons)
        county.ledger.order("s1", "", monday_lessons, forced=forced, tests=2)
        county.run_until(monday_lessons + timedelta(hours=1), 600)
        assert bool(county.ran) is forced
        county.run_until(MONDAY + timedelta(hours=18), 600)
        assert [each.direction for each in county.ran[:2]] == ["down", "up"]
        assert {each.why for each in county.ran[:2]} == {"ordered by an admin"}
