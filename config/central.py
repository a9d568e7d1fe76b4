"""What a county may set of its agents' configuration, and how documents are merged. Pure; both sides read it.

Whatever is not named here stays the local file's alone: where the points go, the spool, the log, paths,
programs. A key that a probe gains later is therefore local until somebody lists it here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

TOP = frozenset({"plan", "schedule", "probes"})
SCHEDULE = frozenset({"hours", "mute", "timezone", "start_pause", "jitter"})
PROBES: Mapping[str, frozenset[str]] = {
    "capacity": frozenset(
        {
            "every", "mode", "rate", "max_rate", "directions", "families", "lines", "responder", "streams",
            "congestion_control", "reached_from", "cpu_limit", "busy_cpu", "full", "tries", "retry_pause",
        }
    ),
    "interfaces": frozenset({"window", "sample", "look", "ignore", "lan", "max_interfaces"}),
    "ipv6": frozenset({"every", "recent"}),
    "ipv6_checks": frozenset(
        {
            "every", "lans", "routers", "wait", "ask", "targets", "tries", "timeout", "resolvers", "dns_name",
            "max_advertisement_interval", "use_floor_percent", "platforms", "bounds",
        }
    ),
    "ping": frozenset(
        {"window", "probes", "wait", "targets", "each_line", "lookup_every", "lookup_timeout"}
    ),
    "router_advertisements": frozenset({"window", "lans", "routers", "listen"}),
    "service": frozenset({"every", "timeout", "body", "services"}),
    "snmp": frozenset(
        {
            "every", "devices", "timeout", "retries", "device_deadline", "report", "cached", "side_by_side",
            "max_ports", "max_access_points",
        }
    ),
}  # fmt: skip
LOCAL: Mapping[str, frozenset[str]] = {
    "capacity": frozenset({"method", "iperf3"}),
    "router_advertisements": frozenset({"switches"}),
    "snmp": frozenset({"profiles"}),
}
"""Keys of those probes that name a program, a file or a far end: the local file's alone."""

SECRETS: Mapping[str, str] = {
    "community": "community_file",
    "auth_password": "auth_file",
    "priv_password": "priv_file",
}
"""In a document a device's secrets stand as they are; the agent puts each into a file of its own."""
DEVICE = frozenset(
    {"id", "host", "port", "version", "user", "auth", "priv", "ports", "profile", "access_points", *SECRETS}
)

MASK = "***"
MAX_BYTES = 256 * 1024
MAX_SECRET_CHARACTERS = 512
MAX_DEPTH = 16
"""A whole plan is five deep."""


class CentralError(Exception):
    """A document that a county may not set; one line with the key and what is allowed there."""


def check(document: object) -> Document:
    """The document, when it names nothing but what a county may set. Raises CentralError.

    The types of the values are the agent's to check: it has the probes.
    """
    content = _mapping(document, "")
    if _depth(content) > MAX_DEPTH:
        raise CentralError(f"key (the whole document): is nested more than {MAX_DEPTH} deep")
    _refuse_others(content, TOP, "")
    if "schedule" in content:
        _refuse_others(_mapping(content["schedule"], "schedule"), SCHEDULE, "schedule")
    for name, settings in _mapping(content.get("probes", {}), "probes").items():
        if name not in PROBES:
            raise CentralError(f"key probes.{name}: is no probe; allowed here: {', '.join(sorted(PROBES))}")
        if settings is not None and settings is not False:
            _refuse_others(_mapping(settings, f"probes.{name}"), PROBES[name], f"probes.{name}")
    for number, device in enumerate(devices_in(content)):
        _check_device(device, f"probes.snmp.devices[{number}]")
    return content


def merged(*documents: Mapping[str, Any]) -> Document:
    """The documents put over each other, the later before the earlier.

    ``schedule`` and each probe are merged key by key; any other value, lists too, is replaced whole. A probe
    that is ``false`` is not run.
    """
    result: Document = {}
    for document in documents:
        for key, value in document.items():
            if key == "probes":
                result[key] = _over_probes(result.get(key, {}), value)
            elif key == "schedule":
                result[key] = {**result.get(key, {}), **value}
            else:
                result[key] = value
    return result


def devices_in(document: Mapping[str, Any]) -> list[Any]:
    """The SNMP devices that a document names."""
    probe = (document.get("probes") or {}).get("snmp") or {}
    found = probe.get("devices") if isinstance(probe, dict) else None
    return list(found) if isinstance(found, list | tuple) else []


def secrets_in(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each device and the key of a secret that it holds; changing it changes the document."""
    for device in devices_in(document):
        for key in SECRETS:
            if isinstance(device, dict) and key in device:
                yield device, key


def _depth(document: object) -> int:
    """How deep lists and keys are nested, found without recursion; no deeper than matters."""
    depth, level = 0, [document]
    while level and depth <= MAX_DEPTH:
        nested = [each for each in level if isinstance(each, dict | list)]
        inner = [each.values() if isinstance(each, dict) else each for each in nested]
        level = [value for values in inner for value in values]
        depth += bool(inner)
    return depth


def _over_probes(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> Document:
    result = dict(held)
    for name, settings in wanted.items():
        below = result.get(name)
        both = isinstance(below, dict) and isinstance(settings, dict)
        result[name] = {**below, **settings} if both and below is not None else settings
        if settings is None:
            result[name] = below if isinstance(below, dict) else {}
    return result


def _check_device(device: object, path: str) -> None:
    content = _mapping(device, path)
    _refuse_others(content, DEVICE, path)
    for key in SECRETS:
        value = content.get(key, MASK)
        if (
            not isinstance(value, str)
            or not 0 < len(value) <= MAX_SECRET_CHARACTERS
            or not value.isprintable()
        ):
            raise CentralError(
                f"key {path}.{key}: allowed is text of 1 to {MAX_SECRET_CHARACTERS} printable characters"
            )


def _mapping(value: object, path: str) -> Document:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CentralError(f"key {path or '(the whole document)'}: allowed are keys with values")
    return value


def _refuse_others(content: Mapping[str, Any], allowed: frozenset[str], path: str) -> None:
    for key in content:
        if key not in allowed:
            where = f"{path}.{key}".removeprefix(".")
            raise CentralError(
                f"key {where}: the county may not set it; allowed: {', '.join(sorted(allowed))}"
            )
