"""Maintenance as the command or a page announces it: checked, then kept with its line in the log."""

from __future__ import annotations

from datetime import datetime

from collector.access import Who, audit
from collector.registry import Registry, RegistryError
from collector.uptime.records import Maintenance, Records

MOST_WORDS = 500


def announce(registry: Registry, wanted: Maintenance, by: Who) -> int:
    """Its number. What has begun cannot be announced any more: nobody excuses an outage afterwards.

    Raises RegistryError, one line, for what cannot be announced.
    """
    school = wanted.school_id
    if school is not None and registry.school(school) is None:
        raise RegistryError(f"school {school}: is not known")
    if wanted.starts_at < wanted.announced_at:
        raise RegistryError(f"from {_short(wanted.starts_at)}: has passed; allowed: a time to come")
    if wanted.ends_at <= wanted.starts_at:
        raise RegistryError(f"to {_short(wanted.ends_at)}: allowed: a time after its beginning")
    if not 0 < len(wanted.why) <= MOST_WORDS:
        raise RegistryError(f"why: allowed: 1 to {MOST_WORDS} characters")
    told = {"starts_at": wanted.starts_at, "ends_at": wanted.ends_at, "why": wanted.why}
    return Records(registry).announce(
        wanted,
        lambda connection: audit.record(
            connection, by, "maintenance.add", school or "every school", at=wanted.announced_at, **told
        ),
    )


def _short(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M}"
