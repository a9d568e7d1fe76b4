"""What a report of a month is made of, gathered once: verdicts, availability, outages, agents, tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

import collector
from collector.registry import Agent, Registry
from collector.terminals.records import Records as TerminalRecords
from collector.uptime.report import Report as UptimeReport
from collector.uptime.report import SchoolUptime
from collector.uptime.settings import UptimeSettings
from collector.verdicts.records import Place
from collector.verdicts.room import Judged, VerdictRoom
from collector.verdicts.totals import Total, totals_of
from config.plan import Plan, Target
from config.school import School
from config.verdict import Answer

SCHOOLS_MISSING = "school {school}: is not known"


class CannotReport(ValueError):
    """What was asked for cannot be reported. One line: what, and what is allowed."""


class Stand(msgspec.Struct, frozen=True):
    """How one school stands on one target. ``judged`` is None where nothing was ever judged: unknown."""

    school: School
    target: Target
    judged: Judged | None

    @property
    def answer(self) -> Answer:
        """Unknown stays unknown."""
        return self.judged.verdict.answer if self.judged else Answer.UNKNOWN


class Content(msgspec.Struct, frozen=True):
    """A report's content. ``school`` is None for the county; times are aware, ``until`` is the data's end."""

    plan: Plan
    month: str
    start: datetime
    until: datetime
    made_at: datetime
    zone: tzinfo
    school: School | None
    schools: Sequence[School]
    stands: Sequence[Stand]
    uptime: Mapping[str, SchoolUptime]
    outages: Mapping[str, Sequence[Mapping[str, Any]]]
    agents: Sequence[Agent]
    tests: Sequence[Any]
    version: str = collector.__version__

    @property
    def totals(self) -> list[Total]:
        """By target, in the plan's order."""
        return totals_of(self.plan, ((each.target.id, each.answer) for each in self.stands))

    def of(self, target: Target) -> list[Stand]:
        """The schools that a target asks."""
        return [each for each in self.stands if each.target.id == target.id]


class Gatherer:
    """Reads what reports are made of."""

    def __init__(self, registry: Registry, verdicts: VerdictRoom, uptime: UptimeSettings) -> None:
        self._registry = registry
        self._verdicts = verdicts
        self._uptime = UptimeReport(registry, verdicts.calendar, uptime)
        self._terminals = TerminalRecords(registry)

    @property
    def plans(self) -> Mapping[str, Plan]:
        """The plans that are judged here."""
        return self._verdicts.plans

    @property
    def zone(self) -> tzinfo:
        """The county's time zone."""
        return self._verdicts.calendar.time_zone

    def gather(
        self,
        plan_id: str | None = None,
        month: str | None = None,
        school_id: str | None = None,
        now: datetime | None = None,
    ) -> Content:
        """The content of a month, the current one up to ``now``. Raises CannotReport."""
        now = now or datetime.now(UTC)
        plan, (start, end) = self._plan(plan_id), self._month(month, now)
        schools = self._schools(school_id)
        until = min(end, now)
        uptime = self._uptime.availability(start, end, now, school_id=school_id)
        return Content(
            plan=plan,
            month=f"{start.astimezone(self._verdicts.calendar.time_zone):%Y-%m}",
            start=start,
            until=until,
            made_at=now,
            zone=self._verdicts.calendar.time_zone,
            school=schools[0] if school_id else None,
            schools=schools,
            stands=list(self._stands(plan, schools, until if end <= now else None)),
            uptime={each.school: each for each in uptime},
            outages={each.id: self._counted_outages(each.id, start, until) for each in schools},
            agents=[each for each in self._registry.agents() if school_id in (None, each.school_id)],
            tests=self._terminals.between(start, until, school_id),
        )

    def _plan(self, plan_id: str | None) -> Plan:
        allowed = ", ".join(self.plans) or "none: key verdicts.plans names no plan"
        wanted = plan_id or next(iter(self.plans), "")
        if wanted not in self.plans:
            raise CannotReport(f"plan {wanted}: is not judged here; allowed: {allowed}")
        return self.plans[wanted]

    def _month(self, month: str | None, now: datetime) -> tuple[datetime, datetime]:
        try:
            start, end = self._uptime.month(month, now)
        except ValueError:
            raise CannotReport(f"month {month}: is no month; allowed: YYYY-MM") from None
        if start > now:
            raise CannotReport(f"month {month}: is yet to come; allowed: this month or an earlier one")
        return start, end

    def _schools(self, school_id: str | None) -> list[School]:
        schools = self._registry.schools()
        if school_id is None:
            return list(schools.values())
        if school_id not in schools:
            raise CannotReport(SCHOOLS_MISSING.format(school=school_id))
        return [schools[school_id]]

    def _stands(self, plan: Plan, schools: Sequence[School], moment: datetime | None) -> Iterable[Stand]:
        """As they stood at a moment, or as they stand now."""
        judged = self._judged_now(plan, schools) if moment is None else self._judged_then(plan, moment)
        for school in schools:
            for target in plan.targets:
                if plan.asks(target, school):
                    yield Stand(school, target, judged.get(Place(school.id, plan.id, target.id)))

    def _judged_now(self, plan: Plan, schools: Sequence[School]) -> dict[Place, Judged]:
        return {
            Place(school.id, plan.id, one.verdict.target): one
            for school in schools
            for one in self._verdicts.of_school(school.id, plan.id)
        }

    def _judged_then(self, plan: Plan, moment: datetime) -> dict[Place, Judged]:
        stood = self._verdicts.stood_at(plan.id, moment - timedelta(microseconds=1))
        return {Place(one.verdict.school, plan.id, one.verdict.target): one for one in stood}

    def _counted_outages(self, school_id: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        found = self._uptime.outages(school_id, start, end)
        return [each for each in found if each["withdrawn_at"] is None]
