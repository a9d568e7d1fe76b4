"""Incidents and what is to be told of them are written together or not at all, and once by two collectors."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.incidents.model import Change
from collector.incidents.room import IncidentRoom
from tests.collector.incidents.conftest import Made
from tests.collector.uptime.county import school

BROKEN = "the disk is full"


def outbox(connection: Connection, changes: Sequence[Change]) -> None:
    """A table of messages, as an outbox keeps one."""
    for change in changes:
        if change.send:
            connection.execute(sa.text("INSERT INTO told VALUES (:key)"), {"key": change.key})


def keys(made: object) -> list[str]:
    with made.registry.reading() as connection:  # type: ignore[attr-defined]
        return list(connection.scalars(sa.text("SELECT key FROM told ORDER BY key")))


@pytest.mark.fault(14)
def test_what_fails_beside_an_incident_takes_the_incident_back(made: Made) -> None:
    fails = [True]

    def hook(connection: Connection, changes: Sequence[Change]) -> None:
        outbox(connection, changes)
        if fails[0]:
            raise OSError(BROKEN)

    county = made(school("s1", "telecom"), school("s2", "mobile"), on_change=hook)
    with county.registry.writing() as connection:
        connection.execute(sa.text("CREATE TABLE told (key TEXT PRIMARY KEY)"))
    county.alive.remove("s1")
    with pytest.raises(OSError, match=BROKEN):
        county.go(200)
    assert [each.state for each in county.unresolved()] == ["pending"]
    assert keys(county) == []
    fails[0] = False
    county.go(10)
    (one,) = county.unresolved()
    assert (one.state, keys(county)) == ("open", [f"{one.id}-{one.number}-opened"])


def test_two_collectors_open_an_incident_once(made: Made) -> None:
    county = made(*(school(f"s{n}", f"c{n}") for n in range(6)))
    rooms = [county.open_incidents(), county.open_incidents()]
    for _ in range(200 // 5):
        county.clock.move(seconds=5)
        for name in ("s2", "s3", "s4", "s5"):
            county.beat(name)
    written: list[Change] = []

    def look(room: IncidentRoom) -> None:
        for _ in range(10):
            written.extend(room.tick())

    threads = [threading.Thread(target=look, args=(room,)) for room in rooms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = [each.incident.school_id for each in written if each.what == "opened"]
    assert sorted(opened) == ["s0", "s1"]
    steps = [each.what for one in county.unresolved() for each in county.incidents.book.steps(one.id)]
    assert steps == ["opened", "opened"]


def test_numbers_grow_so_that_every_message_has_its_key(made: Made) -> None:
    county = made(school("s1", "telecom"), school("s2", "mobile"))
    for _ in range(2):
        county.alive.discard("s1")
        county.go(240, step=20)
        county.alive.add("s1")
        county.go(120, step=20)
    told = [each.key for each in county.changes if each.send]
    assert len(told) == len(set(told)) == 4
