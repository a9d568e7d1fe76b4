"""Two polls of one port: resets, wraps, restarts, and what counts as evidence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.snmp.ifmib import Poll, read_ports, state, step
from agent.snmp.session import Value, _Walk

SECOND = 10**9
ROW: dict[str, Value] = {
    "name": b"Gi0/1", "alias": b"uplink\x00\n", "high_speed": 1000,
    "discontinuity": 0, "kind": 6, "status": 1,
    "rx_octets": 10**9, "tx_octets": 10**9, "rx_unicast": 10**6, "rx_multicast": 0, "rx_broadcast": 0,
    "tx_unicast": 10**6, "tx_multicast": 0, "tx_broadcast": 0, "rx_errors": 1, "tx_errors": 0, "rx_drops": 0,
    "tx_drops": 0, "duplex": 3, "rx_ipv6_octets": 10**8,
}  # fmt: skip
LATER: dict[str, Value] = {
    "rx_octets": 10**9 + 60_000_000, "rx_unicast": 10**6 + 60_000, "rx_ipv6_octets": 10**8 + 20_000_000,
}  # fmt: skip


def poll(at_s: float, row: dict[str, Value], ticks: int | None = 100) -> Poll:
    return Poll(round(at_s * SECOND), round(at_s * SECOND), ticks, read_ports({(1,): row}))


def without(*names: str) -> dict[str, Value]:
    return {key: value for key, value in ROW.items() if key not in names}


def test_a_minute_is_what_moved_and_octets_at_the_ip_layer() -> None:
    before, after = poll(0, ROW), poll(60, ROW | LATER, 6100)
    moved = step(before, after, "Gi0/1")
    assert moved is not None
    assert (moved.seconds, moved.longest_seconds) == (60.0, 60.0)
    assert moved.counters["rx_bytes"] == 60_000_000
    assert moved.counters["rx_packets"] == 60_000
    assert moved.counters["rx_ip_bytes"] == moved.ip_bytes["rx"] == 60_000_000 - 18 * 60_000
    assert moved.counters["rx_errors"] == 0
    assert moved.counters["rx_ipv6_bytes"] == 20_000_000
    assert state(after.ports["Gi0/1"]) == {
        "operational": True, "port_bits_per_second": 10**9, "alias": "uplink", "duplex": "full",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "ticks"),
    [
        ({"rx_octets": 5}, 6100),  # a 64-bit counter fell
        (LATER, 50),  # the device restarted
        (LATER | {"discontinuity": 77}, 6100),
        ({"rx_octets": 10**9 + 10**10}, 6100),  # 1.3 Gbit/s on a 1 Gbit/s port
    ],
)
def test_a_sample_that_is_not_known_is_dropped(change: dict[str, Value], ticks: int) -> None:
    assert step(poll(0, ROW), poll(60, ROW | change, ticks), "Gi0/1") is None


def test_another_index_under_the_name_is_another_port() -> None:
    after = Poll(60 * SECOND, 60 * SECOND, 6100, read_ports({(2,): ROW | LATER}))
    assert step(poll(0, ROW), after, "Gi0/1") is None


def test_the_first_poll_gives_no_rate() -> None:
    assert step(None, poll(0, ROW), "Gi0/1") is None


@pytest.mark.parametrize(
    ("megabits", "expected"), [(100, 1000), (0, None), (1000, None)], ids=["sure", "no speed", "two wraps"]
)
def test_a_32_bit_counter_wraps_once_or_is_not_believed(megabits: int, expected: int | None) -> None:
    narrow: dict[str, Value] = without("rx_octets", "tx_octets") | {"high_speed": megabits, "tx_octets_32": 0}
    before: dict[str, Value] = {**narrow, "rx_octets_32": 2**32 - 500}
    after: dict[str, Value] = {**narrow, "rx_octets_32": 500}
    moved = step(poll(0, before), poll(60, after), "Gi0/1")
    assert (moved.counters["rx_bytes"] if moved else None) == expected


def test_without_packet_counters_the_ip_layer_is_not_known() -> None:
    row = without("rx_unicast")
    moved = step(poll(0, row), poll(60, row | {"rx_octets": 2 * 10**9}), "Gi0/1")
    assert moved is not None
    assert moved.counters["rx_bytes"] == 10**9
    assert "rx" not in moved.ip_bytes


def test_an_error_counter_that_a_device_gains_is_not_zero() -> None:
    moved = step(poll(0, without("rx_errors", "rx_ipv6_octets")), poll(60, ROW), "Gi0/1")
    assert moved is not None
    assert not {"rx_errors", "rx_ipv6_bytes"} & set(moved.counters)


@pytest.mark.parametrize("row", [{}, {"name": b""}, {"name": 7}, {"name": b"x", "rx_octets": b"y"}])
def test_rows_of_another_shape_are_passed_over(row: dict[str, Value]) -> None:
    assert read_ports({(1,): row}) == {}


def test_names_are_shortened_and_printable() -> None:
    found = read_ports({(1,): ROW | {"name": b"\xff\x01,= \\" + b"x" * 500 + b"\\"}})
    name = next(iter(found))
    assert len(name) <= 64
    assert name.isprintable()


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    "answers",
    [
        [(1, 3, 9)],  # another column
        [(1, 2, 5), (1, 2, 5)],  # does not grow
        [(1, 2, 5), (1, 2, 4)],  # falls
        [(1, 2, number) for number in range(50)],  # has no end
        [()],
    ],
)
def test_a_hostile_column_ends(answers: list[tuple[int, ...]]) -> None:
    walk = _Walk((1, 2), 10)
    for oid in answers:
        walk.take(oid, 1)
    assert walk.ended
    assert len(walk.found) <= 10


def test_every_reading_survives_a_round_trip() -> None:
    reading: Any = read_ports({(1,): ROW})["Gi0/1"]
    assert msgspec.structs.replace(reading) == reading
