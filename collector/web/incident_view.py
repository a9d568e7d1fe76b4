"""Open incidents as the pages list them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from collector.incidents.model import Incident
from collector.messages.rendering import Reader as Wording
from collector.messages.rendering import headline
from config.school import School
from config.words import Language, message, translate

STATES = {"open": message("open"), "acknowledged": message("acknowledged")}


class IncidentView(msgspec.Struct, frozen=True):
    """One incident in words."""

    href: str
    title: str
    state: str
    since: str


def incident_views(
    incidents: Iterable[Incident] | None, schools: Mapping[str, School], language: Language, zone: ZoneInfo
) -> list[IncidentView] | None:
    """The longest first; None where nobody counts incidents."""
    if incidents is None:
        return None
    wording = Wording(language, zone, str, schools)
    return [
        IncidentView(
            href=f"/incidents/{each.id}",
            title=headline(each, wording),
            state=translate(STATES.get(each.state, each.state), language),
            since=wording.when(each.started_at),
        )
        for each in sorted(incidents, key=lambda each: each.started_at)
    ]
