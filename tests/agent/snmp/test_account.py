"""What is written of a port, when, and that its peaks are never above what was carried."""

from __future__ import annotations

import msgspec
import pytest

from agent.snmp.account import PortAccount
from agent.snmp.ifmib import PortReading, Step

SECOND = 10**9
PORT = PortReading(
    name="Gi0/1", index=(1,), octets={"rx": 0, "tx": 0}, octet_bits=64, packets={"rx": 0, "tx": 0}, others={},
    speed_bits_per_second=10**9, operational=True, alias="", framing_bytes=18, discontinuity=0,
)  # fmt: skip


def minute(bits_per_second: int, seconds: float = 60.0) -> Step:
    octets = round(bits_per_second * seconds / 8)
    return Step(seconds, seconds, {"rx_bytes": octets}, {"rx": octets})


def test_written_first_after_a_change_and_every_five_minutes() -> None:
    account = PortAccount(0)
    written = []
    for number in range(12):
        port = msgspec.structs.replace(PORT, operational=number != 3)
        account.add(minute(10**6) if number else None)
        if account.is_due(number * 60 * SECOND, port, 270):
            account.take(number * 60 * SECOND, port)
            written.append(number)
    assert written == [0, 3, 4, 9]


@pytest.mark.parametrize(
    "change", [{"alias": "new"}, {"speed_bits_per_second": 10**8}, {"duplex": "half"}, {"operational": None}]
)
def test_each_part_of_the_state_is_a_change(change: dict[str, object]) -> None:
    account = PortAccount(0)
    account.take(0, PORT)
    assert not account.is_due(SECOND, PORT, 300)
    assert account.is_due(SECOND, msgspec.structs.replace(PORT, **change), 300)


def test_what_is_not_written_adds_up() -> None:
    account = PortAccount(0)
    for moved in (None, minute(8_000), None, minute(16_000)):
        account.add(moved)
    fields = account.take(0, PORT)
    assert (fields["samples"], fields["samples_dropped"]) == (2, 2)
    assert (fields["window_seconds"], fields["rx_bytes"]) == (120.0, 60_000 + 120_000)
    assert fields["rx_bits_per_second_sum"] == 8_000 + 16_000
    assert account.take(0, PORT) == {
        "samples": 0, "samples_dropped": 0, "operational": True, "port_bits_per_second": 10**9,
    }  # fmt: skip


def test_no_sample_is_not_zero_octets() -> None:
    account = PortAccount(0)
    account.add(None)
    assert not {"rx_bytes", "window_seconds", "rx_peak_bits_per_second"} & set(account.take(0, PORT))


@pytest.mark.parametrize("refresh", [0, 3, 10])
def test_a_cached_counter_gives_no_false_peak(refresh: int) -> None:
    """An even 300 Mbit/s on a counter that moves only every ``refresh`` seconds, polled at uneven times."""
    account = PortAccount(10.0)
    best = 0.0

    def shown(second: float) -> int:
        return int(second // refresh * refresh if refresh else second) * 300_000_000 // 8

    last = 0.0
    for number in range(1, 60):
        now = number * 60 + (number * 7 % 13) / 2
        octets = shown(now) - shown(last)
        account.add(Step(now - last, now - last, {}, {"rx": octets}))
        last = now
        peak = account.take(0, PORT)["rx_peak_bits_per_second"]
        assert isinstance(peak, int)
        best = max(best, peak)
    assert 0.94 * 300_000_000 < best <= 300_000_000


def test_a_span_below_10_s_is_no_peak_and_a_longer_one_is() -> None:
    account = PortAccount(0)
    account.add(minute(10**6, 6.0))
    assert "peak_seconds" not in account.take(0, PORT)
    account.add(minute(10**6, 6.0))
    assert account.take(0, PORT)["peak_seconds"] == 12.0


def test_no_peak_reaches_over_a_dropped_sample() -> None:
    account = PortAccount(0)
    for moved in (minute(10**6, 6.0), None, minute(10**6, 6.0)):
        account.add(moved)
    assert "peak_seconds" not in account.take(0, PORT)


def test_a_direction_whose_packets_come_and_go_begins_anew() -> None:
    account = PortAccount(0)
    account.add(minute(10**6))
    account.add(Step(60.0, 60.0, {}, {}))
    account.add(minute(2 * 10**6))
    fields = account.take(0, PORT)
    assert fields["rx_peak_bits_per_second"] == 2 * 10**6
    assert "rx_bits_per_second_sum" not in fields
