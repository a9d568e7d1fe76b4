"""What several collectors grant, order, suppress and notice is one, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from collector.registry import Registry
from collector.responder.denied import Denied
from collector.responder.ledger import GrantedTest, Ledger
from collector.responder.needs import Trigger
from collector.responder.office import TestOver, TicketRequest
from collector.responder.settings import OtherSettings, SlotSettings
from collector.responder.slots import Suppression
from config.school import Line, School
from config.units import BitsPerSecond, Bytes, Seconds
from tests.collector.responder.fleet import County, M, local, most_at_once

NOW = local(2026, 11, 23, 20)
LATER = NOW + timedelta(minutes=1)
AGES_AGO = NOW - timedelta(days=1)
TEST = GrantedTest(
    id="0" * 32, school="s1", line="l1", responder="county", direction="down", family="ipv4", mode="search",
    bits_per_second=100 * M, bytes=1000, granted_at=NOW, until=NOW + timedelta(seconds=36),
)  # fmt: skip


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[list[Registry]]:
    """Of two collectors with one database."""
    opened = [Registry.open(f"sqlite:///{tmp_path}/registry.db") for _ in range(2)]
    yield opened
    for each in opened:
        each.close()


@pytest.fixture
def ledgers(registries: list[Registry]) -> tuple[Ledger, Ledger]:
    return Ledger(registries[0]), Ledger(registries[1])


def granted(ledger: Ledger, *, heard: bool = False) -> None:
    with ledger.deciding() as decision:
        decision.grant(TEST, heard=heard)


def charged(ledger: Ledger) -> int:
    with ledger.deciding() as decision:
        return decision.bytes_since("s1", AGES_AGO)


def running(ledger: Ledger) -> list[str]:
    with ledger.deciding() as decision:
        return [each.school for each in decision.reserved(NOW + timedelta(seconds=5))]


def test_what_one_grants_the_other_sees_until_it_is_over(ledgers: tuple[Ledger, Ledger]) -> None:
    ours, theirs = ledgers
    granted(ours)
    assert theirs.tests_since("s1", AGES_AGO) == [TEST]
    assert (running(theirs), charged(theirs)) == (["s1"], 1000)
    theirs.over("s2", TEST.id, 0, NOW)  # of another school: not theirs to end
    assert (running(ours), charged(ours)) == (["s1"], 1000)
    theirs.over("s1", TEST.id, 0, NOW)
    assert (running(ours), charged(ours)) == ([], 0)


def test_what_the_responder_counted_stands_and_an_agent_that_cannot_tell_leaves_what_was_set_aside(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    ours, theirs = ledgers
    granted(ours, heard=True)
    ours.begun(TEST.id)
    theirs.over("s1", TEST.id, None, NOW)
    assert (running(ours), charged(ours)) == ([], 1000)
    theirs.over("s1", TEST.id, 1, NOW)
    ours.moved(TEST.id, 600, LATER)
    theirs.over("s1", TEST.id, 1, LATER)
    assert charged(theirs) == 600
    assert ours.tests_since("s1", AGES_AGO)[0].until == NOW


def test_what_a_test_moved_is_never_less_than_was_known_of_it(ledgers: tuple[Ledger, Ledger]) -> None:
    ours, theirs = ledgers
    granted(ours, heard=True)
    ours.begun(TEST.id)
    for told, known in ((600, 600), (0, 600), (700, 700)):
        ours.moved(TEST.id, told, NOW)
        assert charged(theirs) == known


@pytest.mark.parametrize(
    ("heard", "begun", "left"), [(True, False, 0), (True, True, 1000), (False, False, 1000)]
)
def test_only_a_ticket_that_its_responder_would_have_told_of_is_known_to_be_unused(
    ledgers: tuple[Ledger, Ledger], heard: bool, begun: bool, left: int
) -> None:
    ours, theirs = ledgers
    granted(ours, heard=heard)
    if begun:
        ours.begun(TEST.id)
    with theirs.deciding() as decision:
        decision.drop_unused(NOW)
        assert decision.bytes_since("s1", AGES_AGO) == 1000  # it may still be used
        decision.drop_unused(LATER)
    assert charged(ours) == left


@pytest.mark.parametrize(
    ("moved", "days", "kept"), [(1, 399, True), (1, 401, False), (0, 1, True), (0, 3, False)]
)
def test_old_tests_are_forgotten_and_sooner_those_that_never_began(
    ledgers: tuple[Ledger, Ledger], moved: int, days: int, kept: bool
) -> None:
    granted(ledgers[0])
    ledgers[0].over("s1", TEST.id, moved, NOW)
    new = msgspec.structs.replace(TEST, id="1" * 32, granted_at=NOW + timedelta(days=days))
    with ledgers[1].deciding() as decision:
        decision.grant(new)
    found = [test.id for test in ledgers[0].tests_since("s1", AGES_AGO)]
    assert found == [*([TEST.id] if kept else []), new.id]


def test_orders_are_carried_out_by_whichever_collector_is_asked(ledgers: tuple[Ledger, Ledger]) -> None:
    ours, theirs = ledgers
    ours.order("s1", "l1", NOW, forced=True, tests=2)
    for left in (2, 1):
        (order,) = theirs.standing("s1", NOW, AGES_AGO).orders
        assert (order.line, order.forced, order.left, order.at) == ("l1", True, left, NOW)
        with theirs.deciding() as decision:
            decision.grant(msgspec.structs.replace(TEST, id=str(left) * 32), order)
    assert ours.standing("s1", NOW, AGES_AGO).orders == []
    ours.order("s1", "", AGES_AGO, forced=False, tests=2)
    assert theirs.standing("s1", NOW, NOW).orders == []  # it waited too long


def test_suppressions_hold_for_those_they_name_and_end(ledgers: tuple[Ledger, Ledger]) -> None:
    ours, theirs = ledgers
    exams = Suppression(NOW, LATER, "exams", ("s1", "s2"))
    everywhere = Suppression(NOW, LATER + timedelta(hours=1), "a storm")
    ours.suppress(exams)
    ours.suppress(everywhere)
    theirs_now = theirs.standing("s1", NOW, NOW).suppressions
    assert list(theirs_now) == [msgspec.structs.replace(exams, schools=("s1",)), everywhere]
    assert theirs.standing("s3", NOW, NOW).suppressions == [everywhere]
    assert theirs.standing("s1", LATER, NOW).suppressions == [everywhere]
    assert ours.resume(LATER) == 1
    assert theirs.standing("s1", LATER, NOW).suppressions == []


def test_the_latest_of_what_is_noticed_of_a_line_is_kept(ledgers: tuple[Ledger, Ledger]) -> None:
    ours, theirs = ledgers
    ours.notice("s1", Trigger("l1", LATER, "a plateau"))
    theirs.notice("s1", Trigger("l1", NOW, "delay, told late"))
    theirs.notice("s1", Trigger("l2", NOW, "the port changed"))
    assert [each.why for each in ours.standing("s1", NOW, NOW).triggers] == ["a plateau", "the port changed"]


def test_a_port_is_compared_with_what_any_collector_heard_last(ledgers: tuple[Ledger, Ledger]) -> None:
    ours, theirs = ledgers
    assert ours.note_port("s1", "l1", 1000 * M) is None
    assert theirs.note_port("s1", "l1", 1000 * M) == 1000 * M
    assert theirs.note_port("s1", "l1", 100 * M) == 1000 * M
    assert ours.note_port("s1", "l1", 100 * M) == 100 * M


def test_collectors_that_are_asked_at_one_time_grant_no_more_than_the_share(
    registries: list[Registry],
) -> None:
    """Twenty agents ask two collectors for 100 Mbit/s of 350 at the same moment."""
    schools = {f"s{number}": 100 * M for number in range(20)}
    slots = SlotSettings(county_line=BitsPerSecond(700 * M), share=0.5)
    county = County(schools, slots, NOW, registries=registries)
    wanted = TicketRequest("search", "0" * 64, "down", "ipv4", bits_per_second=100 * M)
    start, found = threading.Barrier(len(schools)), []

    def ask(school: str, number: int) -> None:
        start.wait()
        try:
            found.append(county.offices[number % 2].issue(f"{school}-1", school, wanted, "county").test_id)
        except Denied as denied:
            found.append(denied.reason)

    threads = [threading.Thread(target=ask, args=(name, n)) for n, name in enumerate(schools)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count("300 Mbit/s of 350 Mbit/s are in use") == 17, found
    assert len(set(found)) == 1 + 3


def test_a_fleet_of_two_collectors_stays_within_the_share_and_the_months_bytes(
    registries: list[Registry],
) -> None:
    schools = {f"s{number}": 100 * M for number in range(12)}
    slots = SlotSettings(county_line=BitsPerSecond(400 * M), share=0.5, poll=Seconds(300))
    county = County(schools, slots, NOW - timedelta(hours=2), registries=registries)
    county.run_until(NOW + timedelta(hours=2), 300)
    assert {each.school for each in county.ran} == set(schools)
    assert most_at_once(county.ran) <= 200 * M
    for name in schools:
        own = [each for each in county.ran if each.school == name]
        assert sum(each.bytes for each in own) == sum(
            test.bytes for test in county.ledger.tests_since(name, AGES_AGO)
        )


def test_searches_of_which_nobody_tells_the_end_take_a_quarter_of_the_month_each(
    registries: list[Registry],
) -> None:
    county = County({"s1": 100 * M}, SlotSettings(bytes_per_month=Bytes(10**10)), NOW, registries=registries)
    wanted = TicketRequest("search", "0" * 64, "down", "ipv4", now=True)
    for _ in range(3):
        county.office.issue("s1-1", "s1", wanted, "county")
        county.now += timedelta(minutes=1)
    with pytest.raises(Denied, match=r"^2\.47 GB are left of this month's; it needs 2\.51 GB$"):
        county.office.issue("s1-1", "s1", wanted, "county")


def test_each_line_is_tested_to_the_responder_beyond_it_and_each_has_a_share_of_its_own(
    registries: list[Registry],
) -> None:
    edu = OtherSettings("edu", "edu.example", port=9000, county_line=BitsPerSecond(60 * M), share=1.0)
    iperf = OtherSettings("lab", at_once=1)
    slots = SlotSettings(county_line=BitsPerSecond(200 * M), share=0.5)
    county = County({"s1": 100 * M, "s2": 100 * M}, slots, NOW, registries=registries, others=(edu, iperf))
    lines = (Line("net"), Line("edu", responders=("far", "edu")), Line("far", responders=("far", "lab")))
    county.schools = {name: School(name, lines=lines) for name in county.schools}
    office = county.office

    def asked(school: str, line: str, **more: object) -> tuple[str, str, int, int | None]:
        wanted = TicketRequest("search", "0" * 64, "down", "ipv4", line, now=True)
        wanted = msgspec.structs.replace(wanted, **more)
        grant = office.issue(f"{school}-1", school, wanted, "county.example")
        ids.append(grant.test_id)
        return grant.responder.id, grant.responder.host, grant.responder.port, grant.bits_per_second

    ids: list[str] = []
    assert asked("s1", "net") == ("county", "county.example", 8081, 100 * M)
    assert asked("s2", "edu") == ("edu", "edu.example", 9000, 60 * M)  # beside the other: no share of its
    office.over("s1", TestOver(ids[0], 0))
    with pytest.raises(Denied, match="60 Mbit/s of 60 Mbit/s are in use"):
        asked("s1", "edu")
    with pytest.raises(Denied, match="line far is tested to far, lab; allowed: county, edu"):
        asked("s1", "far")
    with pytest.raises(Denied, match="there is no responder 'lab'; allowed: county, edu"):
        asked("s1", "far", responder="lab")
    office.over("s2", TestOver(ids[1], 0))
    assert asked("s1", "net", responder="edu")[0] == "edu"  # asked for by name: shown, never judged
    county.run_until(NOW + timedelta(hours=1), 300)
    assert {each.line: each.responder for each in county.ran} == {"net": "county", "edu": "edu"}


def test_iperf3_takes_a_slot_of_its_servers_line_else_of_the_countys(registries: list[Registry]) -> None:
    lab = OtherSettings("lab", at_once=1)
    slots = SlotSettings(county_line=BitsPerSecond(200 * M), share=0.5)
    county = County({f"s{n}": 100 * M for n in (1, 2, 3)}, slots, NOW, registries=registries, others=(lab,))
    wanted = TicketRequest(
        "search",
        "0" * 64,
        "up",
        "ipv4",
        responder="lab",
        bits_per_second=10**10,
        method="iperf3",
        seconds=3.0,
    )
    grant = county.office.issue("s1-1", "s1", wanted, "county")
    assert (grant.ticket, grant.seconds, grant.bits_per_second) == ("", 3.0, 10**10)
    with pytest.raises(Denied, match="1 tests run"):
        county.office.issue("s2-1", "s2", wanted, "county")
    undeclared = msgspec.structs.replace(wanted, responder="other", seconds=99.0)
    grant = county.office.issue("s2-1", "s2", undeclared, "county")
    assert (grant.seconds, grant.bits_per_second) == (10.0, 100 * M)
    with pytest.raises(Denied, match="100 Mbit/s of 100 Mbit/s are in use"):
        county.office.issue("s3-1", "s3", undeclared, "county")
    county.office.over("s2", TestOver(grant.test_id, 77))
    assert [test.bytes for test in county.ledger.tests_since("s2", AGES_AGO)] == [77]
    with pytest.raises(Denied, match="what is due is tested by method tcp"):
        county.office.issue("s3-1", "s3", msgspec.structs.replace(wanted, mode="due"), "county")
