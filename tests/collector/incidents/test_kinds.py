"""Kinds of incidents through the real rooms: point, verdict or sign, incident, message in the outbox."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from sqlalchemy.engine import Connection

from collector.access import audit
from collector.access.permissions import Role
from collector.access.who import Via, somebody
from collector.incidents.book import IncidentUnknown
from collector.incidents.model import Change, Kind
from collector.incidents.rules import Rules, load_rules
from collector.messages.bodies import decode
from collector.messages.rendering import letter_of
from collector.messages.room import MessageRoom
from collector.messages.settings import MessageSettings
from config.calendar import CalendarSettings, Days, SchoolCalendar
from config.points import FieldValue, Point
from config.school import School
from config.settings import convert
from tests.collector.incidents.conftest import Made
from tests.collector.incidents.county import Watched, said
from tests.collector.messages.sinks import secret_file
from tests.collector.uptime.county import MONDAY, NS, school

WANG = somebody("wang", Role.COUNTY_ADMIN, Via.SESSION)
SCHOOL = msgspec.structs.replace(school("s1", "telecom"), classes=10, area="urban", name="第一小学")
PORT = {"interface": "wan0", "role": "line", "line": "l1"}
SEARCH = {
    "line": "l1",
    "responder": "county",
    "direction": "down",
    "family": "ipv4",
    "mode": "search",
    "method": "tcp",
}
TARGET = "target/shandan/egress_all_2018"
ROUTER = {"interface": "br0", "mac": "02:00:00:00:00:66"}

Told = Callable[..., tuple[Watched, Callable[[], list[str]]]]


@pytest.fixture
def told(made: Made, tmp_path: Path) -> Told:
    """A county, and what the letters in its outbox say, in the order in which they were written."""

    def make(*schools: School, **options: Any) -> tuple[Watched, Callable[[], list[str]]]:
        rooms: list[MessageRoom] = []

        def on_change(connection: Connection, changes: Sequence[Change]) -> None:
            rooms[0].on_change(connection, changes)

        county = made(*schools, on_change=on_change, **options)
        address = secret_file(tmp_path, "url", "http://127.0.0.1:1/?key=k")
        settings = convert(
            {"channels": {"wecom": {"group": {"url_file": address}}},
             "recipients": {"duty": {"channel": "group"}}},
            MessageSettings, "test",
        )  # fmt: skip
        rooms.append(
            MessageRoom(county.registry, settings, county.incidents.calendar.time_zone, clock=county.clock)
        )

        def letters() -> list[str]:
            (room,) = rooms
            channel = room.channels["group"]
            waiting = room.outbox.listed(["waiting"])
            reader = room.reader(channel, "duty")
            bodies = ([(each.key, each.severity, decode(each.body))] for each in waiting)
            return [letter_of(body[0][0], body, reader).whole for body in bodies]

        return county, letters

    return make


def only(kind: str) -> Rules:
    """The shipped rules, of one kind."""
    shipped = load_rules()
    off = {
        each: msgspec.structs.replace(shipped.rules.of(each), enabled=False)
        for each in get_args(Kind)
        if each != kind
    }
    rules: Any = msgspec.structs.replace(shipped.rules, **off)
    return msgspec.structs.replace(shipped, rules=rules)


def search(county: Watched, megabits: int, **more: Any) -> None:
    """A search outside lessons found that much."""
    county.point(
        "s1", "capacity", SEARCH, ip_bits_per_second=megabits * 1_000_000, bound="equal",
        stop_reason="converged", limited_by="nothing", counts_for_line=True, line_share=0.99,
        bytes=100_000_000, duration_seconds=10.0, **more,
    )  # fmt: skip


def test_below_a_target_that_ceases_to_be_known(told: Told) -> None:
    """Opened within seconds; says so when its evidence has aged; over when a search shows the rate."""
    county, letters = told(SCHOOL, plans=("shandan",))
    search(county, 80)
    began = county.clock.now
    changes = county.go(10, step=2)
    opened = next(each for each in changes if each.incident.subject == TARGET)
    assert opened.what == "opened"
    assert opened.at - began <= timedelta(seconds=10)
    facts = opened.incident.facts
    assert facts.measured is not None
    assert facts.target is not None
    assert (facts.measured.value, facts.target.value) == (81_600_000, 100_000_000), (
        "at most: the search's own error"
    )
    letter = next(each for each in letters() if "100 Mbit/s" in each)
    assert letter.startswith("【警告】第一小学：未达标（班均出口带宽，2017-12-31 前）")
    assert "81.6 Mbit/s" in letter

    county.clock.move(days=70)
    county.go(120, step=20)
    (aged,) = [each for each in county.unresolved() if each.subject == TARGET]
    assert (aged.state, aged.waits_for) == ("open", "data")
    assert "目前情况不明" in letters()[-1], "told again each week, and that it is not known any more"

    search(county, 120)
    assert ("below_target", "s1", TARGET, "resolved") in said(county.go(10, step=2))


def test_ipv6_that_fell_and_is_accepted_as_it_is_now(told: Told) -> None:
    county, letters = told(school("s1", "telecom"))

    def run(least: int, most: int) -> None:
        tags = {"source": "ipv6", "place": "gateway"}
        county.point("s1", "ipv6_readiness", tags, level_at_least=least, level_at_most=most, failed="dns")

    run(3, 3)
    county.go(10)
    run(1, 1)
    assert said(county.go(660, step=60)) == [("ipv6_fell", "s1", "school", "opened")]
    (letter,) = letters()
    assert "IPv6" in letter
    run(2, 4)
    assert said(county.go(10)) == [("ipv6_fell", "s1", "school", "resolved")], "no run rules the level out"
    run(1, 1)
    county.go(660, step=60)
    (one,) = county.unresolved()
    county.incidents.book.accept(one.id, WANG, county.clock.now)
    assert said(county.go(5)) == [("ipv6_fell", "s1", "school", "resolved")]
    assert "wang" in letters()[-1]
    run(1, 1)
    assert said(county.go(900, step=60)) == []
    run(0, 0)
    assert said(county.go(660, step=60)) == [("ipv6_fell", "s1", "school", "opened")], "below the new normal"


def test_a_port_that_is_slower_on_purpose(told: Told) -> None:
    """Accepted by another process; a restart remembers it, and what is slower still is told."""
    county, letters = told(school("s1", "telecom"))

    def port(megabits: int) -> None:
        county.point("s1", "interface", PORT, port_bits_per_second=megabits * 1_000_000, operational=True)

    port(1000)
    county.go(10)
    port(100)
    county.go(140, step=20)
    (one,) = county.unresolved()
    county.open_incidents().book.accept(one.id, WANG, county.clock.now)
    assert said(county.go(140, step=20)) == [("port_slower", "s1", "port/wan0", "resolved")]
    with county.registry.reading() as connection:
        (line,) = audit.entries(connection)
    assert (line.who, line.action, line.subject) == ("wang", "incident.accept", str(one.id))
    assert line.detail["normal"] == 100_000_000
    assert "端口" in letters()[-1]
    assert "wang" in letters()[-1]
    port(100)
    assert said(county.go(300, step=20)) == []
    county.restart()
    county.go(60, step=20)
    port(100)
    assert said(county.go(300, step=20)) == []
    port(10)
    assert said(county.go(140, step=20)) == [("port_slower", "s1", "port/wan0", "opened")]


def test_only_a_new_normal_can_be_accepted(told: Told) -> None:
    county, _ = told(school("s1", "telecom"), school("s2", "mobile"))
    county.alive.remove("s1")
    county.go(200)
    (one,) = county.unresolved()
    with pytest.raises(IncidentUnknown, match="school_silent has no normal"):
        county.incidents.book.accept(one.id, WANG, county.clock.now)
    with pytest.raises(IncidentUnknown, match="is not known"):
        county.incidents.book.accept(99, WANG, county.clock.now)


def test_latency_under_load_is_told_in_school_hours_and_of_the_digest(told: Told) -> None:
    county, letters = told(SCHOOL)
    search(county, 80, idle_rtt_seconds=0.01, loaded_rtt_seconds=0.42)
    (opened,) = county.go(10)
    assert said([opened]) == [("latency_under_load", "s1", "line/l1/down", "opened")]
    assert opened.digest
    assert opened.incident.facts.measured is not None
    assert opened.incident.facts.measured.value == 0.41
    assert letters() == [], "info is told in the digest alone"
    search(county, 80, idle_rtt_seconds=0.01, loaded_rtt_seconds=0.15)
    assert county.go(10) == [], "between the two bounds it stays"
    search(county, 80, idle_rtt_seconds=0.01, loaded_rtt_seconds=0.05)
    assert said(county.go(10)) == [("latency_under_load", "s1", "line/l1/down", "resolved")]
    county.clock.move(hours=14)
    search(county, 80, idle_rtt_seconds=0.01, loaded_rtt_seconds=0.42)
    assert said(county.go(10)) == []
    (night,) = [each for each in county.unresolved() if each.kind == "latency_under_load"]
    assert night.waits_for == "school_hours"


def test_a_certificate_that_ends(told: Told) -> None:
    county, letters = told(school("s1", "telecom"))
    for days in (40, 13.5):
        county.point("s1", "service", {"service": "home"}, certificate_days=days)
        changes = county.go(10)
    (opened,) = changes
    assert said([opened]) == [("certificate_ends", "s1", "service/home", "opened")]
    (letter,) = letters()
    assert "13.5" in letter
    county.point("s1", "service", {"service": "home"}, certificate_days=365.0)
    assert said(county.go(10)) == [("certificate_ends", "s1", "service/home", "resolved")]
    county.point("s1", "ipv6_site", {"site": "www"}, certificate_seconds=86400.0)
    assert said(county.go(10)) == [("certificate_ends", "s1", "service/www", "opened")]


def test_ten_thousand_advertisements_of_one_router_are_one_incident(told: Told) -> None:
    county, letters = told(school("s1", "telecom"))
    one = Point("router_advertisement", ROUTER, {"expected": False, "router": "fe80::66"}, county.clock.ns)
    for _ in range(10):
        county.incidents.on_points("s1", [one] * 1000)
        county.go(5)
    assert said(county.changes) == [("rogue_router", "s1", f"router/{ROUTER['mac']}", "opened")]
    assert len(letters()) == len(county.unresolved()) == 1


def test_a_flood_of_made_up_routers_is_one_incident_of_the_school(told: Told) -> None:
    """Ten thousand source addresses, each advertising once: one more message, which counts them."""
    county, letters = told(school("s1", "telecom"))
    for burst in range(10):
        made_up = [
            {"interface": "br0", "mac": f"02:00:00:{burst:02x}:{number:04x}"} for number in range(1000)
        ]
        county.incidents.on_points(
            "s1",
            [Point("router_advertisement", tags, {"expected": False}, county.clock.ns) for tags in made_up],
        )
        county.go(5)
    assert said(county.changes) == [("rogue_router", "s1", "routers", "opened")]
    assert len(letters()) == 1
    assert len(county.unresolved()) == 1


def test_on_exam_days_what_is_no_emergency_waits(made: Made) -> None:
    """The calendar's own «exams»; what is critical is told on them too."""
    exam = (Days(starts=MONDAY.date(), ends=MONDAY.date(), name="中考"),)
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    county.incidents.calendar = SchoolCalendar(CalendarSettings(public_holidays="none", exams=exam))
    county.point("s1", "interface", PORT, port_bits_per_second=1_000_000_000, operational=True)
    county.go(10)
    county.point("s1", "interface", PORT, port_bits_per_second=100_000_000, operational=True)
    county.alive.remove("s2")
    assert said(county.go(240, step=10)) == [("school_silent", "s2", "school", "opened")]
    (held,) = [each for each in county.unresolved() if each.kind == "port_slower"]
    assert (held.state, held.waits_for) == ("pending", "silence")
    midnight = datetime(2026, 3, 2, 16, 0, 10, tzinfo=UTC)
    county.clock.move(seconds=(midnight - county.clock.now).total_seconds())
    county.point("s1", "interface", PORT, port_bits_per_second=100_000_000, operational=True)
    assert ("port_slower", "s1", "port/wan0", "opened") in said(county.go(10))


WORST_LAG_SECONDS = 25
"""A dead window is sent when the wait for its last probe (10 s) is over, and with the agent's next push."""


def test_a_line_down_is_told_within_four_minutes_whatever_second_it_went(made: Made) -> None:
    """All phases of a cut within the agent's window of a minute, and the spread of 20 probes at random."""
    names = [f"s{phase:02}" for phase in range(0, 60, 6)]
    county = made(*(school(name, f"c{name}", "cernet") for name in names), rules=only("line_down"))
    chance = random.Random(11)
    start = county.clock.now
    cut = {name: start + timedelta(seconds=120 + int(name[1:])) for name in names}
    waits: list[tuple[datetime, str, Point]] = []
    for window in range(6):
        ends = start + timedelta(seconds=60 * (window + 1))
        sent = sorted(60 * (slot + chance.random()) / 20 for slot in range(20))
        for name in names:
            moments = [ends - timedelta(seconds=60 - each) for each in sent]
            lost = sum(each >= cut[name] for each in moments)
            for line, missing in (("l1", lost), ("l2", 0)):
                tags = {"target": "outside", "family": "ipv4", "line": line}
                fields: dict[str, FieldValue] = {
                    "sent": 20,
                    "lost": missing,
                    "place": "outside",
                    "window_seconds": 60.0,
                }
                at = round(ends.timestamp() * NS)
                lag = timedelta(seconds=WORST_LAG_SECONDS if missing else 1)
                waits.append((ends + lag, name, Point("ping", tags, fields, at)))
    opened: dict[str, datetime] = {}
    while county.clock.now < start + timedelta(minutes=7):
        for each in [each for each in waits if each[0] <= county.clock.now]:
            waits.remove(each)
            county.incidents.on_points(each[1], [each[2]])
        for change in county.go(4, step=4, data=False):
            if change.what == "opened" and change.send:
                opened[change.incident.school_id] = change.at
    took = {name: (opened[name] - cut[name]).total_seconds() for name in names}
    assert max(took.values()) <= 240, took
    assert min(took.values()) >= 150, "not before the rule's own time"
