"""The far end of the ICMPv6 checks under attack: strangers, replays, floods; never more out than came in."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.responder.icmpv6 import USES_OF_A_TICKET, Asked, FarEnd, error_message, open_sockets, quoted
from config.far_end import ERRORS, LEAST_BYTES, Ask, Kind, decode_answer, decode_ask, encode_ask, make_ticket
from tests.agent.probes.netns import call_in, ip, joined_pair

pytestmark = pytest.mark.fault(23)
KEY = bytes(range(32))
HEADERS_BYTES = 48
OTHER = "fd99::9"


@pytest.mark.parametrize("size", [64, 100, 1352])
def test_an_error_is_never_longer_than_what_asked_for_it(size: int) -> None:
    asked = Asked(bytes(size), ("2001:db8::1", 9), "2001:db8::2", 8081)
    for icmp_type, code in ERRORS:
        assert 40 + len(error_message(asked, icmp_type, code)) <= HEADERS_BYTES + size
    assert quoted(asked)[:1] == b"\x60"
    assert len(quoted(asked)) >= HEADERS_BYTES


def test_a_question_is_as_long_as_what_it_makes_us_send() -> None:
    ticket = make_ticket(KEY, 2**31)
    for kind in Kind:
        whole = encode_ask(Ask(kind, ticket))
        assert len(whole) >= LEAST_BYTES[kind]
        assert decode_ask(whole) is not None
        assert decode_ask(whole[: LEAST_BYTES[kind] - 1]) is None


class Standing:
    """A far end that serves «far» of two joined namespaces, its key known."""

    def __init__(self, near: str, far: str) -> None:
        self.near, self.far = near, far
        served, raw = call_in(far, lambda: open_sockets("fd99::2", 0))
        self.port = int(served.getsockname()[1])
        self._sockets = (served, raw)
        self._until, self._end = os.pipe()
        self._thread = threading.Thread(target=lambda: call_in(far, self._serve, 120))
        self._thread.start()

    def _serve(self) -> None:
        FarEnd(*self._sockets, KEY).serve(self._until)

    def close(self) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._until)
        for each in self._sockets:
            each.close()

    def answers(self, datagrams: list[bytes], source: str = "fd99::1", quiet: float = 0.3) -> list[bytes]:
        """What comes back to a socket that sends these, until it is quiet."""

        def talk() -> list[bytes]:
            heard: list[bytes] = []
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
                asking.bind((source, 0))
                asking.settimeout(quiet)
                for datagram in datagrams:
                    asking.sendto(datagram, ("fd99::2", self.port))
                    time.sleep(0.0005)
                try:
                    while True:
                        heard.append(asking.recv(4096))
                except TimeoutError:
                    return heard

        return call_in(self.near, talk)

    def sent_bytes(self) -> tuple[int, int]:
        """Octets that the far namespace's port took in and gave out."""
        text = call_in(self.far, lambda: Path("/proc/thread-self/net/dev").read_text(encoding="ascii"))
        numbers = next(line for line in text.splitlines() if "far0" in line).split(":")[1].split()
        return int(numbers[0]), int(numbers[8])


@pytest.fixture(scope="module")
def standing() -> Iterator[Standing]:
    with joined_pair() as (near, far):
        ip("-n", near, "addr", "add", f"{OTHER}/64", "dev", "near0", "nodad")
        each = Standing(near, far)
        end = time.monotonic() + 10
        while not each.answers([repeat(fresh())]):
            assert time.monotonic() < end, "the far end does not answer"
        yield each
        each.close()


def repeat(ticket: bytes, number: int = 0) -> bytes:
    return encode_ask(Ask(Kind.REPEAT, ticket, number=number))


def fresh(seconds: float = 60) -> bytes:
    return make_ticket(KEY, int(time.time() + seconds))


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_without_a_good_ticket_there_is_no_answer(standing: Standing) -> None:
    good = fresh()
    bad = [fresh(-5), make_ticket(bytes(32), int(time.time() + 60)), good[:-1] + bytes((good[-1] ^ 1,))]
    garbage = [b"", b"XT6?", os.urandom(64), os.urandom(1400)]
    assert standing.answers([*map(repeat, bad), *garbage]) == []
    answered = standing.answers([repeat(good, 7)])
    assert [decode_answer(each) for each in answered] == [(7, True)]


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_a_ticket_is_replayed_by_nobody_else_and_not_for_ever(standing: Standing) -> None:
    ticket = fresh()
    assert len(standing.answers([repeat(ticket)])) == 1
    assert standing.answers([repeat(ticket)] * 5, source=OTHER) == []
    assert len(standing.answers([repeat(ticket)] * 200)) == USES_OF_A_TICKET - 1
    assert standing.answers([repeat(ticket)]) == []
    assert len(standing.answers([repeat(fresh())])) == 1


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_a_flood_of_every_kind_brings_back_no_more_bytes_than_it_sends(standing: Standing) -> None:
    took, gave = standing.sent_bytes()
    asks = [Ask(kind, fresh(), 1, 4, 9) for kind in Kind for _ in range(16)]
    errors = [Ask(Kind.ERROR, fresh(), icmp_type, code) for icmp_type, code in ERRORS]
    standing.answers([encode_ask(ask) for ask in (*asks, *errors)], quiet=2.5)
    more_took, more_gave = standing.sent_bytes()
    assert more_took - took > 10_000
    assert more_gave - gave <= more_took - took
    assert len(standing.answers([repeat(fresh())])) == 1
