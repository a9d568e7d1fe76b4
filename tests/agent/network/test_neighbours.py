"""Netlink answers: well formed, cut at every byte, and this kernel's own."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest

from agent.network.neighbours import FAILED, REACHABLE, STALE, Neighbour, parse_neighbours, read_neighbours

HOP = ipaddress.IPv6Address("fe80::1")
MAC = "02:00:00:00:00:01"


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(state: int, *, family: int = socket.AF_INET6, index: int = 3, confirmed: int = 1200) -> bytes:
    body = struct.pack("=BxHiHBB", family, 0, index, state, 0, 0)
    body += attribute(2, b"\x02\0\0\0\0\x01") + attribute(1, HOP.packed)
    body += attribute(3, struct.pack("=IIII", confirmed, 1, 1, 1))
    return struct.pack("=IHHII", 16 + len(body), 28, 2, 1, 0) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def test_a_whole_answer() -> None:
    data = message(REACHABLE) + message(STALE, index=4) + message(REACHABLE, family=socket.AF_INET) + DONE
    assert parse_neighbours(data, 100) == [
        Neighbour(3, HOP, REACHABLE, 12.0, MAC),
        Neighbour(4, HOP, STALE, 12.0, MAC),
    ]


def test_an_answer_cut_anywhere_is_no_error() -> None:
    data = message(REACHABLE) + DONE
    assert all(len(parse_neighbours(data[:cut], 100)) <= 1 for cut in range(len(data)))
    zeroed = [data[:place] + b"\0" + data[place + 1 :] for place in range(len(data))]
    assert all(len(parse_neighbours(each, 100)) <= 1 for each in zeroed)


@pytest.mark.parametrize(
    ("state", "confirmed", "expected"),
    [
        (REACHABLE, None, True),
        (FAILED, 1.0, False),
        (STALE, 10.0, True),
        (STALE, 1000.0, None),
        (STALE, None, None),
        (0x01, 1.0, None),
    ],
)
def test_who_answers(state: int, confirmed: float | None, expected: bool | None) -> None:
    assert Neighbour(1, HOP, state, confirmed).answers(600) is expected


def test_this_kernel_answers() -> None:
    assert all(each.interface_index > 0 for each in read_neighbours())
