"""A whole collector with a county of hostile names, and somebody logged in: every page has what to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from collector.access import Role, Who
from collector.access.who import Via
from collector.enrolment.configurations import Scope
from collector.incidents.model import Facts, Incident
from collector.incidents.silences import Silence
from collector.messages.outbox import Entry
from collector.responder.ledger import Ledger
from collector.responder.slots import Suppression
from collector.rooms import Rooms
from collector.uptime.announcing import announce
from collector.uptime.records import Maintenance
from tests.collector.running import running, settings_in, wait_until
from tests.collector.web import county
from tests.collector.web.rooms import SCRIPT, PagesOnly

BY = Who("tests", via=Via.COMMAND)
NAME = "head"


class Site(NamedTuple):
    """What serves, who is logged in, and where to find what has a name of its own."""

    rooms: Rooms
    port: int
    session: str
    places: dict[str, str]


@contextmanager
def hostile_site(folder: Path, schools: int = 12, payload: str = SCRIPT) -> Iterator[Site]:
    """A collector with the payload in every text that somebody else writes."""
    token = folder / "token"
    token.touch(0o600)
    token.write_text("none", encoding="utf-8")
    region = {"id": "east", "url": "http://127.0.0.1:9", "token_file": str(token), "name": f"East{payload}"}
    settings = settings_in(
        folder / "data",
        verdicts={"plans": ("shandan", "changxing")},
        web={"map": str(county.outline(folder)), "refresh": 0.2},
        region={"counties": [region]},
        responder={"listen": ["127.0.0.1"], "port": 0},
    )
    with running(settings) as collector:
        rooms = collector.rooms
        county.fill(pages_of(rooms), schools, payload)
        number = _incidents(rooms, payload or "one")
        session, link = _users(rooms, payload or "one")
        _operations(rooms, payload or "one")
        wait_until(lambda: len(rooms.board.county().schools) >= schools)
        yield Site(rooms, collector.port, session, {"incident": str(number), "link": link})


def pages_of(rooms: Rooms) -> PagesOnly:
    """The rooms that pages look into."""
    return PagesOnly(
        rooms.registry, rooms.store, rooms.verdicts, rooms.liveness, rooms.enrolment, rooms.settings,
        rooms.board, rooms.events, rooms.uptime, rooms.tickets,
    )  # fmt: skip


def _incidents(rooms: Rooms, payload: str) -> int:
    """One with all that people and devices wrote on it, one that is over, and a silence; gives the first."""
    book, now = rooms.incidents.book, datetime.now(UTC)
    facts = Facts(cause="device", look_at="rogue_device", values={"mac": payload, "prefix": payload})
    made = book.begin(
        [
            Incident(0, "rogue_router", "s0", f"router/{payload}", "critical", "open", now, now, facts=facts),
            Incident(0, "line_down", "s3", "line/line1", "warning", "resolved", now, now, resolved_at=now),
        ]
    )
    first = made[0].id
    book.note(first, payload, payload, now)
    book.ticket(first, payload, payload, now)
    book.acknowledge(first, payload, now)
    rooms.incidents.silences.add(Silence(now, payload, payload, now, school_id="s1"), BY)
    return first


def _operations(rooms: Rooms, payload: str) -> None:
    """What the agents' and the operations' pages list: two documents, maintenance, exams, a message."""
    book, now = rooms.enrolment.configurations, datetime.now(UTC)
    for document in ({"probes": {"ping": {"targets": [payload]}}}, {}):
        book.put(Scope("agent", "s0-1"), document, BY)
    later = now + timedelta(days=1)
    announce(rooms.registry, Maintenance("s0", later, later + timedelta(hours=2), payload, now), BY)
    Ledger(rooms.registry).suppress(Suppression(now, later, payload))
    entry = Entry(f"1-1-opened-{payload}", payload, payload, "info", "{}", later)
    rooms.messages.outbox.put([entry], now)


def _users(rooms: Rooms, payload: str) -> tuple[str, str]:
    """A county admin with a token, logged in; and the one-time link of another user."""
    access = rooms.access
    user = access.users.add(NAME, Role.COUNTY_ADMIN, by=BY)
    access.users.add("teacher", Role.SCHOOL_ADMIN, ["s0"], by=BY)
    link = access.users.new_link("teacher", 3600.0, by=BY)
    who = Who(NAME + payload, via=Via.COMMAND)
    access.logins.add_token(user, payload[:64], "read", 30.0, by=who)
    return access.logins.begin(user, "127.0.0.1", "password").session, link
