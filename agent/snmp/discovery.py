"""What a device says of itself, and what its ports are likely for: who leaves by a port, who stands at it.

A port is suggested as a line where the device's own default route leaves by it, as a trunk where a bridge or
router announces itself (LLDP) or its description says so. Suggestions are for a person to confirm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from agent.snmp import ifmib
from agent.snmp.ifmib import PortReading, read_ports, text_of
from agent.snmp.session import Columns, Oid, Session, Value, rows

SYS_DESCR: Oid = (1, 3, 6, 1, 2, 1, 1, 1, 0)
SYS_NAME: Oid = (1, 3, 6, 1, 2, 1, 1, 5, 0)
CIDR_ROUTES: Oid = (1, 3, 6, 1, 2, 1, 4, 24, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0)
"""ipCidrRouteIfIndex below destination and mask 0.0.0.0 (RFC 2096)."""
INET_ROUTES: Oid = (1, 3, 6, 1, 2, 1, 4, 24, 7, 1, 7, 1, 4, 0, 0, 0, 0, 0)
"""inetCidrRouteIfIndex below 0.0.0.0/0 (RFC 4292)."""
OLD_ROUTES: Oid = (1, 3, 6, 1, 2, 1, 4, 21, 1, 2, 0, 0, 0, 0)
"""ipRouteIfIndex of 0.0.0.0 (RFC 1213), a scalar."""
LLDP_NAME: Oid = (1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 9)
LLDP_ENABLED: Oid = (1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 12)
"""lldpRemSysName and lldpRemSysCapEnabled (IEEE 802.1AB-2005), by time, local port and number."""
_BRIDGE_OR_ROUTER = 0x28
"""BITS repeater(1), bridge(2), wlanAccessPoint(3), router(4) of the first octet, counted from its top."""
_WLAN_ACCESS_POINT = 0x10
_TRUNK_WORDS = ("trunk", "uplink", "core", "汇聚", "核心", "上联", "下联", "骨干", "级联")
_MOST_ROUTES = 64
_MOST_TEXT = 128
_MOST_NEIGHBOURS = 1024

Role = Literal["line", "trunk", "access", "other"]


class Neighbour(msgspec.Struct, frozen=True):
    """Who announces itself at a port."""

    name: str
    forwards: bool


class FoundPort(msgspec.Struct, frozen=True):
    """A port with what it is suggested for, and why."""

    reading: PortReading
    suggested: Role
    why: str
    neighbour: str = ""


class Found(msgspec.Struct, frozen=True):
    """A device and its ports, by ifIndex."""

    name: str
    description: str
    system: Oid | None
    ports: tuple[FoundPort, ...]


async def discover(session: Session, most_ports: int) -> Found:
    """Ask the device for all of that. Raises Failed."""
    told = await session.get([SYS_NAME, SYS_DESCR, ifmib.SYS_OBJECT_ID, OLD_ROUTES])
    table = rows(await session.columns(list(ifmib.COLUMNS.values()), most_ports), ifmib.COLUMNS)
    routes = await session.columns([CIDR_ROUTES, INET_ROUTES], _MOST_ROUTES)
    exits = exits_of([*routes[CIDR_ROUTES].values(), *routes[INET_ROUTES].values(), told.get(OLD_ROUTES)])
    announced = neighbours(await session.columns([LLDP_NAME, LLDP_ENABLED], _MOST_NEIGHBOURS))
    ports = sorted(read_ports(table).values(), key=lambda port: port.index)
    system = told.get(ifmib.SYS_OBJECT_ID)
    return Found(
        name=text_of(told.get(SYS_NAME), _MOST_TEXT),
        description=text_of(told.get(SYS_DESCR), _MOST_TEXT),
        system=system if isinstance(system, tuple) else None,
        ports=tuple(suggested(port, exits, announced) for port in ports),
    )


def exits_of(indexes: Iterable[Value | None]) -> set[int]:
    """The ifIndexes by which default routes leave; 0 is none."""
    return {index for index in indexes if isinstance(index, int) and index > 0}


def neighbours(columns: Columns) -> dict[int, Neighbour]:
    """LLDP's neighbours by local port number, which is the ifIndex on nearly every switch."""
    found: dict[int, Neighbour] = {}
    enabled: Mapping[Oid, Value] = columns.get(LLDP_ENABLED, {})
    for index in {*columns.get(LLDP_NAME, {}), *enabled}:
        if len(index) == 3:
            bits = enabled.get(index)
            flags = bits[0] if isinstance(bits, bytes) and bits else 0
            forwards = bool(flags & _BRIDGE_OR_ROUTER) and not flags & _WLAN_ACCESS_POINT
            name = text_of(columns.get(LLDP_NAME, {}).get(index), _MOST_TEXT)
            before = found.get(index[1])
            found[index[1]] = Neighbour(name, forwards or bool(before and before.forwards))
    return found


def suggested(port: PortReading, exits: set[int], announced: Mapping[int, Neighbour]) -> FoundPort:
    """What one port is likely for."""
    index = port.index[0] if port.index else 0
    neighbour = announced.get(index)
    who = neighbour.name if neighbour else ""
    role, why = _role(port, index, exits, neighbour)
    return FoundPort(port, role, why, who)


def _role(port: PortReading, index: int, exits: set[int], neighbour: Neighbour | None) -> tuple[Role, str]:
    if index in exits:
        return "line", "the default route leaves by it"
    if neighbour and neighbour.forwards:
        return "trunk", "a bridge or router announces itself"
    words = [word for word in _TRUNK_WORDS if word in port.alias.lower()]
    if words:
        return "trunk", f"its description says {words[0]}"
    if port.kind == ifmib.ETHERNET and port.operational:
        return "access", "in use"
    return "other", ""
