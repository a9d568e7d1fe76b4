"""The verdicts room as settings want it: which plans, which calendar, judged by the judge."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from collector.registry import Registry
from collector.settings import VerdictSettings
from collector.verdicts.room import JudgeSchool, VerdictRoom
from config.calendar import SchoolCalendar, default_calendar, load_calendar
from config.clock import Clock, SystemClock
from config.evidence import Evidence
from config.judge import judge_plan
from config.plan import Plan, load_plan, shipped_plans
from config.school import School
from config.settings import SettingsError
from config.verdict import Verdict

log = logging.getLogger(__name__)

NS = 10**9


def open_room(registry: Registry, settings: VerdictSettings, clock: Clock | None = None) -> VerdictRoom:
    """The room on a registry. Raises SettingsError for a plan or calendar that cannot be used."""
    clock = clock or SystemClock()
    if not settings.plans:
        log.warning("no plan is named, nothing is judged key=verdicts.plans allowed=%s", allowed_plans())
    calendar = calendar_of(settings)
    judge = _judge_by(calendar)
    return VerdictRoom(
        registry,
        chosen_plans(settings.plans),
        judge,
        calendar,
        settings,
        now=lambda: datetime.fromtimestamp(clock.wall_ns() / NS, UTC),
        monotonic=lambda: clock.monotonic_ns() / NS,
    )


def check(settings: VerdictSettings) -> None:
    """Read what settings name, as ``open_room`` will. Raises SettingsError."""
    calendar_of(settings)
    chosen_plans(settings.plans)


def calendar_of(settings: VerdictSettings) -> SchoolCalendar:
    """The calendar that settings name, else the shipped one. Raises SettingsError."""
    return load_calendar(Path(settings.calendar)) if settings.calendar else default_calendar()


def chosen_plans(names: Sequence[str]) -> dict[str, Plan]:
    """Plans by id: of ``names``, ids of shipped plans, or files. To name a lapsed one is to choose it.

    Without names nothing is judged: what other counties promised is no measure for this one's schools.
    """
    plans = [_plan_named(name) for name in names]
    chosen = {plan.id: plan for plan in plans}
    if len(chosen) < len(plans):
        raise SettingsError("key verdicts.plans: a plan's id is given twice")
    return chosen


def _plan_named(name: str) -> Plan:
    shipped = shipped_plans()
    if name in shipped:
        return shipped[name]
    if name.endswith((".yaml", ".yml")):
        return load_plan(Path(name))
    raise SettingsError(f"key verdicts.plans: {name} is no plan; allowed: {allowed_plans()}")


def allowed_plans() -> str:
    """What ``verdicts.plans`` may name, in words."""
    return f"{', '.join(sorted(shipped_plans()))}, or a .yaml file"


def _judge_by(calendar: SchoolCalendar) -> JudgeSchool:
    def judge(plan: Plan, school: School, evidence: Sequence[Evidence], now: datetime) -> Iterable[Verdict]:
        return judge_plan(plan, school, evidence, now, calendar)

    return judge
