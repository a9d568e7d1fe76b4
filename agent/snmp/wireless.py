"""Access points online and installed, from what a wireless controller tells. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent.snmp.session import Oid, Value
from config.points import FieldValue
from config.snmp_profiles import AccessPointObjects, parse_oid


def scalars(objects: AccessPointObjects) -> list[Oid]:
    """The values to ask for."""
    return [parse_oid(text) for text in (objects.online, objects.offline, objects.stations) if text]


def states_column(objects: AccessPointObjects) -> Oid | None:
    """The column to walk, which has a row for each access point."""
    return parse_oid(objects.states) if objects.states else None


def access_points(
    objects: AccessPointObjects,
    values: Mapping[Oid, Value],
    states: Mapping[Oid, Value],
    declared: int | None,
) -> dict[str, FieldValue]:
    """Fields of the point; empty where the device tells of no access points.

    What is declared as installed comes first; else the controller's rows, else those online and offline. A
    controller may list only what it has seen, so its own count is no more than the best that is known.
    """
    listed = [value for value in states.values() if isinstance(value, int)]
    online, offline = _count(values, objects.online), _count(values, objects.offline)
    if online is None and listed:
        online = sum(value in objects.online_states for value in listed)
    if online is None:
        return {}
    fields: dict[str, FieldValue] = {"online": online}
    installed = declared if declared is not None else _told(online, offline, len(listed))
    if installed is not None:
        fields |= {
            "installed": installed,
            "installed_by": "controller" if declared is None else "declared",
        }
    stations = _count(values, objects.stations)
    return fields | ({"stations": stations} if stations is not None else {})


def _told(online: int, offline: int | None, listed: int) -> int | None:
    if listed:
        return max(listed, online)
    return None if offline is None else online + offline


def _count(values: Mapping[Oid, Value], text: str | None) -> int | None:
    value = values.get(parse_oid(text)) if text else None
    return value if isinstance(value, int) and 0 <= value < 10**6 else None
