"""Windows and peaks from scripted counters: nothing here sleeps."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agent.network.counters import Counters
from agent.network.window import InterfaceTrack

SECOND = 10**9
MTU = 1000


def read(rx_bytes: int) -> Counters:
    return Counters(rx_bytes, rx_bytes // MTU, 0, 0, 0, 0, 0, 0)


def watch(track: InterfaceTrack, totals: Iterable[int], start_s: float = 0.0, step_s: float = 1.0) -> None:
    for number, total in enumerate(totals):
        track.add(round((start_s + number * step_s) * SECOND), read(total))


def test_a_steady_rate_is_every_figure() -> None:
    track = InterfaceTrack(1.0)
    watch(track, range(0, 61_000_000, 1_000_000))
    fields = track.take()
    assert fields["samples"] == 60
    assert fields["samples_dropped"] == 1
    assert fields["rx_bytes"] == 60_000_000
    assert fields["window_seconds"] == 60.0
    for figure in ("min", "max", "p99", "peak_bits_per_second"):
        name = "rx_peak_bits_per_second" if figure.startswith("peak") else f"rx_bits_per_second_{figure}"
        assert fields[name] == 8_000_000
    assert fields["peak_seconds"] == 10.0
    assert fields["refresh_seconds"] == 1.0
    assert fields["tx_bits_per_second_max"] == 0.0


def test_rates_are_at_the_ip_layer() -> None:
    track = InterfaceTrack(1.0)
    track.rx_header_bytes = 14
    watch(track, range(0, 13_000_000, 1_000_000))
    assert track.take()["rx_bits_per_second_max"] == 8 * (1_000_000 - 14 * 1000)


def test_a_counter_refreshed_every_3_s_gives_no_false_peak() -> None:
    """300 Mbit/s read as 0, 0, 900; a 10 s span may hold four lumps, which would be 360."""
    rate = 37_500_000
    track = InterfaceTrack(1.0)
    track.link_bits_per_second = 1_000_000_000
    watch(track, [rate * (second // 3) * 3 for second in range(121)])
    fields = track.take()
    assert fields["refresh_seconds"] == 3.0
    assert fields["peak_seconds"] == 10.0
    peak = fields["rx_peak_bits_per_second"]
    assert isinstance(peak, int)
    assert 0.9 * 300e6 <= peak <= 300e6


@pytest.mark.parametrize("refresh", [2.0, 2.5, 3.3, 4.0, 5.0])
def test_a_peak_is_never_above_what_was_carried(refresh: float) -> None:
    track = InterfaceTrack(1.0)
    watch(track, [int(second // refresh * refresh * 12_500_000) for second in range(240)])
    fields = track.take()
    peak, span = fields["rx_peak_bits_per_second"], fields["peak_seconds"]
    assert isinstance(peak, int)
    assert isinstance(span, float)
    assert 0.85 * 100e6 <= peak <= 100e6
    assert span >= max(10, 3 * refresh)


def test_an_idle_interface_has_no_refresh_and_no_peak() -> None:
    track = InterfaceTrack(1.0)
    watch(track, [second // 5 * 100 for second in range(61)])
    fields = track.take()
    assert "refresh_seconds" not in fields
    assert "rx_peak_bits_per_second" not in fields


def test_a_reset_is_dropped_and_seen() -> None:
    track = InterfaceTrack(1.0)
    watch(track, [10**12, 10**12 + 1_000_000, 0, 1_000_000, 2_000_000])
    fields = track.take()
    assert (fields["samples"], fields["samples_dropped"]) == (3, 2)
    assert fields["rx_bits_per_second_max"] == 8_000_000
    assert fields["rx_bits_per_second_min"] == 8_000_000
    assert fields["rx_bytes"] == 3_000_000


def test_a_32_bit_wrap_is_counted_on_a_32_bit_kernel() -> None:
    track = InterfaceTrack(1.0, counter_bits=32)
    track.add(0, Counters(2**32 - 500, 0, 0, 0, 0, 0, 0, 0))
    track.add(SECOND, Counters(500, 1, 0, 0, 0, 0, 0, 0))
    assert track.take()["rx_bytes"] == 1000


def test_faster_than_the_link_is_dropped() -> None:
    track = InterfaceTrack(1.0)
    track.link_bits_per_second = 10_000_000
    watch(track, [0, 1_000_000, 500_000_000, 501_000_000])
    fields = track.take()
    assert (fields["samples"], fields["samples_dropped"]) == (2, 2)
    assert fields["rx_bytes"] == 2_000_000


def test_a_late_sample_keeps_its_octets_but_is_no_rate() -> None:
    track = InterfaceTrack(1.0)
    watch(track, [0, 1_000_000])
    watch(track, [9_000_000], start_s=9)
    fields = track.take()
    assert (fields["samples"], fields["samples_dropped"]) == (1, 2)
    assert fields["rx_bytes"] == 9_000_000


def test_a_peak_slides_over_the_border_of_two_windows() -> None:
    track = InterfaceTrack(1.0)
    burst = [0] * 6 + [1_000_000 * n for n in range(1, 12)] + [11_000_000] * 4
    watch(track, burst[:11])
    assert "rx_peak_bits_per_second" in track.take()
    watch(track, burst[11:], start_s=11)
    watch(track, [11_000_000] * 6, start_s=21)
    assert track.take()["rx_peak_bits_per_second"] == 8_000_000


def test_a_window_below_10_s_has_no_peak() -> None:
    track = InterfaceTrack(1.0)
    watch(track, range(0, 9_000_000, 1_000_000))
    assert "rx_peak_bits_per_second" not in track.take()


def test_an_interface_that_goes_gives_what_was_seen() -> None:
    track = InterfaceTrack(1.0)
    watch(track, [0, 1_000_000, 2_000_000])
    track.lose()
    assert track.is_lost
    assert track.take()["samples"] == 2
    assert track.take() == {}


def test_time_that_stands_still_gives_no_rate() -> None:
    track = InterfaceTrack(1.0)
    watch(track, [0, 1, 2], step_s=0.0)
    assert track.take()["samples"] == 0
