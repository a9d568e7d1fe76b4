"""How full the line that a responder stands at is during a test: what it holds back is not the school's."""

from __future__ import annotations

import time
from pathlib import Path

from agent.capacity.line import LineCounter, interface_of


class OwnLine:
    """The share of the line's rate that everything on it took, from when it was made until asked."""

    def __init__(self, bits_per_second: float, local_address: str, *, incoming: bool) -> None:
        """``local_address`` is where the test came in; ``incoming`` the direction that it loads."""
        self._rate = bits_per_second
        interface = interface_of(local_address)
        self._counter = LineCounter(Path("/proc"), Path("/sys"), interface, incoming) if interface else None
        self._start = time.monotonic()

    def share(self) -> float | None:
        """0 to 1; None when it cannot be told."""
        seconds = time.monotonic() - self._start
        mark = self._counter.mark(seconds) if self._counter else None
        return mark.bits / seconds / self._rate if mark is not None and seconds > 0 else None
