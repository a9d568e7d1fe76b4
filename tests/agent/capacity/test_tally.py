"""What a test counts of its line, by counters that show it at once and late."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from agent.capacity import tcp
from agent.capacity.estimate import Mark
from agent.capacity.tally import Tally

TICKS = 20
PAYLOAD = 50_000


class Shown:
    """A line's counter that shows what passed, once in so many readings: ``share`` times the test."""

    def __init__(self, load: tcp.Load, every: int, share: float) -> None:
        self._load = load
        self._every = every
        self._share = share
        self._reads = 0
        self._bits = 0.0

    def mark(self, seconds: float) -> Mark:
        """See Counter."""
        self._reads += 1
        if self._reads % self._every == 0:
            totals = self._load.totals()
            framed = tcp.framing(self._load.socks, received=True)
            self._bits = self._share * framed.ip_bits(totals.bytes_received, totals.segments_received)
        return Mark(seconds, self._bits)


@pytest.fixture
def streams() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with near, far:
            yield near, far


def counted(streams: tuple[socket.socket, socket.socket], every: int, share: float) -> Tally:
    """A test that received by one stream, whose line's counter is refreshed so seldom."""
    near, far = streams
    load = tcp.Load([far])
    tally = Tally("down", tcp.framing([far]), Shown(load, every, share), time.monotonic())
    load.drain()
    for _ in range(TICKS):
        near.sendall(b"x" * PAYLOAD)
        time.sleep(0.01)
        tally.count(load)
    return tally


def test_a_prompt_counter_is_not_waited_for_and_shows_users(
    streams: tuple[socket.socket, socket.socket],
) -> None:
    tally = counted(streams, every=1, share=1.5)
    assert not tally.waits_for_line()
    assert tally.users()[-1].bits == pytest.approx(0.5 * tally.received()[-1].bits, rel=0.1)
    assert tally.users_doubt() == 0.0


def test_a_prompt_counter_of_another_line_is_not_waited_for(
    streams: tuple[socket.socket, socket.socket],
) -> None:
    tally = counted(streams, every=1, share=0.3)
    assert not tally.waits_for_line()
    assert tally.users() == []
    assert tally.line_share() == pytest.approx(0.3, abs=0.05)


def test_a_late_counter_is_waited_for_and_what_it_shows_is_a_doubt(
    streams: tuple[socket.socket, socket.socket],
) -> None:
    tally = counted(streams, every=TICKS + 3, share=1.2)
    assert tally.line_share() == 0.0
    assert [tally.waits_for_line() for _ in range(3)] == [True, True, False]
    assert tally.line_share() == pytest.approx(1.2, abs=0.05)
    assert tally.users() == []
    assert tally.users_doubt() > 0.0
    assert tally.carried() == tally.received()


def test_what_a_late_counter_shows_after_its_first_refresh_are_users(
    streams: tuple[socket.socket, socket.socket],
) -> None:
    tally = counted(streams, every=TICKS + 3, share=0.5)
    assert [tally.waits_for_line() for _ in range(3)] == [True, True, False]
    assert tally.users() == []
    assert tally.line_share() == pytest.approx(0.5, abs=0.05)
