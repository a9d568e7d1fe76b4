"""Tickets: what is refused, and in which words."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from agent.capacity.tcp import MOST_UNSENT_BYTES
from collector.responder.denied import Denied
from collector.responder.office import TicketOffice, TicketRequest
from collector.responder.settings import ResponderSettings, SlotSettings
from collector.responder.ticket import Gate, Ticket, TicketError, holder_of, load_key, opened, sign
from config.units import BitsPerSecond, Bytes

KEY = b"k" * 32
NOW = 1_800_000_000.0
TICKET = Ticket(
    agent="a1", school="s1", line=None, responder="county", direction="down", family="ipv4", mode="search",
    bytes=10**9, seconds=10.0, streams=4, bits_per_second=None, issued=NOW, until=NOW + 60,
    holder=holder_of("secret"), nonce="n1",
)  # fmt: skip


def text(**changes: Any) -> str:
    """A signed ticket that differs in this."""
    return sign(msgspec.structs.replace(TICKET, **changes), KEY)


def test_a_ticket_serves_once() -> None:
    gate = Gate(KEY, "county", NOW - 1)
    assert gate.admit(text(), "secret", "ipv4", NOW).agent == "a1"
    with pytest.raises(TicketError, match="used before"):
        gate.admit(text(), "secret", "ipv4", NOW + 30)
    gate.admit(text(nonce="n2"), "secret", "ipv4", NOW)


@pytest.mark.parametrize(
    ("ticket", "secret", "family", "now", "message"),
    [
        (text(), "another", "ipv4", NOW, "of another agent"),
        (text(holder="é" * 64), "secret", "ipv4", NOW, "of another agent"),
        (text(responder="other"), "secret", "ipv4", NOW, "for another responder"),
        (text(), "secret", "ipv6", NOW, "for ipv4"),
        (text(), "secret", "ipv4", NOW + 70, "expired"),
        (text(), "secret", "ipv4", NOW - 70, "another time"),
        (text(issued=NOW - 60), "secret", "ipv4", NOW, "another time"),
        (text()[:-8], "secret", "ipv4", NOW, "malformed|not signed"),
        (text()[8:], "secret", "ipv4", NOW, "malformed|not signed"),
        (sign(TICKET, b"x" * 32), "secret", "ipv4", NOW, "not signed here"),
        ("", "secret", "ipv4", NOW, "malformed"),
        ("a.b.c", "secret", "ipv4", NOW, "malformed"),
        ("é.é", "secret", "ipv4", NOW, "malformed"),
        ("x" * 5000, "secret", "ipv4", NOW, "malformed"),
    ],
)
def test_refusals(ticket: str, secret: str, family: str, now: float, message: str) -> None:
    gate = Gate(KEY, "county", NOW - 1)
    with pytest.raises(TicketError, match=message):
        gate.admit(ticket, secret, family, now)
    gate.admit(text(), "secret", "ipv4", NOW)


def test_every_changed_character_breaks_the_seal() -> None:
    whole = text()
    for place in range(len(whole)):
        other = "A" if whole[place] != "A" else "B"
        forged = whole[:place] + other + whole[place + 1 :]
        try:
            assert opened(forged, KEY) == TICKET  # unused bits of the last base64 character
            assert place in (len(whole) - 2, whole.index(".") - 1, whole.index(".") - 2)
        except TicketError:
            continue


def test_a_body_without_a_seal_is_refused() -> None:
    body = base64.urlsafe_b64encode(msgspec.json.encode(TICKET)).decode()
    for seal in ("", "AAAA", base64.urlsafe_b64encode(bytes(32)).decode()):
        with pytest.raises(TicketError):
            opened(f"{body}.{seal}", KEY)


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "responder.key"
    key = load_key(file)
    assert len(key) == 32
    assert load_key(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["responder.key"]
    file.chmod(0o644)
    with pytest.raises(TicketError, match="allowed is mode 0600"):
        load_key(file)
    file.chmod(0o600)
    file.write_bytes(b"short")
    with pytest.raises(TicketError, match="holds 5 bytes"):
        load_key(file)
    with pytest.raises(TicketError, match="cannot be used"):
        load_key(tmp_path / "missing" / "responder.key")


WANTED = TicketRequest(direction="down", family="ipv4", mode="search", holder="0" * 64)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"responder": "other"}, 409, "there is no responder 'other'; allowed: county"),
        ({"holder": "0" * 63}, 409, "64 lower-case hexadecimal digits"),
        ({"holder": "0" * 64 + "\n"}, 409, "64 lower-case hexadecimal digits"),
        ({"holder": "é" * 64}, 409, "64 lower-case hexadecimal digits"),
        ({"mode": "verify"}, 409, "needs bits_per_second"),
        ({"mode": "verify", "bits_per_second": 10**10}, 409, "at most"),
        ({"bits_per_second": 0}, 409, "between"),
        ({"bits_per_second": -1}, 409, "between"),
        ({"bits_per_second": 10**13}, 409, "between"),
    ],
)
def test_what_the_office_denies(changes: dict[str, Any], status: int, message: str) -> None:
    office = TicketOffice(ResponderSettings(max_rate=BitsPerSecond(10**9)), KEY)
    with pytest.raises(Denied, match=message) as denied:
        office.issue("a1", "s1", msgspec.structs.replace(WANTED, **changes), "h")
    assert denied.value.status == status


def test_a_grant_is_bounded_by_the_settings() -> None:
    office = TicketOffice(ResponderSettings(max_streams=3, max_rate=BitsPerSecond(10**9)), KEY, lambda: NOW)
    grant = office.issue("a1", "s1", WANTED, "collector.example")
    ticket = opened(grant.ticket, KEY)
    assert (grant.responder.host, grant.responder.port, grant.streams) == ("collector.example", 8081, 3)
    assert (ticket.agent, ticket.school, ticket.bits_per_second) == ("a1", "s1", 10**9)
    assert ticket.until == NOW + 15
    assert ticket.bytes < 1.4e9


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 2.5e9),
        ({"bits_per_second": 10**8}, 0.1375e9),
        ({"force": True}, 13.75e9),
        ({"method": "iperf3"}, 13.75e9),
        ({"mode": "verify", "bits_per_second": 10**10}, 5.5e9),
    ],
)
def test_a_search_may_move_a_quarter_of_the_month_where_its_rate_would_move_more(
    changes: dict[str, Any], most: float
) -> None:
    """Not one that is forced or that no bytes end; a verify run needs what it asks for."""
    office = TicketOffice(ResponderSettings(slots=SlotSettings(bytes_per_month=Bytes(10**10))), KEY)
    request = msgspec.structs.replace(WANTED, bits_per_second=None)
    grant = office.issue("a1", "s1", msgspec.structs.replace(request, **changes), "h")
    assert most < grant.bytes <= most + 2 * MOST_UNSENT_BYTES * grant.streams


def test_tickets_an_hour_are_bounded_for_each_agent() -> None:
    now = [NOW]
    office = TicketOffice(ResponderSettings(tickets_per_hour=2), KEY, lambda: now[0])
    for _ in range(2):
        office.issue("a1", "s1", WANTED, "h")
    with pytest.raises(Denied) as denied:
        office.issue("a1", "s1", WANTED, "h")
    assert (denied.value.status, denied.value.retry_after_seconds) == (429, 3600)
    office.issue("a2", "s2", WANTED, "h")
    now[0] += 3601
    office.issue("a1", "s1", WANTED, "h")


@pytest.mark.parametrize(
    ("settings", "family", "host"),
    [
        ({}, "ipv6", "reached"),
        ({"host": "10.1.0.10"}, "ipv4", "10.1.0.10"),
        ({"host": "10.1.0.10"}, "ipv6", "10.1.0.10"),
        ({"host": "10.1.0.10", "host_ipv6": "2001:db8::10"}, "ipv4", "10.1.0.10"),
        ({"host": "10.1.0.10", "host_ipv6": "2001:db8::10"}, "ipv6", "2001:db8::10"),
        ({"host_ipv6": "2001:db8::10"}, "ipv4", "reached"),
    ],
)
def test_each_family_is_told_where_the_responder_is(
    settings: dict[str, Any], family: Literal["ipv4", "ipv6"], host: str
) -> None:
    office = TicketOffice(ResponderSettings(**settings), KEY, lambda: NOW)
    request = TicketRequest("search", holder_of("secret"), direction="down", family=family)
    assert office.issue("a1", "s1", request, "reached").responder.host == host
