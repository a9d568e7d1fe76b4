"""In which words there is no test, and what a restarted collector still knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.responder.denied import Denied
from collector.responder.ledger import Ledger
from collector.responder.settings import SlotSettings
from collector.responder.slot_room import SlotRoom
from collector.responder.slots import Circumstances, Load, Purpose, Reserved, Slots, Suppression
from config.calendar import SchoolCalendar
from config.points import Point
from config.school import Line, School
from config.units import BitsPerSecond, Bytes
from tests.collector.responder.fleet import County, M, local

SCHOOL = School("s1", lines=(Line(id="l1"),), power_cut=("22:30-06:00",))
IN_LESSONS = local(2026, 11, 23, 10)
EVENING = local(2026, 11, 23, 20)
NIGHT = local(2026, 11, 23, 23)
SLOTS = Slots(
    SlotSettings(county_line=BitsPerSecond(1000 * M), bytes_per_month=Bytes(2 * 10**9)),
    SchoolCalendar(),
    b"salt",
)


@pytest.mark.parametrize(
    ("seen", "purpose", "message"),
    [
        (Circumstances(IN_LESSONS), Purpose(urgent=True), "waits for the end of lessons"),
        (
            Circumstances(NIGHT),
            Purpose(urgent=True, in_person=True),
            "the school's power is off at this hour",
        ),
        (Circumstances(local(2026, 11, 23, 6)), Purpose(), "waits for the school's moment of the day"),
        (
            Circumstances(EVENING, [Suppression(EVENING, EVENING + timedelta(hours=1), "exams")]),
            Purpose(urgent=True, forced=True),
            "tests are suppressed until 2026-11-23T13:00\\+0000: exams",
        ),
    ],
)
def test_hours(seen: Circumstances, purpose: Purpose, message: str) -> None:
    with pytest.raises(Denied, match=f"^{message}$") as denied:
        SLOTS.refuse_hours(SCHOOL, seen, purpose)
    assert (denied.value.status, denied.value.retry_after_seconds) == (503, 120)


@pytest.mark.parametrize(
    ("rate", "size", "running", "month", "refusal"),
    [
        (M, 2 * 10**9, [], 10**9, (429, "1.00 GB are left of this month's; it needs 2.00 GB")),
        (M, 10**6, [("s1", M)], 0, (503, "a test of this school runs")),
        (600 * M, 10**6, [], 0, (409, "600 Mbit/s is more than the county's line may give, 500 Mbit/s")),
        (200 * M, 10**6, [("s2", 400 * M)], 0, (503, "400 Mbit/s of 500 Mbit/s are in use")),
    ],
)
def test_room(
    rate: int, size: int, running: list[tuple[str, int]], month: int, refusal: tuple[int, str]
) -> None:
    until = EVENING + timedelta(seconds=20)
    load = Load(EVENING, [Reserved(school, taken, until) for school, taken in running], month)
    with pytest.raises(Denied) as denied:
        SLOTS.refuse_load(SCHOOL, rate, size, load, forced=False)
    assert (denied.value.status, denied.value.reason) == refusal
    assert denied.value.retry_after_seconds == (21 if running else 0)


def test_without_the_countys_line_declared_so_many_tests_run_at_once() -> None:
    slots = Slots(SlotSettings(at_once=1), SchoolCalendar(), b"salt")
    load = Load(EVENING, [Reserved("s2", M, EVENING + timedelta(seconds=5))], 0)
    with pytest.raises(Denied, match="1 tests run"):
        slots.refuse_load(SCHOOL, M, 1, load, forced=False)


def test_a_port_that_changed_while_the_collector_was_away_asks_for_a_verify(tmp_path: Path) -> None:
    county = County({"s1": 500 * M}, SlotSettings(), EVENING)
    ledger = Ledger(tmp_path / "tests.db")
    for second, speed in enumerate((1000 * M, 1000 * M, 100 * M)):
        room = SlotRoom(
            SlotSettings(), ledger, county, county, county.calendar, salt=b"c", now=lambda: EVENING
        )  # a new one each time, as after a restart
        room.on_points("s1", [_port(speed, second)])
    (trigger,) = ledger.triggers("s1")
    assert trigger.why == "the port changed from 1 Gbit/s to 100 Mbit/s"
    assert trigger.at == datetime.fromtimestamp(EVENING.timestamp() + 2, UTC)
    ledger.close()


def _port(speed: int, second: int) -> Point:
    at = round(EVENING.timestamp() + second) * 10**9
    return Point("interface", {"interface": "wan", "line": "l1"}, {"port_bits_per_second": speed}, at)
