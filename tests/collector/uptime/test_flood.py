"""A collector that was down for an hour: the whole county comes back with its backlog; nobody is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.uptime.causes import Cause
from tests.collector.incidents.county import Watched
from tests.collector.uptime.county import Host, school

SCHOOLS = 9
CARRIERS = ("telecom", "mobile", "unicom")


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path, [school(f"s{n:02}", CARRIERS[n % 3]) for n in range(SCHOOLS)])
    yield made
    made.close()


def push(county: Watched, host: Host) -> None:
    """Deliver what the host kept, to every room that a running collector tells."""
    points, host.spool = host.spool, []
    county.take(host.school, host.agent, points)
    county.incidents.on_points(host.school, points)


def pass_minutes(county: Watched, hosts: list[Host], minutes: int, *, outside: bool | None) -> None:
    for _ in range(minutes):
        at = county.clock.now
        county.go(60, step=15, data=False)
        for host in hosts:
            host.minute(at, outside=outside)
            push(county, host)
        county.room.tick()


@pytest.mark.parametrize("outside", [True, None], ids=["outside asked", "centre alone asked"])
def test_a_collector_that_was_down_for_an_hour_calls_nobody(county: Watched, outside: bool | None) -> None:
    hosts = [county.host(name) for name in sorted(county.alive)]
    pass_minutes(county, hosts, 8, outside=outside)
    before = [each for each in county.changes if each.send]
    county.room.close()
    for _ in range(60):
        at = county.clock.now
        county.clock.move(minutes=1)
        for host in hosts:
            host.minute(at, centre=False, outside=outside)
    county.restart()
    county.alive = set()
    back = {host.school: number for number, host in enumerate(hosts)}
    for second in range(0, 60, 5):
        # each after a random pause: here one every five seconds, its newest point first, then what it kept
        for host in hosts:
            if back[host.school] * 5 == second:
                county.alive.add(host.school)
                kept, host.spool = host.spool[:-1], host.spool[-1:]
                push(county, host)
                host.spool = kept
                push(county, host)
        county.go(5, data=False)
        county.room.tick()
    pass_minutes(county, hosts, 10, outside=outside)
    assert before == []
    assert [each for each in county.changes if each.send] == []
    assert county.unresolved() == []
    assert county.room.going_on() == []
    assert {each.cause for each in county.outages()} <= {Cause.CENTRE}
    assert not any(each.live for each in county.outages())


def test_a_school_that_died_while_the_collector_was_down_is_called(county: Watched) -> None:
    """No flood, and no deafness either: after its own wait the collector calls who never came back."""
    hosts = [county.host(name) for name in sorted(county.alive)]
    pass_minutes(county, hosts, 4, outside=True)
    county.room.close()
    county.clock.move(minutes=60)
    county.restart()
    county.alive.discard("s05")
    pass_minutes(county, [host for host in hosts if host.school != "s05"], 8, outside=True)
    told = [(each.incident.kind, each.incident.school_id) for each in county.changes if each.send]
    assert told == [("school_silent", "s05")]
