"""A clock that a test moves."""

from __future__ import annotations


class HandClock:
    """Both clocks in the hand of a test."""

    def __init__(
        self, wall_ns: int = 1_800_000_000_000_000_000, monotonic_ns: int = 1_000_000_000_000
    ) -> None:
        self._wall = wall_ns
        self._monotonic = monotonic_ns

    def wall_ns(self) -> int:
        return self._wall

    def monotonic_ns(self) -> int:
        return self._monotonic

    def pass_seconds(self, seconds: float) -> None:
        self._wall += round(seconds * 1e9)
        self._monotonic += round(seconds * 1e9)

    def step_wall(self, seconds: float) -> None:
        self._wall += round(seconds * 1e9)
