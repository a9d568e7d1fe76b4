"""What fails at one school and shall cost no other: each is told once, and counted."""

from __future__ import annotations

import logging
import threading
import traceback

import sqlalchemy as sa

from collector.store.interface import StoreUnavailable

log = logging.getLogger(__name__)

MOST_CHARACTERS = 200


class Failures:
    """Where ``what`` fails now, by school and by which ``part`` of it, as «plan=x» in the log; safe to share
    between threads.

    A failure is told in the log when it begins, when it fails at another place, and when it is over.
    """

    def __init__(self, what: str) -> None:
        self.total = 0
        self._what = what
        self._lock = threading.Lock()
        self._at: dict[tuple[str, str], str] = {}

    def schools(self, part: str | None = None) -> frozenset[str]:
        """At which schools it fails, or a part of it does."""
        with self._lock:
            return frozenset(school_id for school_id, failed in self._at if part in (None, failed))

    def begin(self, school_id: str, part: str, error: Exception) -> None:
        """It failed."""
        place = _place_of(error)
        with self._lock:
            self.total += 1
            before, self._at[school_id, part] = self._at.get((school_id, part)), place
        if before != place:
            said = " ".join(str(error).split())[:MOST_CHARACTERS]
            log.error("%s failed school=%s %s at=%s reason=%s", self._what, school_id, part, place, said)

    def end(self, school_id: str, part: str) -> None:
        """It did not fail."""
        with self._lock:
            before = self._at.pop((school_id, part), None)
        if before is not None:
            log.info("%s fails no longer school=%s %s", self._what, school_id, part)


def is_away(error: Exception) -> bool:
    """Whether a store or a database cannot be used now, and no school is at fault: try again later."""
    if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError):
        return False
    return isinstance(error, StoreUnavailable | sa.exc.DBAPIError | sa.exc.TimeoutError)


def _place_of(error: Exception) -> str:
    """«OverflowError in rates.py:123»: the same each time that the same thing fails."""
    last = traceback.extract_tb(error.__traceback__, limit=-1)[0]
    return f"{type(error).__name__} in {last.filename.rpartition('/')[2]}:{last.lineno}"
