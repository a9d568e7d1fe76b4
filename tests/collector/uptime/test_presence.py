"""Who is silent now: heartbeats, announced restarts, expected power cuts, what silent schools share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.ingest.liveness import Heartbeat
from collector.uptime.outside import OutsideLook, ask
from collector.uptime.presence import Presence
from config.school import School
from tests.collector.uptime.county import County, school

Made = Callable[..., County]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    counties: list[County] = []

    def make(*schools: School) -> County:
        county = County(tmp_path, schools)
        counties.append(county)
        for each in schools:
            county.registry.add_agent(each.id, f"{each.id}-1")
            beat(county, each.id)
        return county

    yield make
    for county in counties:
        county.close()


def beat(county: County, school_id: str, state: Any = "running") -> None:
    county.liveness.heartbeat(
        f"{school_id}-1", school_id, Heartbeat("b", county.clock.ns, 0, 1.0, "1", state)
    )


def now(county: County, school_id: str) -> Presence:
    (found,) = county.room.presence(school_id)
    return found


def test_silence_is_shown_after_fifteen_seconds_and_somebody_called_after_three_minutes(made: Made) -> None:
    county = made(school("s1", "telecom"))
    states = []
    for seconds in (0, 14, 15, 179, 180):
        county.clock.ns += seconds * 10**9
        said = now(county, "s1")
        states.append((said.state, said.call))
        county.clock.ns -= seconds * 10**9
    assert states == [
        ("heard", False), ("heard", False), ("silent", False), ("silent", False), ("silent", True)
    ]  # fmt: skip
    beat(county, "s1")
    assert now(county, "s1").state == "heard"


def test_what_silent_schools_share(made: Made) -> None:
    county = made(school("s1", "telecom"), school("s2", "telecom", "mobile"), school("s3", "mobile"))
    county.clock.move(seconds=20)
    beat(county, "s3")
    said = now(county, "s1")
    assert (said.silent_together, said.carriers) == (("s1", "s2"), ("telecom",))
    assert now(county, "s3").silent_together == ()
    county.clock.move(seconds=200)
    beat(county, "s3")
    county.clock.move(seconds=20)
    assert now(county, "s3").silent_together == ("s3",)


@pytest.mark.parametrize(
    ("state", "seconds", "said"),
    [
        ("restarting", 60, "restarting"), ("restarting", 181, "silent"), ("stopping", 9000, "stopped"),
        ("running", 60, "silent"),
    ],
)  # fmt: skip
def test_announced_restarts(made: Made, state: str, seconds: float, said: str) -> None:
    county = made(school("s1", "telecom"))
    beat(county, "s1", state)
    county.clock.move(seconds=seconds)
    assert now(county, "s1").state == said


def test_a_power_cut_that_is_expected_is_no_silence(made: Made) -> None:
    county = made(school("s1", "telecom", power_cut=("09:00-10:00",)))
    county.clock.move(minutes=10)
    assert now(county, "s1").state == "expected_off"
    county.clock.move(minutes=60)
    assert now(county, "s1").state == "silent"


def test_after_its_own_start_the_collector_waits(made: Made) -> None:
    county = made(school("s1", "telecom"))
    county.liveness = type(county.liveness)(county.clock)
    county.room = county.open_room()
    states = []
    for _ in range(9):
        states.append(now(county, "s1").state)
        county.clock.move(seconds=10)
    assert states == ["waiting"] * 8 + ["silent"]


def test_the_loopback_answers_from_outside_and_nonsense_is_not_asked() -> None:
    found = ask(["127.0.0.1", "no address"], wait_seconds=1.0)
    assert found.get("127.0.0.1", True) is True
    assert "no address" not in found


@pytest.mark.needs_root
def test_a_look_from_outside_is_bounded() -> None:
    asked = OutsideLook(lambda: {"s1": ["127.0.0.1"], "s2": ["127.0.0.2"]}, every_seconds=1, at_most=1)
    assert asked.answers("s1") is None
    asked.look()
    assert (asked.answers("s1"), asked.answers("s2")) == (True, None)


def test_a_school_that_is_enrolled_later_is_awaited_from_then_on(made: Made) -> None:
    county = made(school("s1", "telecom"))
    county.registry.put_school(school("s2", "telecom"))
    county.clock.move(hours=1)
    assert now(county, "s2").state == "no_agent"
    county.registry.add_agent("s2", "s2-1")
    assert now(county, "s2").state == "waiting"
    county.clock.move(hours=1)
    assert now(county, "s2").state == "silent"
    assert now(county, "s2").call


def test_a_school_whose_agent_was_revoked_is_not_silent(made: Made) -> None:
    county = made(school("s1", "telecom"))
    county.clock.move(hours=1)
    assert now(county, "s1").state == "silent"
    county.registry.revoke("s1-1")
    assert now(county, "s1").state == "no_agent"
