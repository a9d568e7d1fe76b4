"""How full the line that a responder stands at is during a test: what it holds back is not the school's."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from agent.capacity import estimate
from agent.capacity.line import LineCounter, interface_of

log = logging.getLogger(__name__)


class OwnLine:
    """The share of the line's rate that everything on it took in the part of a test that is judged."""

    def __init__(self, bits_per_second: float, local_address: str, *, incoming: bool) -> None:
        """``local_address`` is where the test came in; ``incoming`` the direction that it loads."""
        self._rate = bits_per_second
        self._counter = _counter(local_address, incoming)
        self._start = time.monotonic()
        self._marks = [estimate.Mark(0.0, 0.0)]

    def look(self) -> None:
        """Read the counter; at each tick of the test, so that what is kept is bounded by the test's time."""
        mark = self._counter.mark(time.monotonic() - self._start) if self._counter else None
        if mark is not None:
            self._marks.append(mark)

    def share(self) -> float | None:
        """0 to 1, until the last look and without slow start's third; None when it cannot be told."""
        rate = estimate.last_two_thirds(self._marks)
        return None if rate is None else rate / self._rate


def _counter(local_address: str, incoming: bool) -> LineCounter | None:
    """None on a system that does not let us see its interfaces: a test is worth more than that."""
    try:
        interface = interface_of(local_address)
        return LineCounter(Path("/proc"), Path("/sys"), interface, incoming) if interface else None
    except OSError as error:
        log.warning("responder cannot read its own line's counter error=%s", error)
        return None
