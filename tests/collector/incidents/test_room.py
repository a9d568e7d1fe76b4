"""Incidents from real rooms on a clock that the test moves."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from collector.access.permissions import Role
from collector.access.who import Via, somebody
from collector.incidents.rules import Rules, load_rules
from collector.incidents.silences import Silence, weekly_of
from config.school import School
from tests.collector.incidents.conftest import Made
from tests.collector.incidents.county import Watched, said
from tests.collector.uptime.county import MONDAY, school

WANG = somebody("wang", Role.COUNTY_ADMIN, Via.SESSION)
CARRIERS = ("telecom", "mobile", "unicom", "cernet")


def many(count: int, carriers: tuple[str, ...] = CARRIERS) -> list[School]:
    return [school(f"s{number:03}", carriers[number % len(carriers)]) for number in range(count)]


def rules_with(text: str) -> Rules:
    """The shipped rules with those of a county over them."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(f"rules:\n  {text}\n")
        file.flush()
        return load_rules(Path(file.name))


def linked(county: Watched, line: str, **ports: bool) -> None:
    for port, up in ports.items():
        tags = {"interface": port, "role": "line", "line": line}
        county.point("s1", "interface", tags, operational=up)


def answered(county: Watched, line: str, *, well: bool = True) -> None:
    county.point(
        "s1", "ping", {"target": "outside", "family": "ipv4", "line": line},
        sent=20, lost=0 if well else 20, place="outside", window_seconds=60.0,
    )  # fmt: skip


def told(county: Watched) -> Counter[str]:
    return Counter(each.what for each in county.changes if each.send)


def test_a_silent_school_is_called_after_three_minutes_and_over_when_it_is_heard(made: Made) -> None:
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    county.alive.remove("s1")
    fell_silent = county.clock.now
    assert said(county.go(20)) == []
    pending = county.unresolved()
    assert [(each.kind, each.state, each.waits_for) for each in pending] == [
        ("school_silent", "pending", "time")
    ]
    assert said(county.go(155)) == []
    (opened,) = county.go(15)
    assert said([opened]) == [("school_silent", "s1", "school", "opened")]
    assert opened.at - fell_silent <= timedelta(minutes=3, seconds=10)
    assert opened.incident.started_at == fell_silent
    assert opened.whom == ("duty",)
    county.alive.add("s1")
    assert said(county.go(120)) == [("school_silent", "s1", "school", "resolved")]
    assert county.unresolved() == []


@pytest.mark.fault(15)
def test_300_schools_down_at_once_and_back_are_one_message_each_way(made: Made) -> None:
    county = made(*many(300))
    everyone = set(county.alive)
    county.alive.clear()
    county.go(420, step=20)
    county.alive |= everyone
    county.go(240, step=20)
    assert [(kind, what) for kind, _, _, what in said(county.changes)] == [
        ("centre_down", "opened"), ("centre_down", "resolved"),
    ]  # fmt: skip
    opened = next(each for each in county.changes if each.what == "opened")
    assert len(opened.incident.children) == len(opened.incident.schools) == 300
    assert county.unresolved() == []


@pytest.mark.fault(15)
def test_forty_schools_behind_one_carrier_are_one_incident_and_what_remains_opens_by_itself(
    made: Made,
) -> None:
    county = made(*many(80, ("telecom", "mobile")))
    behind = {each.id for each in county.registry.schools().values() if each.lines[0].carrier == "telecom"}
    county.alive -= behind
    county.go(300, step=20)
    assert said(county.changes) == [("carrier_down", "", "carrier/telecom", "opened")]
    (parent,) = [each for each in county.unresolved() if each.is_parent]
    assert set(parent.schools) == behind
    children = county.incidents.book.children_of(parent.id)
    assert {each.waits_for for each in children} == {"parent"}
    dead = min(behind)
    county.alive |= behind - {dead}
    assert said(county.go(400, step=20)) == [
        ("carrier_down", "", "carrier/telecom", "resolved"), ("school_silent", dead, "school", "opened"),
    ]  # fmt: skip


def in_turns(school: int, seconds: int) -> bool:
    """Away for five minutes and there for six, each school with a beginning of its own."""
    return (seconds + school * 37) % 660 >= 300


def all_together(_school: int, seconds: int) -> bool:
    """Away for five minutes and there for six, all at the same time."""
    return seconds % 660 >= 300


def by_chance(school: int, seconds: int) -> bool:
    """Another state every few minutes, each school for itself, with no order in it."""
    return random.Random(school * 1000 + (seconds + school * 37) // 400).random() < 0.5


@pytest.mark.fault(15)
@pytest.mark.parametrize("there", [in_turns, all_together, by_chance])
def test_300_schools_that_flap_for_an_hour_are_at_most_ten_messages(
    there: Callable[[int, int], bool], made: Made
) -> None:
    county = made(*many(300), rules=rules_with("data_gap: {enabled: false}"))
    names = sorted(county.alive)
    for second in range(0, 3600, 60):
        county.alive = {name for place, name in enumerate(names) if there(place, second)}
        county.go(60, step=60)
    county.alive = set(names)
    county.go(4200, step=300)
    assert 2 <= sum(told(county).values()) <= 10, said(county.changes)
    assert told(county)["opened"] == told(county)["resolved"]
    assert county.unresolved() == []


def test_flapping_of_one_school_collapses_into_one_incident(made: Made) -> None:
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    for _ in range(12):
        county.alive.discard("s1")
        county.go(300, step=60)
        county.alive.add("s1")
        county.go(360, step=60)
    opened = told(county)["opened"]
    assert opened <= 4
    (one,) = county.unresolved()
    assert (one.state, one.flapping) == ("open", True)
    county.go(3600, step=120)
    assert county.unresolved() == []
    assert told(county)["resolved"] == opened


def test_after_its_own_restart_the_collector_waits_for_data(made: Made) -> None:
    county = made(*many(12))
    county.alive.remove("s003")
    county.go(240)
    assert told(county)["opened"] == 1
    county.restart()
    quiet = set(county.alive)
    county.alive.clear()
    county.go(40)
    county.alive = quiet
    assert [each for each in county.go(80) if each.send] == []
    assert [(each.school_id, each.state) for each in county.unresolved()] == [("s003", "open")]
    county.alive.add("s003")
    county.go(120)
    assert told(county) == Counter(opened=1, resolved=1)


def test_what_backfill_brings_is_nobody_s_news(made: Made) -> None:
    county = made(school("s1", "telecom"))
    past = county.clock.now - timedelta(hours=2)
    tags = {"interface": "br0", "mac": "02:00:00:00:00:66"}
    county.point("s1", "router_advertisement", tags, at=past, expected=False, router="fe80::66")
    assert county.go(60) == []
    county.point("s1", "router_advertisement", tags, expected=False, router="fe80::66")
    (opened,) = county.go(5)
    assert said([opened]) == [("rogue_router", "s1", "router/02:00:00:00:00:66", "opened")]
    assert opened.incident.facts.values["mac"] == tags["mac"]
    county.point("s1", "router_advertisement", tags, expected=True, router="fe80::66")
    assert said(county.go(5)) == [("rogue_router", "s1", "router/02:00:00:00:00:66", "resolved")]


def test_a_rogue_router_that_is_told_of_no_more_is_gone(made: Made) -> None:
    county = made(school("s1", "telecom"))
    county.point("s1", "router_advertisement", {"interface": "br0", "mac": "m"}, expected=False)
    county.go(10)
    county.go(7700, step=140)
    assert told(county) == Counter(opened=1, escalated=1)
    county.go(300)
    assert told(county) == Counter(opened=1, escalated=1, resolved=1)


def test_escalation_repeats_and_acknowledgement_over_a_week(made: Made) -> None:
    county = made(
        school("s1", "telecom"), school("s2", "mobile"), rules=rules_with("data_gap: {enabled: false}")
    )
    county.alive.remove("s1")
    county.go(200, step=20)
    county.go(1800, step=60)
    (escalated,) = [each for each in county.changes if each.what == "escalated"]
    assert escalated.whom == ("duty", "lead")
    for _ in range(24):
        county.clock.move(hours=1)
        county.beat("s2")
        county.changes += county.incidents.tick()
    assert told(county)["repeated"] == 6
    (one,) = [each for each in county.unresolved() if each.kind == "school_silent"]
    assert county.incidents.book.acknowledge(one.id, "wang", county.clock.now).state == "acknowledged"
    for _ in range(7 * 6):
        county.clock.move(hours=4)
        county.beat("s2")
        county.changes += county.incidents.tick()
    assert told(county)["repeated"] == 6
    county.alive.add("s1")
    county.go(180)
    (over,) = [each for each in county.changes if each.what == "resolved" and each.incident.id == one.id]
    assert over.whom == ("duty", "lead")
    assert [each.what for each in county.incidents.book.steps(one.id)] == [
        "opened", "escalated", *["repeated"] * 6, "acknowledged", "resolved",
    ]  # fmt: skip


def test_a_silence_each_sunday_night_holds_messages_back_and_no_longer(made: Made) -> None:
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    weekly = weekly_of("SU 22:00-06:00")
    now = county.clock.now
    county.incidents.silences.add(
        Silence(now, "maintenance", "wang", now, school_id="s1", weekly=weekly), WANG
    )
    sunday = 6 * 24 * 3600 + 13 * 3600 - 90  # from Monday 09:01:30 to Sunday 22:00, local
    county.clock.move(seconds=sunday + 600)
    county.go(60)
    county.changes.clear()
    county.alive.remove("s1")
    county.go(3600, step=120)
    assert told(county) == Counter()
    (held,) = [each for each in county.unresolved() if each.kind == "school_silent"]
    assert (held.state, held.waits_for) == ("pending", "silence")
    county.clock.move(hours=7)
    county.beat("s2")
    county.go(10)
    assert ("school_silent", "s1", "school", "opened") in said(county.changes)


def test_the_agent_s_clock_and_a_gap_of_data(made: Made) -> None:
    county = made(school("s1", "telecom"))
    county.alive.clear()
    for _ in range(35):
        county.clock.move(seconds=20)
        county.beat("s1", offset_seconds=90)
        county.changes += county.incidents.tick()
    found = {(kind, what) for kind, _, _, what in said(county.changes)}
    assert found == {("clock_off", "opened"), ("data_gap", "opened")}
    (clock,) = [each for each in county.changes if each.incident.kind == "clock_off"]
    assert clock.digest
    assert clock.incident.facts.measured is not None
    assert clock.incident.facts.measured.value == 90
    county.alive.add("s1")
    county.go(500, step=20)
    assert county.unresolved() == []


def test_a_port_that_is_slower_than_before_the_restart_too(made: Made) -> None:
    county = made(school("s1", "telecom"))
    tags = {"interface": "wan0", "role": "line", "line": "l1"}
    county.point("s1", "interface", tags, port_bits_per_second=1_000_000_000, operational=True)
    county.go(10)
    county.restart()
    county.go(60)
    county.point("s1", "interface", tags, port_bits_per_second=100_000_000, operational=True)
    (opened,) = county.go(130)
    assert said([opened]) == [("port_slower", "s1", "port/wan0", "opened")]
    facts = opened.incident.facts
    assert facts.measured is not None
    assert facts.target is not None
    assert (facts.measured.value, facts.target.value) == (100_000_000, 1_000_000_000)
    county.point("s1", "interface", tags, port_bits_per_second=1_000_000_000, operational=True)
    assert said(county.go(180)) == [("port_slower", "s1", "port/wan0", "resolved")]


def test_a_port_without_a_link_is_one_message_and_over_by_the_port_alone(made: Made) -> None:
    county = made(school("s1", "telecom", "mobile"))

    def minutes(count: int, *, up: bool) -> None:
        for _ in range(count):
            linked(county, "l1", wan0=up)
            linked(county, "l2", wan1=True)
            county.go(60, step=10)

    minutes(2, up=True)
    cut = county.clock.now
    minutes(4, up=False)
    (opened,) = [each for each in county.changes if each.send]
    assert said([opened]) == [("line_down", "s1", "line/l1", "opened")]
    assert opened.at - cut <= timedelta(minutes=4)
    evidence = opened.incident.facts.evidence
    assert evidence is not None
    assert evidence.measurement == "interface"
    minutes(9, up=True)
    assert told(county) == Counter(opened=1, resolved=1)
    assert county.unresolved() == []


def test_a_line_of_two_ports_is_down_when_neither_has_a_link(made: Made) -> None:
    """Ports of a bond, or a spare one; the last that is told is not the line's."""
    county = made(school("s1", "telecom", "mobile"))
    for second in (True, False):
        for _ in range(5):
            linked(county, "l1", wan0=False, wan1=second)
            linked(county, "l1", wan2=False)
            linked(county, "l2", wan3=True)
            county.go(60, step=20)
        assert [each[:2] for each in said(county.changes)] == ([] if second else [("line_down", "s1")])
    for _ in range(9):
        linked(county, "l1", wan0=False, wan1=True, wan2=False)
        linked(county, "l2", wan3=True)
        county.go(60, step=20)
    assert told(county) == Counter(opened=1, resolved=1)


def test_answers_over_a_line_tell_more_than_a_port_without_a_link(made: Made) -> None:
    county = made(school("s1", "telecom", "mobile"))
    for well in (True, False):
        for _ in range(6):
            county.go(60, step=20)
            linked(county, "l1", wan0=False)
            answered(county, "l1", well=well)
            answered(county, "l2")
        assert said(county.changes) == ([] if well else [("line_down", "s1", "line/l1", "opened")])


def test_a_port_without_a_link_is_no_more_known_when_its_agent_is_silent(made: Made) -> None:
    county = made(school("s1", "telecom", "mobile"))
    linked(county, "l1", wan0=False)
    county.go(240, step=20)
    assert said(county.changes) == [("line_down", "s1", "line/l1", "opened")]
    for silent, waits_for in ((0, ""), (720, "data")):
        county.go(silent, step=60, data=False)
        (down,) = [each for each in county.unresolved() if each.kind == "line_down"]
        assert (down.state, down.waits_for) == ("open", waits_for)


def test_many_at_once_are_told_no_sooner_than_one_of_them_and_as_urgently(made: Made) -> None:
    county = made(*many(40, CARRIERS), start=MONDAY.replace(hour=16))  # midnight in China: quiet hours
    gone = set(sorted(county.alive)[:8])  # two of each carrier
    county.alive -= gone
    county.go(60)
    county.alive |= gone
    county.go(300)
    assert said(county.changes) == [], "a minute calls nobody, however many it hits"
    county.alive -= gone
    county.go(200)
    (opened,) = [each for each in county.changes if each.send]
    assert said([opened]) == [("many_at_once", "", "many/unreached", "opened")]
    assert (opened.incident.severity, opened.not_before) == ("critical", None)


def test_one_of_two_lines_down_is_one_message(made: Made) -> None:
    county = made(school("s1", "telecom", "mobile"))

    def minute(telecom: bool) -> None:
        answered(county, "l1", well=telecom)
        answered(county, "l2")

    for _ in range(3):
        county.go(60, step=10)
        minute(True)
    cut = county.clock.now
    for _ in range(4):
        county.go(60, step=10)
        minute(False)
    county.go(10)
    (opened,) = [each for each in county.changes if each.send]
    assert said([opened]) == [("line_down", "s1", "line/l1", "opened")]
    assert opened.at - cut <= timedelta(minutes=4)
    left = next(each for each in county.unresolved() if each.kind == "one_line_left")
    assert (left.state, left.parent, left.facts.values["lines_left"]) == ("pending", opened.incident.id, "l2")
    for _ in range(10):
        minute(True)
        county.go(60, step=20)
    assert told(county) == Counter(opened=1, resolved=1)
    assert county.unresolved() == []
