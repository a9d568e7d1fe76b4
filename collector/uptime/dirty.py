"""Which minutes of which schools have new points, told by one thread and taken by another."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from collector.uptime.availability import merged

MANY = 64


class Dirty:
    """Spans of minutes by school. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: dict[str, list[tuple[int, int]]] = {}

    def add(self, school_id: str, spans: list[tuple[int, int]]) -> None:
        """Minutes [first, end) of a school are to be judged."""
        with self._lock:
            mine = self._spans.setdefault(school_id, [])
            mine.extend(spans)
            if len(mine) > MANY:
                self._spans[school_id] = merged(mine)

    def take(self) -> dict[str, list[tuple[int, int]]]:
        """What waits, and forget it."""
        with self._lock:
            taken, self._spans = self._spans, {}
        return {school_id: merged(spans) for school_id, spans in taken.items()}

    def give_back(self, taken: Mapping[str, list[tuple[int, int]]]) -> None:
        """What could not be judged waits again."""
        for school_id, spans in taken.items():
            self.add(school_id, spans)
