"""The ports of a school, its own and those of polled devices, and its access points. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from collector.store.interface import Latest
from config.points import FieldValue
from config.present import PORT_TYPES, age
from config.units import format_rate
from config.words import Language, message, translate

SHOWN = 200
"""A campus has hundreds of ports; those that carry more come first."""
ROLES = {
    "line": message("line"),
    "trunk": message("trunk"),
    "lan": message("LAN"),
    "access": message("access"),
    "other": message("not a line"),
    "loopback": message("not a line (loopback)"),
}
_RANK = tuple(ROLES)


class Port(msgspec.Struct, frozen=True):
    """One port in words."""

    device: str
    name: str
    role: str
    speed: str
    state: str
    ipv6: str
    """IPv6's share of what came in: by a line what goes down to the school, by the LAN what goes up."""
    told: str


class Controller(msgspec.Struct, frozen=True):
    """The access points of one controller in words."""

    device: str
    online: str
    stations: str
    told: str


def ports(latest: Iterable[Latest], language: Language, now: datetime) -> tuple[list[Port], int]:
    """The first ports, and how many there are."""
    found = sorted((point for point in latest if "interface" in point.tags), key=_rank)
    wanted = [point for point in found if point.tags.get("role") != "loopback"]
    return [_port(point, language, now) for point in wanted[:SHOWN]], len(wanted)


def controllers(latest: Iterable[Latest], language: Language, now: datetime) -> list[Controller]:
    """Each controller."""
    return [
        Controller(
            device=point.tags.get("device", "?"),
            online=_of(point.fields.get("online"), point.fields.get("installed")),
            stations=str(point.fields.get("stations", "–")),
            told=_told(point, language, now),
        )
        for point in sorted(latest, key=lambda point: point.tags.get("device", ""))
    ]


def _port(point: Latest, language: Language, now: datetime) -> Port:
    tags, fields = point.tags, point.fields
    role = translate(ROLES.get(tags.get("role", "other"), "other"), language)
    speed = fields.get("port_bits_per_second")
    kind = str(fields.get("port_type", ""))
    medium = translate(PORT_TYPES.get(kind, kind), language)
    rate = format_rate(speed) if isinstance(speed, int | float) else "–"
    return Port(
        device=tags.get("device", ""),
        name=tags.get("interface", "?"),
        role=f"{role} {tags['line']}" if "line" in tags else role,
        speed=f"{rate} · {medium}" if medium else rate,
        state=_state(fields.get("operational"), language),
        ipv6=_ipv6_share(fields, language),
        told=_told(point, language, now),
    )


def _state(operational: object, language: Language) -> str:
    if operational is None:
        return "? " + translate("unknown", language)
    return "✓ " + translate("port up", language) if operational else "✗ " + translate("port down", language)


def _ipv6_share(fields: Mapping[str, FieldValue], language: Language) -> str:
    """Unknown where flows pass the counters by; nothing where nothing came in or the device does not tell."""
    if "ipv6_unknown" in fields:
        return "? " + translate("unknown", language)
    moved, whole = fields.get("rx_ipv6_bytes"), fields.get("rx_ip_bytes")
    if not (isinstance(moved, int) and isinstance(whole, int) and whole > 0):
        return "–"
    return f"{min(100.0, 100 * moved / whole):.1f} %"


def _of(online: object, installed: object) -> str:
    return f"{'–' if online is None else online} / {'?' if installed is None else installed}"


def _told(point: Latest, language: Language, now: datetime) -> str:
    return age(now.timestamp() - point.time_ns / 1e9, language)


def _rank(point: Latest) -> tuple[int, str, str]:
    role = point.tags.get("role", "other")
    place = _RANK.index(role) if role in _RANK else len(_RANK)
    return place, point.tags.get("device", ""), point.tags.get("interface", "")
