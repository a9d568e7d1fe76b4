"""Who is silent now, and what is known of it before the agent's own record arrives."""

from __future__ import annotations

from collections import defaultdict
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
        self._gateway_answers = gateway_answers

    def now(self, school_id: str | None = None) -> list[Presence]:
        """Every school that is enrolled, or one, as it stands now."""
        heard = self._last_heard()
        schools = self._registry.schools()
        alone = {each.id: self._alone(each, heard.get(each.id)) for each in schools.values()}
        silent = {key: each for key, each in alone.items() if each.state == "silent"}
        wanted = alone.values() if school_id is None else [alone[school_id]] if school_id in alone else []
        return [self._with_others(each, silent, schools) for each in wanted]

    def _last_heard(self) -> dict[str, Heard]:
        """The agent of each school that was heard last."""
        by_school: dict[str, list[Heard]] = defaultdict(list)
        for heard in self._liveness.all():
            by_school[heard.school_id].append(heard)
        return {
            school: max(agents, key=lambda each: each.heard_monotonic_ns)
            for school, agents in by_school.items()
        }

    def _alone(self, school: School, heard: Heard | None) -> Presence:
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
        """Since this collector started: it first waits for the schools, as it was away itself."""
        if not self._is_enrolled(school.id):
            return Presence(school.id, "no_agent")
        settled = (self._monotonic_ns() - self._started_ns) / NS - self._settings.settle
        if settled < self._silent_after:
            return Presence(school.id, "waiting")
        return self._silent(school, None, settled)

    def _silent(self, school: School, at: datetime | None, seconds: float) -> Presence:
        now = datetime.fromtimestamp(self._wall_ns() / NS, UTC)
        if self._calendar.expected_off(now, school.power_cut):
            return Presence(school.id, "expected_off", at, seconds)
        return Presence(school.id, "silent", at, seconds, call=seconds >= self._settings.call_after)

    def _with_others(
        self, presence: Presence, silent: Mapping[str, Presence], schools: Mapping[str, School]
    ) -> Presence:
        if presence.state != "silent":
            return presence
        mine = presence.silent_seconds or 0.0
        together = [
            each.school
            for each in silent.values()
            if abs((each.silent_seconds or 0.0) - mine) <= self._settings.together
        ]
        return msgspec.structs.replace(
            presence,
            silent_together=tuple(sorted(together)),
            carriers=shared_carriers(schools[each] for each in together),
            gateway_answers=self._gateway_answers(presence.school),
        )

    def _is_enrolled(self, school_id: str) -> bool:
        return any(
            agent.school_id == school_id and agent.revoked_at is None for agent in self._registry.agents()
        )


def shared_carriers(schools: Iterable[School]) -> tuple[str, ...]:
    """The carriers that every one of the schools has a line of."""
    carriers = [{line.carrier for line in school.lines if line.carrier} for school in schools]
    return tuple(sorted(set.intersection(*carriers))) if carriers else ()
