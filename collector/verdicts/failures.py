"""Schools that the judge fails at: each is told once, and counted."""

from __future__ import annotations

import logging
import threading
import traceback

log = logging.getLogger(__name__)

MOST_CHARACTERS = 200


class Failures:
    """What the judge fails at now, by school and plan, safe to share between threads.

    A failure is told in the log when it begins, when the judge fails at another place, and when it is over.
    """

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()
        self._at: dict[tuple[str, str], str] = {}

    def schools(self) -> int:
        """At how many schools it fails."""
        with self._lock:
            return len({school_id for school_id, _ in self._at})

    def begin(self, school_id: str, plan_id: str, error: Exception) -> None:
        """The judge failed."""
        place = _place_of(error)
        with self._lock:
            self.total += 1
            before, self._at[school_id, plan_id] = self._at.get((school_id, plan_id)), place
        if before != place:
            said = " ".join(str(error).split())[:MOST_CHARACTERS]
            log.error("judge failed school=%s plan=%s at=%s reason=%s", school_id, plan_id, place, said)

    def end(self, school_id: str, plan_id: str) -> None:
        """The judge did not fail."""
        with self._lock:
            before = self._at.pop((school_id, plan_id), None)
        if before is not None:
            log.info("judge fails no longer school=%s plan=%s", school_id, plan_id)


def _place_of(error: Exception) -> str:
    """«OverflowError in rates.py:123»: the same each time that the same thing fails."""
    last = traceback.extract_tb(error.__traceback__, limit=-1)[0]
    return f"{type(error).__name__} in {last.filename.rpartition('/')[2]}:{last.lineno}"
