"""The greatest mean rate over a span that the counter's own refreshing cannot falsify.

Drivers cache their counters, some for 3 s: an even 300 Mbit/s then reads 0, 0, 900. So the refresh interval
is found from the samples, and a peak is a mean over at least 10 s and 3 refreshes. Where a counter is cached
the span runs from one refresh to another and one sampling period is added to its length, since the refresh
lies somewhere within it: the peak is never above what was carried.
"""

from __future__ import annotations

from collections import deque

import msgspec

LEAST_SPAN_SECONDS = 10.0
REFRESHES = 3
LONGEST_REFRESH_SECONDS = 10.0
"""A counter that stands still for longer is idle, not cached."""
LEAST_PACKETS = 50
"""A step of fewer packets says nothing: so little traffic pauses by itself."""
_GAPS_KEPT = 32
_GAPS_NEEDED = 3


class Step(msgspec.Struct, frozen=True):
    """A sample: when (monotonic), and all octets up to then at the IP layer."""

    at_ns: int
    total_bytes: int


class Refresh:
    """Finds the refresh interval of a counter from how long it stands still between two steps."""

    def __init__(self, period_seconds: float) -> None:
        self._period = period_seconds
        self._still = 1
        self._gaps: deque[tuple[int, bool]] = deque(maxlen=_GAPS_KEPT)

    def add(self, packets: int) -> None:
        """One more sample, in which so many packets were counted."""
        if packets == 0:
            self._still += 1
            return
        self._gaps.append((self._still, packets >= LEAST_PACKETS))
        self._still = 1

    def restart(self) -> None:
        """Forget what was seen: the counter began anew."""
        self._gaps.clear()
        self._still = 1

    @property
    def seconds(self) -> float | None:
        """The interval, at least one sampling period; None while it is not known."""
        if any(gap == 1 for gap, _ in list(self._gaps)[1:]):
            return self._period
        longest = LONGEST_REFRESH_SECONDS / self._period
        gaps = [gap for gap, substantial in list(self._gaps)[1:] if substantial and gap <= longest]
        if len(gaps) < _GAPS_NEEDED:
            return None
        return self._period * max(gap for gap in gaps if gap <= min(gaps) + 1)


class Peak:
    """The greatest mean since the last ``take()``; its span slides over the borders of windows."""

    def __init__(self, period_seconds: float) -> None:
        self._period_ns = round(period_seconds * 1e9)
        self._samples: deque[Step] = deque()
        self._updates: deque[Step] = deque()
        self._total = 0
        self._best: float | None = None
        self._span_seconds: float | None = None

    def restart(self, at_ns: int | None = None) -> None:
        """The counter begins anew, at ``at_ns`` or whenever it is next read: no span reaches further back."""
        self._samples.clear()
        self._updates.clear()
        if at_ns is not None:
            self._samples.append(Step(at_ns, self._total))

    def add(self, at_ns: int, ip_bytes: int, span_seconds: float | None, *, cached: bool) -> None:
        """One more sample. ``span_seconds`` is None while the refresh interval is not known."""
        self._total += ip_bytes
        step = Step(at_ns, self._total)
        self._samples.append(step)
        if ip_bytes:
            self._updates.append(step)
        longest_ns = round(LONGEST_REFRESH_SECONDS * (REFRESHES + 1) * 1e9)
        for history in (self._samples, self._updates):
            while history and at_ns - history[0].at_ns > longest_ns:
                history.popleft()
        self._set_span(span_seconds)
        if span_seconds is not None and (ip_bytes or not cached):
            self._judge(step, round(span_seconds * 1e9), cached=cached)

    def take(self) -> float | None:
        """The greatest mean in bit/s since the last call; None when there was no whole span."""
        best, self._best = self._best, None
        return best

    def _set_span(self, span_seconds: float | None) -> None:
        if span_seconds != self._span_seconds:
            self._span_seconds, self._best = span_seconds, None

    def _judge(self, end: Step, span_ns: int, *, cached: bool) -> None:
        history = self._updates if cached else self._samples
        start = next((step for step in reversed(history) if end.at_ns - step.at_ns >= span_ns), None)
        if start is None:
            return
        lasted_ns = end.at_ns - start.at_ns + (self._period_ns if cached else 0)
        mean = 8e9 * (end.total_bytes - start.total_bytes) / lasted_ns
        self._best = mean if self._best is None else max(self._best, mean)


def span_of(refreshes: list[float | None]) -> float | None:
    """Length of the peak's span in seconds for the known refresh intervals of both directions."""
    known = [seconds for seconds in refreshes if seconds is not None]
    return max(LEAST_SPAN_SECONDS, REFRESHES * max(known)) if known else None
