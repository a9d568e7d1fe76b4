"""Router advertisements from bytes: the right ones, every rule of RFC 4861 6.1.2, and garbage."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ipv6.advertisement import Malformed, parse
from agent.ipv6.listener import MOST_SENDERS, OTHERS, Listener, Sender
from tests.agent.ipv6.packets import PREFIX, ROUTER, message, option, packet, prefix, rdnss

GOOD = packet(message(prefix(), rdnss(600, "2001:db8::53"), option(1, bytes.fromhex("020000000001"))))
HOP_BY_HOP = bytes((58, 0, 1, 4, 0, 0, 0, 0))


def test_a_whole_advertisement() -> None:
    said = parse(GOOD)
    assert said is not None
    assert (str(said.router), said.lifetime_seconds, said.link_address) == (ROUTER, 1800, "02:00:00:00:00:01")
    assert [str(each.network) for each in said.prefixes] == [f"{PREFIX}/64"]
    assert said.prefixes[0].autonomous
    assert said.prefixes[0].on_link
    assert said.rdnss[0].servers == (ipaddress.IPv6Address("2001:db8::53"),)


def test_one_behind_an_extension_header_is_found() -> None:
    hidden = packet(message(prefix()), extension=HOP_BY_HOP, first=0)
    said = parse(hidden)
    assert said is not None
    assert said.prefixes


def test_the_router_says_its_own_interval() -> None:
    said = parse(packet(message(option(7, bytes((0, 0)) + (4000).to_bytes(4, "big")))))
    assert said is not None
    assert said.interval_seconds == 4.0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no IPv6 packet"),
        (bytes(60), "no IPv6 packet"),
        (GOOD[:-1], "cut off"),
        (packet(message(), hops=64), "hop limit"),
        (packet(message(), source="2001:db8::1"), "link-local"),
        (packet(message(), spoil=1), "checksum"),
        (packet(message(code=1)), "code"),
        (packet(message()[:12]), "shorter"),
        (packet(message(bytes((3, 0)) + bytes(6))), "length 0"),
        (packet(message(bytes((3, 0)))), "length 0"),
        (packet(message(bytes((3, 255)) + bytes(6))), "cut off"),
        (packet(message(b"\x01")), "length 0"),
        (packet(message(prefix(length=129))), "128 bits"),
        (packet(message(), extension=bytes(8), first=44), "fragmented"),
        (packet(message(), extension=bytes((0, 200)) + bytes(6), first=0), "cut off"),
        (packet(message(), extension=bytes((0, 0)) * 4 * 12, first=0), "too many"),
    ],
)
def test_what_hosts_must_ignore(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse(data)


@pytest.mark.parametrize("kind", [133, 135, 128])
def test_other_messages_are_none_of_ours(kind: int) -> None:
    assert parse(packet(bytes((kind,)) + message()[1:])) is None


@given(st.binary(max_size=200))
def test_garbage_ends_in_one_kind_of_error(data: bytes) -> None:
    listener = Listener(lambda _sender, _said: False)
    listener.take("lan0", "02:00:00:00:00:09", data, 0.0)
    assert listener.rogue_since() == []


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_byte_of_a_good_one_changed(at: int, value: int) -> None:
    changed = GOOD[:at] + bytes((value,)) + GOOD[at + 1 :]
    Listener(lambda _sender, _said: True).take("lan0", "02:00:00:00:00:09", changed, 0.0)


def test_a_flood_is_told_of_once_and_again_an_hour_later() -> None:
    listener = Listener(lambda _sender, _said: False)
    told = []
    for number in range(10_000):
        listener.take("lan0", "02:00:00:00:00:01", GOOD, number / 10_000)
        told += listener.news(number / 10_000)
    assert len(told) == 1
    assert not told[0].expected
    assert listener.news(3000) == []
    assert [each.heard for each in listener.news(3700)] == [9999]


def test_one_that_changes_with_each_packet_is_told_of_once_a_minute() -> None:
    listener = Listener(lambda _sender, _said: False)
    told = 0
    for second in range(180):
        listener.take("lan0", "02:00:00:00:00:01", packet(message(lifetime=second)), second)
        told += len(listener.news(second))
    assert told == 3


def test_made_up_senders_fill_no_memory() -> None:
    listener = Listener(lambda _sender, _said: False)
    for number in range(10_000):
        listener.take("lan0", f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", GOOD, 0.0)
    told = listener.news(0.0)
    assert len(told) == MOST_SENDERS + 1
    assert Sender("lan0", OTHERS) in {each.sender for each in told}
    assert sum(each.heard for each in told) == 10_000


def test_a_stranger_that_is_silent_long_enough_is_forgotten() -> None:
    listener = Listener(lambda _sender, _said: False)
    listener.take("lan0", "02:00:00:00:00:01", GOOD, 0.0)
    listener.news(0.0)
    listener.forget_silent(50.0, 60.0)
    assert len(listener.rogue_since()) == 1
    listener.forget_silent(61.0, 60.0)
    assert listener.rogue_since() == []
