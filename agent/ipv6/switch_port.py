"""The switch port where a MAC was learnt, by the bridge MIBs (RFC 4188; RFC 4363 where VLANs are used)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.probes.snmp import Device, access_of, engine_for, opened
from agent.snmp.session import Failed, Oid, Session, Value
from config.settings import convert

FDB_PORT: Oid = (1, 3, 6, 1, 2, 1, 17, 4, 3, 1, 2)
"""dot1dTpFdbPort, by MAC."""
VLAN_FDB_COUNT: Oid = (1, 3, 6, 1, 2, 1, 17, 7, 1, 2, 1, 1, 2)
"""dot1qFdbDynamicCount: its rows are the filtering databases that there are."""
VLAN_FDB_PORT: Oid = (1, 3, 6, 1, 2, 1, 17, 7, 1, 2, 2, 1, 2)
"""dot1qTpFdbPort, by filtering database and MAC."""
PORT_INTERFACE: Oid = (1, 3, 6, 1, 2, 1, 17, 1, 4, 1, 2)
"""dot1dBasePortIfIndex."""
INTERFACE_NAME: Oid = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1)
"""ifName."""
MOST_VLANS = 256
MOST_SENDERS = 64
TRIES = 3
PAUSE_SECONDS = 1.0
"""A switch learns a MAC at once and shows it some time later."""
_TIMEOUT_SECONDS, _RETRIES, _DEADLINE_SECONDS = 1.0, 1, 6.0
_GET_AT_ONCE = 32

log = logging.getLogger(__name__)


def devices_of(switches: Sequence[Mapping[str, Any]], where: str) -> tuple[Device, ...]:
    """Settings of switches as the probe ``snmp`` has them. Raises SettingsError, one line."""
    return tuple(convert(dict(each), Device, where) for each in switches)


def find_port(mac: str, switches: Sequence[Device], directory: Path) -> str:
    """«switch port name» of each switch that learnt ``mac``, with commas between; empty when none did."""
    return ", ".join(asyncio.run(_asked(mac, switches, directory)))


async def _asked(mac: str, switches: Sequence[Device], directory: Path) -> list[str]:
    async with engine_for(switches) as engine:

        async def one(switch: Device) -> str:
            access = access_of(switch, directory, timeout_seconds=_TIMEOUT_SECONDS, retries=_RETRIES)
            try:
                async with opened(access, engine) as session:
                    port = await asyncio.wait_for(port_of(session, mac), _DEADLINE_SECONDS)
            except (Failed, TimeoutError) as failure:
                log.warning("switch not asked for a port switch=%s reason=%s", switch.id, failure)
                return ""
            return f"{switch.id} {port}" if port else ""

        return [told for told in await asyncio.gather(*(one(switch) for switch in switches)) if told]


async def port_of(session: Session, mac: str) -> str:
    """The name of the port where one switch learnt ``mac``, empty when it did not. Raises Failed."""
    row = tuple(bytes.fromhex(mac.replace(":", "")))
    port = _first((await session.get([FDB_PORT + row])).values()) or await _in_vlans(session, row)
    if port is None:
        return ""
    index = _first((await session.get([(*PORT_INTERFACE, port)])).values())
    if index is None:
        return f"port {port}"
    name = (await session.get([(*INTERFACE_NAME, index)])).get((*INTERFACE_NAME, index))
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else ""
    return text if text.isprintable() and text else f"port {port}"


async def _in_vlans(session: Session, row: Oid) -> int | None:
    known = (await session.columns([VLAN_FDB_COUNT], MOST_VLANS))[VLAN_FDB_COUNT]
    asked = [VLAN_FDB_PORT + database + row for database in known]
    for at in range(0, len(asked), _GET_AT_ONCE):
        port = _first((await session.get(asked[at : at + _GET_AT_ONCE])).values())
        if port is not None:
            return port
    return None


def _first(values: Any) -> int | None:
    """The first number above 0: 0 says «learnt, port not known»."""
    listed: list[Value] = list(values)
    return next((value for value in listed if isinstance(value, int) and value > 0), None)


class PortFinder:
    """Finds the ports of senders beside the listening, which waits for no switch."""

    def __init__(self, find: Callable[[str], str], stopped: threading.Event | None = None) -> None:
        self._find = find
        self._stopped = stopped or threading.Event()
        self._found: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def ask(self, mac: str) -> None:
        """Begin to look for ``mac``, unless it is known or being looked for; one at a time."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or mac in self._found or len(self._found) >= MOST_SENDERS:
            return
        self._thread = threading.Thread(target=self._look, args=(mac,), daemon=True)
        self._thread.start()

    def of(self, mac: str) -> str:
        """Where it was learnt; empty when that is not known, or not yet."""
        return self._found.get(mac, "")

    def _look(self, mac: str) -> None:
        found = ""
        for _ in range(TRIES):
            try:
                found = self._find(mac)
            except OSError as error:
                log.warning("switches cannot be asked error=%s", error)
            if found or self._stopped.wait(PAUSE_SECONDS):
                break
        self._found[mac] = found
