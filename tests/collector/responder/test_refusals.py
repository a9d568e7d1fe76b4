"""In which words there is no test, and what a restarted collector still knows."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from collector.registry import Registry
from collector.responder.denied import Denied
from collector.responder.far_ends import FarEnds
from collector.responder.office import TicketRequest
from collector.responder.settings import OtherSettings, ResponderSettings, SlotSettings
from collector.responder.slot_room import SlotRoom
from collector.responder.slots import Circumstances, Purpose, Reserved, Slots, Suppression
from config.calendar import SchoolCalendar
from config.points import Point
from config.school import Line, School
from config.units import BitsPerSecond, Bytes
from tests.collector.responder.fleet import County, M, local

SCHOOL = School("s1", lines=(Line(id="l1"),), power_cut=("22:30-06:00",))
IN_LESSONS = local(2026, 11, 23, 10)
EVENING = local(2026, 11, 23, 20)
NIGHT = local(2026, 11, 23, 23)
SETTINGS = SlotSettings(county_line=BitsPerSecond(1000 * M), bytes_per_month=Bytes(2 * 10**9))
SLOTS = Slots(SETTINGS, SchoolCalendar(), b"salt")
UNTIL = EVENING + timedelta(seconds=20)


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
    ("slots", "rate", "running", "refusal"),
    [
        (SETTINGS, M, ("s1", "edu", M), (503, "a test of this school runs")),
        (SETTINGS, 600 * M, None, (409, "600 Mbit/s is more than the county's line may give, 500 Mbit/s")),
        (SETTINGS, 200 * M, ("s2", "county", 400 * M), (503, "400 Mbit/s of 500 Mbit/s are in use")),
        (SlotSettings(at_once=1), M, ("s2", "county", M), (503, "1 tests run")),
    ],
)
def test_share(
    slots: SlotSettings, rate: int, running: tuple[str, str, int] | None, refusal: tuple[int, str]
) -> None:
    far_end = FarEnds(ResponderSettings(slots=slots)).of(None, None)
    beside = [Reserved(*running, UNTIL)] if running else []
    with pytest.raises(Denied) as denied:
        SLOTS.refuse_share(Reserved("s1", "county", rate, UNTIL), far_end, beside, EVENING)
    assert (denied.value.status, denied.value.reason) == refusal
    assert denied.value.retry_after_seconds == (21 if running else 0)
    SLOTS.refuse_share(
        Reserved("s1", "county", M, UNTIL), far_end, [Reserved("s2", "edu", 9999 * M, UNTIL)], EVENING
    )


def test_bytes_of_the_month() -> None:
    SLOTS.refuse_bytes(10**9, 10**9)
    with pytest.raises(Denied, match=r"^1\.00 GB are left of this month's; it needs 2\.00 GB$") as denied:
        SLOTS.refuse_bytes(2 * 10**9, 10**9)
    assert (denied.value.status, denied.value.retry_after_seconds) == (429, 0)


def test_who_waits_is_warned_in_lessons_and_who_does_not_waits_for_their_end(tmp_path: Path) -> None:
    with contextlib.closing(Registry.open(f"sqlite:///{tmp_path}/registry.db")) as registry:
        county = County({"s1": 500 * M, "s2": M}, SlotSettings(at_once=2), IN_LESSONS, registries=[registry])
        asked = TicketRequest("search", "0" * 64, "down", "ipv4", "l1")
        with pytest.raises(Denied, match="waits for the end of lessons"):
            county.office.issue("a1", "s1", asked, "county")
        now = msgspec.structs.replace(asked, now=True)
        warned = county.office.issue("a1", "s1", now, "county").warning
        assert warned == "lessons are on: the test takes the line from them"
        county.now = EVENING
        assert county.office.issue("a2", "s2", now, "county").warning == ""


@pytest.mark.parametrize(("away", "found"), [(None, {"county", "edu"}), (Denied(503, "away", 10), {"edu"})])
def test_a_need_whose_far_end_is_away_holds_up_no_other(
    tmp_path: Path, away: Denied | None, found: set[str]
) -> None:
    with contextlib.closing(Registry.open(f"sqlite:///{tmp_path}/registry.db")) as registry:
        county = County({"s1": 500 * M}, SlotSettings(), EVENING, registries=[registry])
        lines = (Line(id="l1"), Line(id="l2", responders=("edu",)))
        county.schools["s1"] = School("s1", classes=4, lines=lines)
        settings = ResponderSettings(others=(OtherSettings("edu", "edu.example"),))
        room = SlotRoom(
            settings, county.ledger, county, county, county.calendar, salt=b"c", now=lambda: county.now,
            away=lambda: away,
        )  # fmt: skip
        far_ends = set()
        for line in (("l1", "l2"), ("l2", "l1")) * 144:
            county.now += timedelta(minutes=5)
            with contextlib.suppress(Denied):
                far_ends.add(room.choose("s1", line, ("ipv4",)).far_end.id)
    assert far_ends <= found
    assert ("county" in far_ends) is (away is None)
    assert far_ends


def test_a_port_that_changed_while_the_collector_was_away_asks_for_a_verify(tmp_path: Path) -> None:
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    county = County({"s1": 500 * M}, SlotSettings(), EVENING, registries=[registry])
    ledger = county.ledger
    for second, speed in enumerate((1000 * M, 1000 * M, 100 * M)):
        room = SlotRoom(
            ResponderSettings(), ledger, county, county, county.calendar, salt=b"c", now=lambda: EVENING
        )  # a new one each time, as after a restart
        room.on_points("s1", [_port(speed, second)])
    (trigger,) = ledger.standing("s1", EVENING, EVENING).triggers
    assert trigger.why == "the port changed from 1 Gbit/s to 100 Mbit/s"
    room.on_points("s1", [_port(100 * M, 3, line="l9"), _port(10 * M, 4, line="l9")])
    assert ledger.note_port("s1", "l9", M) is None  # no line of the school: nothing is kept of it
    assert trigger.at == datetime.fromtimestamp(EVENING.timestamp() + 2, UTC)
    registry.close()


def _port(speed: int, second: int, line: str = "l1") -> Point:
    at = round(EVENING.timestamp() + second) * 10**9
    return Point("interface", {"interface": "wan", "line": line}, {"port_bits_per_second": speed}, at)
