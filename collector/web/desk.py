"""Ordering tests of a school from its page: the same order that ``capacity now`` gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from collector.responder.office import TicketOffice
from config.calendar import SchoolCalendar
from config.school import School, lines_on

TESTS_OF_A_LINE = 2
"""Down and up."""


class TestDesk:
    """Takes orders to the office; the school's agent gets its tests when it asks next."""

    __test__ = False

    def __init__(
        self,
        office: TicketOffice | None,
        calendar: SchoolCalendar,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._office = office
        self._calendar = calendar
        self._now = now

    @property
    def is_open(self) -> bool:
        """There is a responder to test against."""
        return self._office is not None

    @property
    def warns(self) -> bool:
        """Lessons are on: a test would take the line from them."""
        return self._calendar.in_school_hours(self._now())

    def order(self, school: School, *, forced: bool) -> str:
        """Order two tests of each line. What came of it: «ordered», «lessons» when they are on and nobody
        insists, «no_line», «none» without a responder.
        """
        now = self._now()
        lines = lines_on(school, self._calendar.local_day(now))
        if self._office is None:
            return "none"
        if not lines:
            return "no_line"
        if self.warns and not forced:
            return "lessons"
        tests = TESTS_OF_A_LINE * len(lines)
        return "ordered" if self._office.order(school.id, now, forced=forced, tests=tests) else "none"
