"""One direction of a test as the collector counts it by its own clock: samples, and their rate. Pure.

What is handed to a socket is not what arrived: buffers of the kernel take megabytes at once. So down is what
the terminal's kernel acknowledged (TCP_INFO), up what came out of the socket. Behind a proxy the connection
is the proxy's; its bytes are counted all the same, and the result says so.
"""

from __future__ import annotations

from typing import NamedTuple

RAMP_SHARE = 0.25
"""Of a load's time: slow start and the filling of buffers, left out."""
LEAST_SECONDS = 1.0
"""A shorter measured part gives no rate."""


class Rate(NamedTuple):
    """Payload in bit/s over the measured part of a load, and how long that was."""

    bits_per_second: int
    seconds: float


class Meter:
    """Bytes moved so far at moments of a monotonic clock."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def add(self, monotonic_seconds: float, moved_bytes: int) -> None:
        """One sample; bytes never fall."""
        last = self._samples[-1] if self._samples else (monotonic_seconds, 0)
        self._samples.append((max(monotonic_seconds, last[0]), max(moved_bytes, last[1])))

    @property
    def bytes(self) -> int:
        """All that moved."""
        return self._samples[-1][1] if self._samples else 0

    def rate(self) -> Rate | None:
        """What moved from the end of the ramp-up to the last byte; None when that is too short to say."""
        if not self._samples:
            return None
        ended, moved = self._end_of_flow()
        ramp = self._samples[0][0] + (ended - self._samples[0][0]) * RAMP_SHARE
        began, before = next(sample for sample in self._samples if sample[0] >= ramp)
        seconds = ended - began
        if seconds < LEAST_SECONDS or moved == before:
            return None
        return Rate(round((moved - before) * 8 / seconds), seconds)

    def _end_of_flow(self) -> tuple[float, int]:
        """The last sample after which bytes still came: within the next interval the load was ended."""
        last = next(place for place, (_, moved) in enumerate(self._samples) if moved == self.bytes)
        return self._samples[max(0, last - 1)]
