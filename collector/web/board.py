"""The county as it stood a moment ago: every school with its verdicts and what the pages say of it.

It is looked at in a thread of its own, so that a page only reads what is there: often while somebody looks,
once a minute else, and never for more than a twentieth of one core.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from collector.incidents.model import Incident
from collector.registry import Registry
from collector.store.interface import Store, StoreUnavailable
from collector.uptime.availability import Tally
from collector.uptime.minutes import SCHOOL
from collector.uptime.presence import Presence
from collector.uptime.room import UptimeRoom
from collector.verdicts.records import Transition
from collector.verdicts.room import Judged, VerdictRoom
from collector.verdicts.ticker import Ticker
from collector.web.interval import interval_of
from collector.web.readiness import KnownLevels
from config.readiness import MEASUREMENT, Levels
from config.school import School

log = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
WATCHED_SECONDS = 60.0
"""After a page was asked for, somebody looks for so long."""
TICK_SECONDS = 1.0
LATE_SECONDS = 2 * TICK_SECONDS
"""A look that is due for so long comes no more by itself: nobody was looking."""
DUTY = 20.0
"""A look that took one second is followed by so many seconds without."""
AVAILABILITY_SECONDS = 300.0
CHANGES_SINCE = timedelta(hours=24)
CHANGES_MOST = 200


class SchoolState(msgspec.Struct, frozen=True):
    """One school. What is None is not known here: nobody looked, or the store does not answer."""

    school: School
    judged: tuple[Judged, ...]
    presence: Presence | None = None
    availability: Tally | None = None
    """Of this month, in school hours."""
    ipv6: Levels | None = None
    incidents: int | None = None
    """Open ones."""


class County(msgspec.Struct, frozen=True):
    """Every school at a moment. ``number`` grows when anything but an age changed."""

    at: datetime
    schools: Mapping[str, SchoolState]
    number: int
    incidents: tuple[Incident, ...] | None = None
    """Open ones, those of several schools too; None where nobody counts them."""
    changes: Mapping[str, tuple[Transition, ...]] = {}
    """Answers that became others in the last day, by plan, the newest first."""


OpenIncidents = Callable[[], Sequence[Incident] | None]
"""The open incidents; None where nobody counts them."""


class Board:
    """Keeps the county. With ``refresh_seconds`` 0 every reader gets a new look: for tests and commands."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        verdicts: VerdictRoom,
        uptime: UptimeRoom | None = None,
        *,
        refresh_seconds: float = 0.0,
        open_incidents: OpenIncidents = lambda: None,
    ) -> None:
        self._registry = registry
        self._store = store
        self._verdicts = verdicts
        self._uptime = uptime
        self._refresh_seconds = refresh_seconds
        self._open_incidents = open_incidents
        self._lock = threading.Lock()
        self._county: County | None = None
        self._asked_at = -WATCHED_SECONDS
        self._looked_at = self._taken = 0.0
        self._ticker = Ticker([self.tick], TICK_SECONDS)
        self._availability: tuple[float, Mapping[str, Tally]] = (-AVAILABILITY_SECONDS, {})
        self._known_levels = KnownLevels()

    def start(self) -> None:
        """Begin to look."""
        self._ticker.start()

    def stop(self) -> None:
        """End. Idempotent."""
        self._ticker.stop()

    def county(self) -> County:
        """The county as it was seen last. Who finds an old one, as nobody looked, waits for a new look."""
        self._asked_at = time.monotonic()
        county = self._county
        if county is not None and self._refresh_seconds and not self._is_old():
            return county
        with self._lock:
            if self._county is None or not self._refresh_seconds or self._is_old():
                return self._look()
            return self._county

    def _is_old(self) -> bool:
        return time.monotonic() - self._looked_at > max(
            self._refresh_seconds + LATE_SECONDS, DUTY * self._taken
        )

    def number(self) -> int:
        """Of the county as it was seen last; somebody waits for the next one."""
        self._asked_at = time.monotonic()
        return self._county.number if self._county is not None else 0

    def incidents_of(self, school_id: str) -> list[Incident] | None:
        """A school's open incidents as they are now."""
        found = self._open_incidents()
        return None if found is None else [each for each in found if each.school_id == school_id]

    def tick(self) -> None:
        """Look again if it is time."""
        now = time.monotonic()
        pause = max(self._refresh_seconds, DUTY * self._taken)
        if now - self._asked_at >= WATCHED_SECONDS:
            pause = max(pause, IDLE_SECONDS)
        if self._county is None or now - self._looked_at >= pause:
            with self._lock:
                self._look()

    def _look(self) -> County:
        began = time.monotonic()
        incidents = self._open_incidents()
        states = {state.school.id: state for state in self._states(began, incidents)}
        now = datetime.now(UTC)
        changes = {
            plan: tuple(self._verdicts.records.transitions_since(plan, now - CHANGES_SINCE, CHANGES_MOST))
            for plan in self._verdicts.plans
        }
        opened = None if incidents is None else tuple(incidents)
        county = County(now, states, 1, opened, changes)
        before = self._county
        if before is not None:
            county = msgspec.structs.replace(county, number=before.number + _differs(before, county))
        self._county = county
        self._looked_at = time.monotonic()
        self._taken = self._looked_at - began
        return county

    def _states(self, now: float, incidents: Sequence[Incident] | None) -> Iterable[SchoolState]:
        uptime = self._uptime
        present = {each.school: each for each in uptime.presence()} if uptime is not None else {}
        availability, levels = self._months(now), self._levels()
        open_at = Counter(each.school_id for each in incidents or ())
        for school in self._registry.schools().values():
            yield SchoolState(
                school=school,
                judged=self._verdicts.lately(school.id),
                presence=present.get(school.id),
                availability=availability.get(school.id),
                ipv6=levels.get(school.id),
                incidents=None if incidents is None else open_at[school.id],
            )

    def _levels(self) -> Mapping[str, Levels]:
        try:
            told = self._store.latest(measurement=MEASUREMENT)
        except StoreUnavailable as error:
            log.warning("county without IPv6 levels error=%s", error)
            return {}
        return self._known_levels.of(told, datetime.now(UTC))

    def _months(self, now: float) -> Mapping[str, Tally]:
        """Reading a month of every school takes long, and a month changes little in minutes."""
        read_at, found = self._availability
        uptime = self._uptime
        if uptime is None or (now - read_at < AVAILABILITY_SECONDS and self._refresh_seconds):
            return found
        moment = datetime.now(UTC)
        start, end = uptime.report.month(None, moment)
        months = uptime.report.availability(start, end, moment, subject=SCHOOL)
        found = {each.school: each.of().school_hours for each in months}
        self._availability = (now, found)
        return found


def _differs(before: County, county: County) -> bool:
    """A reader would see another county, ages left out."""
    return (
        before.schools.keys() != county.schools.keys()
        or _told(before.incidents) != _told(county.incidents)
        or any(_is_other(before.schools[key], state) for key, state in county.schools.items())
    )


def _told(incidents: Iterable[Incident] | None) -> object:
    return None if incidents is None else {(each.id, each.number) for each in incidents}


def _is_other(before: SchoolState, state: SchoolState) -> bool:
    if _beside(before) != _beside(state):
        return True
    return before.judged is not state.judged and _answers(before) != _answers(state)


def _beside(state: SchoolState) -> object:
    present = state.presence.state if state.presence is not None else None
    return (state.school, present, state.availability, state.ipv6, state.incidents)


def _answers(state: SchoolState) -> object:
    return [(each.verdict.answer, interval_of(each.verdict)) for each in state.judged]
