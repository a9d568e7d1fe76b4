"""Counters: what is an increase and what is a reset."""

from __future__ import annotations

import pytest

from agent.network.counters import (
    Counters,
    increase,
    increases,
    is_impossible,
    parse_ipv6_octets,
    parse_net_dev,
    total,
)

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0: 18446744073709551615 10313    1    2    0     0          0         0   727171    6742    3    4    0     0       0          0
eth0:1: 5 6 7 8 0 0 0 0 9 10 11 12 0 0 0 0
broken: 1 2 x
"""  # noqa: E501


def test_net_dev_is_read_whole() -> None:
    found = parse_net_dev(NET_DEV)
    assert found["eth0"] == Counters(2**64 - 1, 10313, 1, 2, 727171, 6742, 3, 4)
    assert found["eth0:1"] == Counters(5, 6, 7, 8, 9, 10, 11, 12)
    assert set(found) == {"lo", "eth0", "eth0:1"}
    assert parse_net_dev("") == {}


@pytest.mark.parametrize(
    ("before", "after", "bits", "expected"),
    [
        (10, 15, 64, 5),
        (10, 10, 64, 0),
        (15, 10, 64, None),  # a reset
        (2**32 - 5, 5, 32, 10),  # a wrap
        (2**32 - 5, 5, 64, None),
        (2**40, 5, 32, None),  # no 32-bit counter
        (2**63, 2**63 + 1, 64, 1),  # beyond what a float holds
    ],
)
def test_increase(before: int, after: int, bits: int, expected: int | None) -> None:
    assert increase(before, after, bits) == expected


def test_one_reset_counter_drops_all() -> None:
    before, after = Counters(*[100] * 8), Counters(*([200] * 7 + [50]))
    assert increases(before, after) is None
    assert total(before, before) == Counters(*[200] * 8)


@pytest.mark.parametrize(
    ("bits", "seconds", "link", "expected"),
    [(10**9, 1.0, 10**9, False), (1_060_000_000, 1.0, 10**9, True), (10**12, 1.0, None, False)],
)
def test_impossible(bits: int, seconds: float, link: int | None, expected: bool) -> None:
    assert is_impossible(bits, seconds, link) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ifIndex\t2\nIp6InOctets                     \t123\n", 123), ("Ip6InOctets\tx\n", None), ("", None)],
)
def test_ipv6_octets(text: str, expected: int | None) -> None:
    assert parse_ipv6_octets(text) == expected
