"""Outages and their causes from real points in a real store, the agent's record before and after."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from collector.store.interface import StoreUnavailable
from collector.uptime import room
from collector.uptime.causes import Cause
from collector.uptime.history import Outage
from collector.uptime.judging import HORIZON
from collector.uptime.minutes import SCHOOL
from collector.uptime.outage_book import AGAIN, CAUSES
from collector.uptime.tables import DayRow
from config.points import FieldValue, Point
from config.school import School
from tests.collector.uptime.county import MONDAY, NS, County, Host, school

MINUTE = timedelta(minutes=1)
Made = Callable[..., County]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    counties: list[County] = []

    def make(*schools: School, **options: object) -> County:
        counties.append(County(tmp_path, schools or (school("s1", "telecom"),), **options))  # type: ignore[arg-type]
        return counties[-1]

    yield make
    for county in counties:
        county.close()


def pass_minutes(
    county: County, hosts: Sequence[Host], minutes: int, *, deliver: bool = True, **seen: object
) -> None:
    """Minutes go by: each host writes what it saw; what is not delivered stays in its spool."""
    for _ in range(minutes):
        at = county.clock.now
        county.clock.move(minutes=1)
        for host in hosts:
            host.minute(at, **seen)  # type: ignore[arg-type]
            if deliver:
                host.deliver()
        county.room.tick()


def arrive(county: County, *hosts: Host) -> None:
    for host in hosts:
        host.deliver()
    county.room.tick()


def only(outages: Sequence[Outage]) -> Outage:
    assert len(outages) == 1, outages
    return outages[0]


def spans(outages: Sequence[Outage]) -> list[tuple[int, int | None]]:
    """Outages by minutes from MONDAY."""

    def minutes(moment: datetime) -> int:
        return round((moment - MONDAY) / MINUTE)

    return [(minutes(o.started_at), None if o.ended_at is None else minutes(o.ended_at)) for o in outages]


def test_a_line_cut_is_found_when_its_record_arrives_and_is_no_news_of_now(made: Made) -> None:
    county = made()
    host = county.host("s1")
    pass_minutes(county, [host], 20)
    pass_minutes(county, [host], 30, deliver=False, gateway=False, centre=False, outside=False)
    assert county.outages() == []
    pass_minutes(county, [host], 30, deliver=False)
    arrive(county, host)
    outage = only(county.outages("s1"))
    assert (spans([outage]), outage.cause, outage.live) == ([(20, 50)], Cause.LINE, False)
    assert only(county.outages("s1", "line/l1")).cause is Cause.LINE
    assert county.room.going_on() == []
    told = county.report().outages("s1", MONDAY, county.clock.now)
    assert ("found", "unknown", "down") in [
        (each["what"], each["was"], each["became"]) for one in told for each in one["corrections"]
    ]


def test_the_carriers_gateway_answers_and_the_internet_is_dead(made: Made) -> None:
    county = made()
    host = county.host("s1")
    pass_minutes(county, [host], 10)
    pass_minutes(county, [host], 10, deliver=False, centre=False, outside=False)
    pass_minutes(county, [host], 6)
    outage = only(county.outages("s1"))
    assert (spans([outage]), outage.cause) == ([(10, 20)], Cause.CARRIER)


def test_a_gateway_that_never_answers_is_no_outage(made: Made) -> None:
    county = made()
    pass_minutes(county, [county.host("s1")], 20, gateway=False)
    assert county.outages() == []
    available = next(county.report().availability(MONDAY, county.clock.now, county.clock.now))
    assert available.of().all_hours.up == 18


def test_one_of_two_lines_is_cut(made: Made) -> None:
    county = made(school("s1", "telecom", "mobile"))
    host = county.host("s1")
    pass_minutes(county, [host], 10, lines={"l1": True, "l2": True})
    pass_minutes(county, [host], 10, lines={"l1": True, "l2": False})
    pass_minutes(county, [host], 10, lines={"l1": True, "l2": True})
    assert county.outages("s1") == []
    outage = only(county.outages("s1", "line/l2"))
    assert (spans([outage]), outage.cause, outage.live) == ([(10, 20)], Cause.LINE, True)
    counted = next(county.report().availability(MONDAY, county.clock.now, county.clock.now)).of().all_hours
    assert (counted.one_line, counted.down) == (10, 0)


@pytest.mark.parametrize(("third", "cause"), [(True, Cause.CARRIER), (False, Cause.LINE)])
def test_a_line_of_three_ports_is_to_blame_when_none_has_a_link(
    made: Made, third: bool, cause: Cause
) -> None:
    county = made(school("s1", "telecom"))
    host = county.host("s1")
    pass_minutes(county, [host], 10)
    dark = {"a": False, "b": False, "c": third}
    pass_minutes(county, [host], 12, deliver=False, centre=False, outside=False, ports=dark)
    arrive(county, host)
    assert only(county.outages("s1")).cause is cause


def test_three_schools_of_one_carrier(made: Made) -> None:
    names = ("s1", "s2", "s3", "s4")
    county = made(*(school(name, "mobile" if name == "s4" else "telecom") for name in names))
    hosts = [county.host(name) for name in names]
    pass_minutes(county, hosts, 10)
    for _ in range(12):
        at = county.clock.now
        county.clock.move(minutes=1)
        for host in hosts[:3]:
            host.minute(at, gateway=False, centre=False, outside=False)
        hosts[3].minute(at)
        hosts[3].deliver()
        county.room.tick()
    arrive(county, hosts[0])
    assert only(county.outages("s1")).cause is Cause.LINE
    pass_minutes(county, hosts, 6)
    causes = {outage.school_id: outage.cause for outage in county.outages()}
    assert causes == dict.fromkeys(("s1", "s2", "s3"), Cause.CARRIER)
    told = county.report().outages("s1", MONDAY, county.clock.now)
    assert [
        (each["was"], each["became"])
        for one in told if one["subject"] == "school"
        for each in one["corrections"] if each["what"] == "cause"
    ] == [("line", "carrier")]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "boot", "lan", "cause", "state"),
    [
        ("", "boot-2", False, "power", "down"),
        ("", None, False, "agent", "unknown"),
        ("restarting", None, False, "restart", "unknown"),
        ("stopping", None, False, "agent", "unknown"),
        # the gateway itself was shut down in order; a box in the LAN says nothing of its school's lines
        ("stopping", "boot-2", False, "restart", "down"),
        ("stopping", "boot-2", True, "restart", "unknown"),
    ],
)
def test_why_an_agent_was_away(  # noqa: PLR0917 a row of the table
    made: Made, said: str, boot: str | None, lan: bool, cause: str, state: str
) -> None:
    county = made()
    host = county.host("s1", lan=lan)
    pass_minutes(county, [host], 10)
    if said:
        host.end(county.clock.now, said)
    county.clock.move(minutes=40)
    county.room.tick()
    host.restart(county.clock.now, boot)
    pass_minutes(county, [host], 10)
    outage = only(county.outages("s1"))
    assert (spans([outage]), outage.cause.value, outage.state) == ([(10, 50)], cause, state)
    counted = next(county.report().availability(MONDAY, county.clock.now, county.clock.now)).of().all_hours
    assert (counted.down, counted.unknown) == ((40, 0) if state == "down" else (0, 40))


def test_a_backlog_after_the_live_point_corrects_the_power_cut(made: Made) -> None:
    """The newest is pushed first: what lies between looks like one long power cut until the rest arrives."""
    county = made()
    host = county.host("s1")
    pass_minutes(county, [host], 10)
    pass_minutes(county, [host], 30, deliver=False, centre=False, outside=False)
    county.clock.move(minutes=20)
    host.restart(county.clock.now, "boot-2")
    backlog, host.spool = host.spool[:-1], host.spool[-1:]
    pass_minutes(county, [host], 6)
    assert spans(county.outages("s1")) == [(10, 60)]
    assert only(county.outages("s1")).cause is Cause.POWER
    host.spool = backlog
    arrive(county, host)
    outage = only(county.outages("s1"))
    assert (spans([outage]), outage.cause) == ([(10, 60)], Cause.CARRIER)
    counted = next(county.report().availability(MONDAY, county.clock.now, county.clock.now)).of().all_hours
    assert (counted.down, counted.unknown) == (50, 0)


def test_power_that_is_cut_every_night_is_no_outage(made: Made) -> None:
    county = made(school("s1", "telecom", power_cut=("10:00-11:00",)))
    host = county.host("s1")
    pass_minutes(county, [host], 58)
    county.clock.move(minutes=65)
    host.restart(county.clock.now, "boot-2")
    pass_minutes(county, [host], 10)
    assert county.outages() == []
    counted = next(county.report().availability(MONDAY, county.clock.now, county.clock.now)).of().all_hours
    assert (counted.down, counted.unknown, counted.availability) == (0, 0, 1.0)


def test_the_lan_between_the_box_and_the_gateway(made: Made) -> None:
    county = made()
    host = county.host("s1", lan=True)
    pass_minutes(county, [host], 10)
    pass_minutes(county, [host], 10, deliver=False, gateway=False, centre=False, outside=False)
    pass_minutes(county, [host], 6)
    outage = only(county.outages("s1"))
    assert (spans([outage]), outage.cause) == ([(10, 20)], Cause.LAN)


def test_the_centre_is_lost_by_everybody_and_no_school_is_blamed(made: Made) -> None:
    names = ("s1", "s2", "s3")
    county = made(*(school(name, f"carrier-{name}") for name in names))
    hosts = [county.host(name) for name in names]
    pass_minutes(county, hosts, 10, outside=None)
    pass_minutes(county, hosts, 10, deliver=False, centre=False, outside=None)
    pass_minutes(county, hosts, 10, outside=None)
    assert {outage.cause for outage in county.outages()} == {Cause.CENTRE}
    for each in county.report().availability(MONDAY, county.clock.now, county.clock.now):
        assert (each.of().all_hours.down, each.of().all_hours.centre) == (0, 10)


def test_the_centre_is_lost_and_the_outside_answers(made: Made) -> None:
    county = made()
    host = county.host("s1")
    pass_minutes(county, [host], 10)
    pass_minutes(county, [host], 10, deliver=False, centre=False)
    pass_minutes(county, [host], 10)
    assert county.outages() == []


def test_a_collector_that_was_away_raises_no_flood(made: Made) -> None:
    county = made(*(school(f"s{number}", "telecom") for number in range(5)))
    hosts = [county.host(f"s{number}") for number in range(5)]
    for host in hosts:
        county.registry.add_agent(host.school, host.agent)
    pass_minutes(county, hosts, 10, outside=None)
    county.room.close()
    for _ in range(60):
        at = county.clock.now
        county.clock.move(minutes=1)
        for host in hosts:
            host.minute(at, centre=False, outside=None)
    county.liveness = type(county.liveness)(county.clock)
    county.room = county.open_room()
    county.room.tick()
    assert {each.state for each in county.room.presence()} == {"waiting"}
    pass_minutes(county, hosts, 10, outside=None)
    assert county.room.going_on() == []
    assert {outage.cause for outage in county.outages()} == {Cause.CENTRE}
    assert not any(outage.live for outage in county.outages())
    assert not any(each.call for each in county.room.presence())


def test_an_outage_has_its_cause_though_the_store_was_away_within_the_round(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "TOGETHER", 1)
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    host, other = county.host("s1"), county.host("s2")
    pass_minutes(county, [host], 20)
    pass_minutes(county, [host], 30, deliver=False, gateway=False, centre=False, outside=False)
    pass_minutes(county, [host, other], 30, deliver=False)
    read = county.store.points

    def away_for_the_second(school_id: str, *more: Any, **named: Any) -> Any:
        if school_id == "s2":
            raise StoreUnavailable("away")
        return read(school_id, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(county.store, "points", away_for_the_second)
        with pytest.raises(StoreUnavailable):
            arrive(county, host, other)
    assert only(county.outages("s1")).cause is Cause.UNKNOWN
    county.room.tick()
    assert only(county.outages("s1")).cause is Cause.LINE


@contextmanager
def rotten_days(county: County, school_id: str) -> Iterator[None]:
    """The minutes that are written of a school cannot be read within the block."""
    mine = DayRow.school_id == school_id
    with county.registry.writing() as connection:
        kept = connection.execute(sa.select(DayRow.__table__).where(mine)).mappings().all()
        connection.execute(sa.update(DayRow).where(mine).values(minutes=b"rot"))
    yield
    with county.registry.writing() as connection:
        connection.execute(sa.delete(DayRow).where(mine))
        connection.execute(sa.insert(DayRow), [dict(row) for row in kept])


def test_a_school_that_cannot_be_judged_waits_and_costs_no_other(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "collector.failures")
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    hosts = [county.host("s1"), county.host("s2")]
    pass_minutes(county, hosts, 10)
    with rotten_days(county, "s1"):
        pass_minutes(county, hosts, 10, centre=False, outside=False)
        assert only(county.outages("s2")).cause is Cause.CARRIER
        assert county.outages("s1") == []
        assert county.room.failures.schools() == {"s1"}
    county.room.tick()
    assert spans(county.outages("s1")) == [(10, None)], "nothing of it was lost"
    assert only(county.outages("s1")).cause is Cause.CARRIER
    assert not county.room.failures.schools()
    [began, ended] = caplog.messages
    assert re.fullmatch(
        r"uptime failed school=s1 step=minutes at=error in minutes.py:\d+ reason=Error .*", began
    )
    assert ended == "uptime fails no longer school=s1 step=minutes"


def test_a_cause_that_cannot_be_found_leaves_the_others_theirs(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "collector.failures")
    county = made(*(school(name, "telecom") for name in ("s1", "s2", "s3")))
    hosts = [county.host(name) for name in ("s1", "s2", "s3")]
    pass_minutes(county, hosts, 10)
    pass_minutes(county, hosts, 12, deliver=False, gateway=False, centre=False, outside=False)
    arrive(county, hosts[0])
    with rotten_days(county, "s1"):
        arrive(county, *hosts[1:])
        causes = {outage.school_id: outage.cause for outage in county.outages()}
        assert causes == {"s1": Cause.LINE, "s2": Cause.CARRIER, "s3": Cause.CARRIER}
        assert county.room.failures.schools() == {"s1"}
    pass_minutes(county, hosts, 6)
    assert {outage.cause for outage in county.outages()} == {Cause.CARRIER}
    assert not county.room.failures.schools()
    [began, ended] = caplog.messages
    assert began.startswith("uptime failed school=s1 step=causes at=error in minutes.py:")
    assert ended == "uptime fails no longer school=s1 step=causes"


def a_cut_whose_cause_cannot_be_found(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of s1 that is over arrives at once: no later change of it asks for its cause."""
    host = county.host("s1")
    pass_minutes(county, [host], 10)
    pass_minutes(county, [host], 10, deliver=False, centre=False, outside=False)
    pass_minutes(county, [host], 10, deliver=False)

    def odd(*_: object) -> None:
        raise ValueError("odd data")

    monkeypatch.setattr(county.store, "latest", odd)
    arrive(county, host)
    assert only(county.outages("s1")).cause is Cause.UNKNOWN
    assert county.room.failures.schools(CAUSES) == {"s1"}


def test_a_cause_that_could_not_be_found_is_asked_for_again(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "collector.uptime.room")
    county = made()
    with monkeypatch.context() as patch:
        a_cut_whose_cause_cannot_be_found(county, patch)
        caplog.clear()
        county.room.tick()
        failed = county.room.failures.total
        county.room.tick()
        assert county.room.failures.total == failed, "not at every tick"
        assert caplog.messages == [], "nothing is new"
    county.clock.move(seconds=AGAIN.total_seconds())
    assert county.room.tick() == 2
    assert only(county.outages("s1")).cause is Cause.CARRIER
    assert only(county.outages("s1", "line/l1")).cause is Cause.CARRIER
    assert not county.room.failures.schools()
    assert [message.count("cause=carrier") for message in caplog.messages] == [1, 1]


def test_a_cause_of_long_ago_is_asked_for_no_more(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    county = made()
    a_cut_whose_cause_cannot_be_found(county, monkeypatch)
    county.clock.move(seconds=HORIZON.total_seconds())
    county.room.tick()
    assert not county.room.failures.schools()
    failed = county.room.failures.total
    county.clock.move(seconds=AGAIN.total_seconds())
    county.room.tick()
    assert county.room.failures.total == failed


def test_an_outage_has_its_cause_though_the_database_went_away_between_schools_judged_alone(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "collector.uptime.room")
    county = made(*(school(name, "telecom") for name in ("s1", "s2", "s3")))
    cut, *others = [county.host(name) for name in ("s2", "s1", "s3")]
    pass_minutes(county, [cut, *others], 10)
    for _ in range(10):
        at = county.clock.now
        county.clock.move(minutes=1)
        cut.minute(at, centre=False, outside=False)
        for host in others:
            host.minute(at)
    pass_minutes(county, [cut, *others], 10, deliver=False)
    put = county.room.records.put_days

    def away_for_the_third(changed: dict[tuple[str, str, int], bytes]) -> None:
        if any(school_id == "s3" for school_id, _, _ in changed):
            raise sa.exc.OperationalError("INSERT", {}, Exception("the database went away"))
        put(changed)

    with monkeypatch.context() as patch, rotten_days(county, "s1"):
        patch.setattr(county.room.records, "put_days", away_for_the_third)
        with pytest.raises(sa.exc.OperationalError):
            arrive(county, cut, *others)
    assert only(county.outages()).cause is Cause.UNKNOWN
    county.room.tick()
    assert [(each.school_id, each.cause) for each in county.outages()] == [("s2", Cause.CARRIER)]
    told = [message for message in caplog.messages if message.startswith("outage")]
    assert [message.count("school=s2") for message in told] == [1, 1], "the school and its line, once"


def test_a_minute_that_is_judged_again_keeps_the_window_of_an_hour_that_it_lies_in(made: Made) -> None:
    county = made()
    county.clock.move(hours=1)
    for lost, target, seconds, ended in ((0, "a", 3600.0, 60), (20, "b", 60.0, 10)):
        told: dict[str, FieldValue] = {"sent": 20, "lost": lost, "window_seconds": seconds}
        at_ns = round((MONDAY + ended * MINUTE).timestamp()) * NS
        county.take("s1", "s1-1", [Point("ping", {"target": target, "family": "ipv4"}, told, at_ns)])
        county.room.tick()
    first, day = divmod(round(MONDAY.timestamp() / 60), 1440)[::-1]
    codes = county.room.records.days("s1", day, day)[SCHOOL][day]
    assert codes[first : first + 60] == b"u" * 9 + b"d" + b"u" * 50


def test_judging_again_changes_nothing(made: Made) -> None:
    county = made()
    host = county.host("s1")
    pass_minutes(county, [host], 10)
    pass_minutes(county, [host], 10, deliver=False, centre=False, outside=False)
    points = list(host.spool)
    pass_minutes(county, [host], 10)
    before = county.report().outages("s1", MONDAY, county.clock.now)
    county.take("s1", host.agent, points)
    assert county.room.tick() == 0
    assert county.report().outages("s1", MONDAY, county.clock.now) == before


def test_a_live_outage_of_a_line_goes_on_and_ends(made: Made) -> None:
    county = made(school("s1", "telecom", "mobile"))
    host = county.host("s1")
    pass_minutes(county, [host], 10, lines={"l1": True, "l2": True})
    pass_minutes(county, [host], 2, lines={"l1": True, "l2": False})
    assert county.outages("s1", "line/l2") == []
    pass_minutes(county, [host], 1, lines={"l1": True, "l2": False})
    assert [(each.subject, each.started_at) for each in county.room.going_on()] == [
        ("line/l2", MONDAY + 10 * MINUTE)
    ]
    pass_minutes(county, [host], 4, lines={"l1": True, "l2": True})
    assert len(county.room.going_on()) == 1
    pass_minutes(county, [host], 1, lines={"l1": True, "l2": True})
    assert county.room.going_on() == []
    assert spans(county.outages("s1", "line/l2")) == [(10, 13)]
