"""The plan that the settings name."""

from __future__ import annotations

from agent.settings import LoadedSettings
from config.plan import Plan, load_plan, shipped_plans
from config.settings import SettingsError


def plan_of(loaded: LoadedSettings) -> Plan:
    """Read the plan to judge by. Raises SettingsError, one line."""
    if loaded.plan is not None:
        return loaded.plan
    if loaded.plan_file is not None:
        return load_plan(loaded.plan_file)
    plans = shipped_plans()
    plan = plans.get(loaded.plan_id or "")
    if plan is None:
        allowed = ", ".join(sorted(plans))
        raise SettingsError(
            f"{loaded.file}: key plan: {loaded.plan_id} is no shipped plan; allowed: {allowed}"
        )
    return plan
