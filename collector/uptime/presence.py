"""Who is silent now, and what is known of it before the agent's own record arrives."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

from collector.ingest.liveness import Heard, Liveness
from collector.registry import Registry
from collector.uptime.settings import UptimeSettings
from config.calendar import SchoolCalendar
from config.school import School

NS = 10**9
BEATS = 3
"""A school is silent after at least so many heartbeats that did not come."""

PresenceState = Literal["heard", "silent", "restarting", "stopped", "expected_off", "waiting", "no_agent"]
GatewayAnswers = Callable[[str], bool | None]


class Presence(msgspec.Struct, frozen=True):
    """Whether a school is heard. ``waiting``: not heard since the collector itself started, not long ago.

    ``silent_together`` are the schools that fell silent within a short time, this one too, and ``carriers``
    those that all of them share. ``gateway_answers`` is None when nobody looked from outside. ``call`` says
    that it is silent for so long that somebody is to be called.
    """

    school: str
    state: PresenceState
    heard_at: datetime | None = None
    silent_seconds: float | None = None
    silent_together: tuple[str, ...] = ()
    carriers: tuple[str, ...] = ()
    gateway_answers: bool | None = None
    call: bool = False


class Watch:
    """Reads liveness; by the collector's own monotonic clock."""

    def __init__(
        self,
        registry: Registry,
        liveness: Liveness,
        calendar: SchoolCalendar,
        settings: UptimeSettings,
        *,
        heartbeat_seconds: float,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        gateway_answers: GatewayAnswers = lambda _school: None,
    ) -> None:
        self._registry = registry
        self._liveness = liveness
        self._calendar = calendar
        self._settings = settings
        self._silent_after = max(float(settings.silent_after), BEATS * heartbeat_seconds)
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._started_ns = monotonic_ns()
        self._awaited_since: dict[str, int] = {}
        self._has_looked = False
        self._gateway_answers = gateway_answers

    def now(self, school_id: str | None = None) -> list[Presence]:
        """Every school that is enrolled, or one, as it stands now."""
        heard = self._last_heard()
        schools = self._registry.schools()
        enrolled = self._registry.enrolled()
        alone = {
            each.id: self._alone(each, heard.get(each.id), each.id in enrolled) for each in schools.values()
        }
        self._has_looked = True
        silent = [each for each in alone.values() if each.state == "silent"]
        together = _Together(silent, self._settings.together, schools)
        wanted = alone.values() if school_id is None else [alone[school_id]] if school_id in alone else []
        return [self._with_others(each, together) for each in wanted]

    def _last_heard(self) -> dict[str, Heard]:
        """The agent of each school that was heard last."""
        last: dict[str, Heard] = {}
        for heard in self._liveness.all():
            before = last.get(heard.school_id)
            if before is None or heard.heard_monotonic_ns > before.heard_monotonic_ns:
                last[heard.school_id] = heard
        return last

    def _alone(self, school: School, heard: Heard | None, is_enrolled: bool) -> Presence:
        if not is_enrolled:  # what a revoked agent said last is no silence of the school
            return Presence(school.id, "no_agent")
        if heard is None:
            return self._never_heard(school)
        silent = (self._monotonic_ns() - heard.heard_monotonic_ns) / NS
        at = datetime.fromtimestamp(heard.heard_ns / NS, UTC)
        if heard.state == "stopping":
            return Presence(school.id, "stopped", at, silent)
        if heard.state == "restarting" and silent < self._settings.restart_grace:
            return Presence(school.id, "restarting", at, silent)
        if silent < self._silent_after:
            return Presence(school.id, "heard", at, silent)
        return self._silent(school, at, silent)

    def _never_heard(self, school: School) -> Presence:
        """Since this collector started, as it was away itself; since it was enrolled, if that came later."""
        now = self._monotonic_ns()
        since = self._awaited_since.setdefault(school.id, now if self._has_looked else self._started_ns)
        settled = (now - since) / NS - self._settings.settle
        if settled < self._silent_after:
            return Presence(school.id, "waiting")
        return self._silent(school, None, settled)

    def _silent(self, school: School, at: datetime | None, seconds: float) -> Presence:
        now = datetime.fromtimestamp(self._wall_ns() / NS, UTC)
        if self._calendar.expected_off(now, school.power_cut):
            return Presence(school.id, "expected_off", at, seconds)
        return Presence(school.id, "silent", at, seconds, call=seconds >= self._settings.call_after)

    def _with_others(self, presence: Presence, together: _Together) -> Presence:
        if presence.state != "silent":
            return presence
        schools, carriers = together.with_(presence)
        return msgspec.structs.replace(
            presence,
            silent_together=schools,
            carriers=carriers,
            gateway_answers=self._gateway_answers(presence.school),
        )


class _Together:
    """Who fell silent with whom. Those of many schools are looked up once: they are mostly the same."""

    def __init__(
        self, silent: Iterable[Presence], span_seconds: float, schools: Mapping[str, School]
    ) -> None:
        self._ordered = sorted(((each.silent_seconds or 0.0), each.school) for each in silent)
        self._seconds = [seconds for seconds, _ in self._ordered]
        self._span_seconds = span_seconds
        self._schools = schools
        self._found: dict[tuple[int, int], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def with_(self, presence: Presence) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The schools that fell silent with this one, itself too, and the carriers that all of them share."""
        mine = presence.silent_seconds or 0.0
        first = bisect_left(self._seconds, mine - self._span_seconds)
        end = bisect_right(self._seconds, mine + self._span_seconds)
        if (first, end) not in self._found:
            names = tuple(sorted(school for _, school in self._ordered[first:end]))
            self._found[first, end] = names, shared_carriers(self._schools[each] for each in names)
        return self._found[first, end]


def shared_carriers(schools: Iterable[School]) -> tuple[str, ...]:
    """The carriers that every one of the schools has a line of."""
    carriers = [{line.carrier for line in school.lines if line.carrier} for school in schools]
    return tuple(sorted(set.intersection(*carriers))) if carriers else ()
