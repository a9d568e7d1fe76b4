"""Windows of one interface: what its 1 s samples add up to."""

from __future__ import annotations

import math

from agent.network.counters import Counters, increases, is_impossible, total
from agent.network.peak import LEAST_SPAN_SECONDS, Peak, Refresh, span_of
from config import histogram
from config.points import FieldValue

LATEST_SAMPLE_PERIODS = 2.5
"""A sample later than this many periods is no 1 s rate any more: its octets count, its rate is dropped."""

_NOTHING = Counters(0, 0, 0, 0, 0, 0, 0, 0)


class Direction:
    """The rates of one direction since the last ``take()``."""

    def __init__(self, prefix: str, period_seconds: float) -> None:
        self.refresh = Refresh(period_seconds)
        self.peak = Peak(period_seconds)
        self._prefix = prefix
        self._rates: list[float] = []

    def restart(self, at_ns: int | None = None) -> None:
        """The counters begin anew at ``at_ns``."""
        self.refresh.restart()
        self.peak.restart(at_ns)

    def add_rate(self, bits_per_second: float) -> None:
        self._rates.append(bits_per_second)

    def take(self, *, with_peak: bool) -> dict[str, FieldValue]:
        """Fields of the window, and begin the next one."""
        rates, self._rates = sorted(self._rates), []
        peak = self.peak.take()
        fields: dict[str, FieldValue] = {}
        if rates:
            name = f"{self._prefix}_bits_per_second"
            fields = {
                f"{name}_sum": math.fsum(rates),
                f"{name}_min": rates[0],
                f"{name}_max": rates[-1],
                f"{name}_p99": rates[math.ceil(0.99 * len(rates)) - 1],
                f"{self._prefix}_histogram": histogram.encode(histogram.count(rates)),
            }
        if peak is not None and with_peak:
            fields[f"{self._prefix}_peak_bits_per_second"] = int(peak)
        return fields


class InterfaceTrack:
    """One interface, sample by sample. Pure: it is told every reading with its monotonic time.

    ``link_bits_per_second`` and the two header lengths (octets of link header in each counted packet) may
    change between samples; ``counter_bits`` is 32 where the kernel counts in 32 bits.
    """

    def __init__(self, period_seconds: float, counter_bits: int = 64) -> None:
        self.link_bits_per_second: int | None = None
        self.rx_header_bytes = 0
        self.tx_header_bytes = 0
        self._period = period_seconds
        self._bits = counter_bits
        self._rx = Direction("rx", period_seconds)
        self._tx = Direction("tx", period_seconds)
        self._last: tuple[int, Counters] | None = None
        self._window_start_ns: int | None = None
        self._moved = _NOTHING
        self._ip_bytes = {"rx": 0, "tx": 0}
        self._samples = 0
        self._dropped = 0

    def add(self, at_ns: int, now: Counters) -> None:
        """One more reading."""
        before, self._last = self._last, (at_ns, now)
        if self._window_start_ns is None:
            self._window_start_ns = at_ns
        moved = increases(before[1], now, self._bits) if before else None
        if before is None or moved is None or at_ns <= before[0]:
            self._drop(at_ns)
            return
        self._add_increase(at_ns, (at_ns - before[0]) / 1e9, moved)

    def lose(self) -> None:
        """The interface is away: whatever comes back under its name counts from its own beginning."""
        self._last = None
        self._rx.restart()
        self._tx.restart()

    @property
    def is_lost(self) -> bool:
        """True while the interface is away."""
        return self._last is None

    def take(self) -> dict[str, FieldValue]:
        """Fields of the window up to the last reading, and begin the next there. Empty: nothing was read."""
        start, self._window_start_ns = self._window_start_ns, self._last[0] if self._last else None
        if start is None:
            return {}
        seconds = (self._last[0] - start) / 1e9 if self._last else self._samples * self._period
        fields: dict[str, FieldValue] = {
            "window_seconds": seconds,
            "samples": self._samples,
            "samples_dropped": self._dropped,
        }
        fields |= self._totals()
        fields |= self._rates(with_peak=seconds >= LEAST_SPAN_SECONDS - 0.1)
        self._moved, self._samples, self._dropped = _NOTHING, 0, 0
        self._ip_bytes = {"rx": 0, "tx": 0}
        return fields

    def _drop(self, at_ns: int) -> None:
        self._dropped += 1
        self._rx.restart(at_ns)
        self._tx.restart(at_ns)

    def _add_increase(self, at_ns: int, seconds: float, moved: Counters) -> None:
        rx_bytes = max(0, moved.rx_bytes - self.rx_header_bytes * moved.rx_packets)
        tx_bytes = max(0, moved.tx_bytes - self.tx_header_bytes * moved.tx_packets)
        plausible = max(seconds, self._refresh() or 0.0)
        if is_impossible(8 * max(rx_bytes, tx_bytes), plausible, self.link_bits_per_second):
            self._dropped += 1
            self._rx.peak.restart(at_ns)
            self._tx.peak.restart(at_ns)
            return
        self._moved = total(self._moved, moved)
        self._ip_bytes["rx"] += rx_bytes
        self._ip_bytes["tx"] += tx_bytes
        if seconds <= LATEST_SAMPLE_PERIODS * self._period:
            self._samples += 1
            self._rx.add_rate(8 * rx_bytes / seconds)
            self._tx.add_rate(8 * tx_bytes / seconds)
        else:
            self._dropped += 1
        self._rx.refresh.add(moved.rx_packets)
        self._tx.refresh.add(moved.tx_packets)
        self._add_to_peaks(at_ns, rx_bytes, tx_bytes)

    def _add_to_peaks(self, at_ns: int, rx_bytes: int, tx_bytes: int) -> None:
        refresh = self._refresh()
        span = span_of([refresh])
        cached = refresh is not None and refresh > self._period
        self._rx.peak.add(at_ns, rx_bytes, span, cached=cached)
        self._tx.peak.add(at_ns, tx_bytes, span, cached=cached)

    def _refresh(self) -> float | None:
        known = [s for s in (self._rx.refresh.seconds, self._tx.refresh.seconds) if s is not None]
        return max(known) if known else None

    def _totals(self) -> dict[str, FieldValue]:
        if self._samples + self._dropped == 0 or self._moved is _NOTHING:
            return {}
        counted = {name: getattr(self._moved, name) for name in Counters.__struct_fields__}
        return counted | {f"{way}_ip_bytes": octets for way, octets in self._ip_bytes.items()}

    def _rates(self, *, with_peak: bool) -> dict[str, FieldValue]:
        fields = self._rx.take(with_peak=with_peak) | self._tx.take(with_peak=with_peak)
        refresh = self._refresh()
        if refresh is not None:
            fields["refresh_seconds"] = refresh
        span = span_of([refresh])
        if span is not None and any("_peak_" in name for name in fields):
            fields["peak_seconds"] = span
        return fields
