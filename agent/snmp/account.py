"""What a port of a device has done since it was last written, and when it is written again. Pure.

A line is written at every poll, any other port when it changes and every few minutes. Devices cache their
counters, and nobody tells for how long: a mean between two polls is taken over the time between them *and*
the longest such time, so a peak is never above what was carried.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from agent.network.peak import LEAST_SPAN_SECONDS
from agent.snmp.ifmib import PortReading, Step, state
from config.points import FieldValue

LONGEST_SPAN_SECONDS = 330.0
"""Peaks are sought over spans of up to so long: the longer, the less the caching costs."""

_Fields = dict[str, FieldValue]


class _Mark(msgspec.Struct, frozen=True):
    """Where the octets at the IP layer stood, and the seconds up to then."""

    seconds: float
    ip_bytes: dict[str, int]


class PortAccount:
    """One port. ``cached_seconds`` is the longest time for which its counters may stand still."""

    def __init__(self, cached_seconds: float) -> None:
        self._cached = cached_seconds
        self._written: tuple[int, _Fields] | None = None
        self._seconds = 0.0
        self._samples = 0
        self._dropped = 0
        self._counters: dict[str, int] = {}
        self._rates: dict[str, list[float]] = {}
        self._marks: deque[_Mark] = deque([_Mark(0.0, {})])
        self._peaks: dict[str, tuple[float, float]] = {}

    def add(self, moved: Step | None) -> None:
        """One more poll; None is a dropped sample."""
        if moved is None:
            self._dropped += 1
            self._marks = deque([_Mark(0.0, {})])
            return
        self._samples += 1
        self._seconds += moved.seconds
        for key, number in moved.counters.items():
            self._counters[key] = self._counters.get(key, 0) + number
        for direction, octets in moved.ip_bytes.items():
            self._rates.setdefault(direction, []).append(8 * octets / max(moved.seconds, 1e-3))
        self._add_to_peaks(moved)

    def is_due(self, now_ns: int, port: PortReading, every_seconds: float) -> bool:
        """Written for the first time, after a change, and when ``every_seconds`` are over."""
        if self._written is None or self._written[1] != state(port):
            return True
        return (now_ns - self._written[0]) / 1e9 >= every_seconds

    def take(self, now_ns: int, port: PortReading) -> _Fields:
        """Fields since the last ones, and begin anew."""
        self._written = (now_ns, state(port))
        fields: _Fields = {**state(port), "samples": self._samples, "samples_dropped": self._dropped}
        if self._samples:
            fields |= {"window_seconds": self._seconds, **self._counters}
        for direction, rates in self._rates.items():
            if len(rates) == self._samples:
                fields[f"{direction}_bits_per_second_sum"] = math.fsum(rates)
        for direction, (rate, _) in self._peaks.items():
            fields[f"{direction}_peak_bits_per_second"] = int(rate)
        if self._peaks:
            fields["peak_seconds"] = min(span for _, span in self._peaks.values())
        self._seconds, self._samples, self._dropped = 0.0, 0, 0
        self._counters, self._rates, self._peaks = {}, {}, {}
        return fields

    def _add_to_peaks(self, moved: Step) -> None:
        last = self._marks[-1]
        if last.ip_bytes.keys() != moved.ip_bytes.keys():
            last = _Mark(last.seconds, dict.fromkeys(moved.ip_bytes, 0))
            self._marks = deque([last])
        totals = {
            direction: last.ip_bytes[direction] + octets for direction, octets in moved.ip_bytes.items()
        }
        now = _Mark(last.seconds + moved.seconds, totals)
        slack = moved.longest_seconds - moved.seconds + self._cached
        for direction, total in totals.items():
            for mark in self._marks:
                self._judge(direction, now.seconds - mark.seconds, slack, total - mark.ip_bytes[direction])
        self._marks.append(now)
        while now.seconds - self._marks[0].seconds > LONGEST_SPAN_SECONDS:
            self._marks.popleft()

    def _judge(self, direction: str, span: float, slack: float, octets: int) -> None:
        if span < LEAST_SPAN_SECONDS:
            return
        rate = 8 * octets / (span + slack)
        if direction not in self._peaks or rate > self._peaks[direction][0]:
            self._peaks[direction] = (rate, span)
