"""What a box makes of the counters of the school's router, on made readings."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from agent.capacity.box import (
    OTHER_LINE,
    SETTLE_SECONDS,
    SEVERAL,
    Moved,
    Reading,
    RouterWatch,
    Seen,
    during,
    judged,
    targets_of,
)
from agent.capacity.estimate import Mark
from agent.probe import Run, Site
from agent.probes.snmp import Device, PortRole
from agent.snmp.ifmib import PortReading
from config.clock import SystemClock
from config.school import School

START = 100.0
OWN = [Mark(0.05 * each, 5e6 * each) for each in range(61)]
"""3 s at 100 Mbit/s."""
MOVED = Moved(START, OWN, 300e6)
PORT = PortReading(
    name="wan", index=(2,), octets={"rx": 0, "tx": 0}, octet_bits=64, packets={"rx": 0, "tx": 0}, others={},
    speed_bits_per_second=10**9, operational=True, alias="", framing_bytes=18, discontinuity=0,
)  # fmt: skip


Count = Callable[[float], float]


def carried(seconds: float) -> float:
    """Mbit of the test by then."""
    return 100 * min(3.0, max(0.0, seconds))


def users(rate: float) -> Count:
    """Mbit of users who move so many Mbit/s all the time."""
    return lambda seconds: rate * (seconds + 100)


def together(*counts: Count) -> Count:
    """Mbit of all of them."""
    return lambda seconds: sum(count(seconds) for count in counts)


def polled(count: Count, refresh: float = 0.1, until: float = 32.0, late: float = 0.03) -> list[Reading]:
    """What is kept of a counter (Mbit, by the seconds since the start) that the device refreshes every so
    many seconds, ``late`` after the start too, when it is read every 0.1 s from 0.6 s before the start.
    """
    kept: list[Reading] = []
    for asked in (0.1 * tick for tick in range(-6, round(10 * until))):
        refreshed = late + refresh * math.floor((asked - late) / refresh)
        octets = {"rx": round(count(refreshed) * 125_000), "tx": 0}
        if kept and kept[-1].port.octets == octets:
            kept[-1] = msgspec.structs.replace(kept[-1], until=START + asked)
            continue
        old = kept[-1].until if kept else START + asked - SETTLE_SECONDS
        kept.append(Reading(old, START + asked, START + asked, msgspec.structs.replace(PORT, octets=octets)))
    return kept


def seen_of(asked: str | None = None, test: Moved = MOVED, **counters: list[Reading]) -> Seen:
    """What is made of those counters."""
    return judged(counters, "rx", test, asked=asked, why="did not answer")


@pytest.mark.parametrize("late", [0.01, 0.3, 0.95])
@pytest.mark.parametrize("refresh", [0.1, 0.5, 1.0, 3.0, 5.0, 11.8])
def test_a_quiet_line_is_the_tests_however_seldom_its_counter_is_refreshed(
    refresh: float, late: float
) -> None:
    quiet = polled(together(carried, users(0.1)), refresh, late=late * refresh)
    still = polled(carried, refresh, late=late * refresh)
    for readings in (quiet, still):
        seen = seen_of(l1=readings, l2=polled(users(0)))
        assert seen.way.line == "l1", seen
        assert seen.share == pytest.approx(1, abs=0.01)
        assert seen.users_bits_per_second == 0
        assert seen.doubt_bits_per_second < 1e6


@pytest.mark.parametrize("refresh", [0.1, 1.0, 3.0, 5.0, 11.8])
def test_users_of_another_line_are_not_the_test(refresh: float) -> None:
    """From the first reading to the last they moved 276 Mbit, 92 % of a test that left by a line not read."""
    for rate in (19, 60, 100, 300):
        seen = seen_of(l2=polled(users(rate), refresh))
        assert seen.way.line is None, (rate, seen)


@pytest.mark.parametrize("refresh", [0.1, 1.0, 3.0, 5.0, 11.8])
def test_users_of_another_line_do_not_hide_whose_test_it_is(refresh: float) -> None:
    for rate in (19, 60, 100, 300):
        seen = seen_of(l1=polled(carried, refresh), l2=polled(users(rate), refresh))
        assert seen.way.line == "l1", (rate, seen)
        assert seen.users_bits_per_second == 0


def test_users_on_the_tests_own_line_count_as_far_as_they_are_certain() -> None:
    seen = seen_of(l1=polled(together(carried, users(25))))
    assert seen.way.line == "l1"
    low, more = seen.users_bits_per_second, seen.doubt_bits_per_second
    assert 20e6 < low < 25e6 < low + more < 35e6
    seldom = seen_of(l1=polled(together(carried, users(10)), refresh=5.0))
    assert seldom.way.line == "l1"
    assert seldom.users_bits_per_second == 0
    assert seldom.doubt_bits_per_second > 10e6
    of_the_test = msgspec.structs.replace(MOVED, sent=500e6)
    under_way = seen_of(test=of_the_test, l1=polled(together(carried, users(25))))
    assert (under_way.users_bits_per_second, under_way.doubt_bits_per_second) == (0, 0)


@pytest.mark.parametrize("refresh", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("dropped", [4, 15])
def test_what_was_sent_again_may_hide_users_and_so_is_a_doubt(refresh: float, dropped: int) -> None:
    """Of what a box sends, Mbit/s, so much is dropped before the router's port and sent again; users 8."""
    sent = (100 - dropped) * 3e6
    test = msgspec.structs.replace(MOVED, sent=sent)
    line = together(lambda seconds: (1 - dropped / 100) * carried(seconds), users(8))
    seen = seen_of(test=test, l1=polled(line, refresh))
    assert seen.way.line == "l1", seen
    low, more = seen.users_bits_per_second, seen.doubt_bits_per_second
    assert low <= 8e6 <= low + more, seen


def test_users_who_stop_with_the_test_are_known_by_what_they_moved_before_it() -> None:
    """Of another line than the test's, which is not read: they moved as much as it, at an even rate."""
    stopping = polled(lambda seconds: 100 * min(4.0, seconds + 100), 0.5)
    assert seen_of(l2=stopping).way.line is None


def test_users_who_yield_to_the_test_do_not_take_its_line_away() -> None:
    """Users who move 20 Mbit/s before and after the test and 15 beside it."""
    yielding = together(carried, users(20), lambda seconds: -0.05 * carried(seconds))
    assert seen_of(l1=polled(yielding)).way.line == "l1"


@pytest.mark.parametrize(
    ("counter", "why"),
    [
        (polled(together(carried, users(30)), 11.8), r"l1 moved \d+% of it, users alone would \d+%"),
        (polled(together(carried, users(300))), r"l1 moved \d+% of it, users alone would \d+%"),
        (polled(together(carried, carried)), "l1 moved 200% of it, users alone would 0%"),
        (polled(carried, until=4.0), "did not tell in time what moved during the test: l1"),
        (polled(carried)[1:], "did not tell in time what moved during the test: l1"),
        (polled(lambda seconds: 0.6 * carried(seconds)), r"no line's counter .* \(most: 60%\)"),
        ([], "did not tell its counters: did not answer"),
    ],
)
def test_what_cannot_be_told_counts_for_no_line(counter: list[Reading], why: str) -> None:
    seen = seen_of(l1=counter)
    assert seen.way.line is None
    assert re.search(why, seen.way.why), seen.way.why


def test_two_lines_that_moved_the_test_are_one_too_many() -> None:
    seen = seen_of(l2=polled(carried), l1=polled(carried, 3.0))
    assert seen.way.why == SEVERAL.format(lines="l1, l2")


def test_a_test_counts_for_no_other_line_than_it_was_meant_for() -> None:
    assert seen_of("l1", l1=polled(carried)).way.line == "l1"
    assert seen_of("l2", l1=polled(carried)).way.why == OTHER_LINE.format(line="l1", asked="l2")


def test_users_who_go_on_after_a_test_are_waited_for() -> None:
    live = polled(together(carried, users(50)), until=5.9)
    assert during(live, "rx", MOVED) is None
    assert during(polled(together(carried, users(50)), until=6.4), "rx", MOVED) is not None
    assert during(polled(carried, until=6.5), "rx", MOVED) is not None
    assert during(polled(carried, 5.0, until=15.0), "rx", MOVED) is None  # it may be refreshed more seldom


def test_a_box_waits_for_its_router_no_longer_than_its_run_lasts() -> None:
    class Mute(RouterWatch):
        def _run(self) -> None:
            self._ready.set()
            self._stop.wait()

    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=0.3, window_seconds=60)
    begun = time.monotonic()
    with Mute(Site(school=School(id="s1"), stands_on="lan"), "down", None) as watch:
        assert watch.seen(Moved(begun, OWN, 300e6), run).way.line is None
    assert 0.2 < time.monotonic() - begun < SETTLE_SECONDS


def test_targets_are_the_ports_that_lines_leave_by() -> None:
    gateway = Device(
        id="gw", host="10.0.0.1", community_file="c",
        ports={"wan": PortRole(role="line", line="l1"), "lan": PortRole(role="trunk")},
    )  # fmt: skip
    found = targets_of(Site(school=School(id="s1"), stands_on="lan", devices=(gateway,)))
    assert [(each.line, each.port) for each in found] == [("l1", "wan")]
    assert targets_of(Site(school=School(id="s1"))) == []
