"""One device as the probe knows it from poll to poll: what it is, its ports, what is due to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from agent.snmp import ifmib
from agent.snmp.account import PortAccount
from agent.snmp.ifmib import Poll
from agent.snmp.session import Columns, Oid, Session, Value, rows
from agent.snmp.wireless import access_points, scalars, states_column
from config.points import FieldValue
from config.snmp_profiles import Profiles, profile_of

DESCRIBED_FOR_SECONDS = 300.0
_IDENTITY = (ifmib.SYS_UP_TIME, ifmib.TABLE_LAST_CHANGE, ifmib.SYS_OBJECT_ID)

Fields = dict[str, FieldValue]
Now = Callable[[], int]


class Bounds(msgspec.Struct, frozen=True):
    """What the settings allow of one device."""

    max_ports: int
    max_access_points: int
    report_seconds: float
    cached_seconds: float


class Greeting(msgspec.Struct, frozen=True):
    """What a device says first: the same values at each poll."""

    up_time_ticks: int | None
    table_change: int | None
    system: Oid | None


class Watched(msgspec.Struct, frozen=True):
    """What one poll gave."""

    poll: Poll
    access_points: Fields


class Device:
    """State of one device. ``profile`` is a profile's id, or None to find it by the device's sysObjectID."""

    def __init__(
        self, profile: str | None, profiles: Profiles, installed: int | None, bounds: Bounds
    ) -> None:
        self._profile = profile
        self._profiles = profiles
        self._installed = installed
        self._bounds = bounds
        self._descriptions: Columns = {}
        self._columns: Mapping[str, Oid] = ifmib.READINGS
        self._described: tuple[int, Greeting] | None = None
        self._accounts: dict[str, PortAccount] = {}
        self._before: Poll | None = None

    async def greet(self, session: Session) -> Greeting:
        """Ask who is there. Raises Failed."""
        values = await session.get(_IDENTITY)
        ticks, change = values.get(ifmib.SYS_UP_TIME), values.get(ifmib.TABLE_LAST_CHANGE)
        system = values.get(ifmib.SYS_OBJECT_ID)
        return Greeting(
            ticks if isinstance(ticks, int) else None,
            change if isinstance(change, int) else None,
            system if isinstance(system, tuple) else None,
        )

    async def watch(self, session: Session, greeting: Greeting, now: Now) -> Watched:
        """Read the ports and, of a controller, its access points. Raises Failed."""
        if not self._is_described(greeting, now()):
            await self._describe(session, greeting, now())
        began_ns = now()
        columns = await session.columns(list(self._columns.values()), self._bounds.max_ports)
        ended_ns = now()
        table = rows({**self._descriptions, **columns}, ifmib.COLUMNS)
        poll = Poll(began_ns, ended_ns, greeting.up_time_ticks, ifmib.read_ports(table))
        return Watched(poll, await self._access_points(session, greeting))

    def take(
        self, watched: Watched, is_line: Callable[[str], bool], now_ns: int
    ) -> Iterator[tuple[str, Fields]]:
        """Each port that is due to be written, with its fields."""
        before, self._before = self._before, watched.poll
        for name in self._accounts.keys() - watched.poll.ports.keys():
            del self._accounts[name]
        for name, port in sorted(watched.poll.ports.items()):
            account = self._accounts.get(name)
            if account is None:
                account = self._accounts[name] = PortAccount(self._bounds.cached_seconds)
            account.add(ifmib.step(before, watched.poll, name))
            every = 0.0 if is_line(name) else self._bounds.report_seconds
            if account.is_due(now_ns, port, every):
                yield name, account.take(now_ns, port)

    def _is_described(self, greeting: Greeting, now_ns: int) -> bool:
        if self._described is None:
            return False
        described_ns, before = self._described
        if now_ns - described_ns >= DESCRIBED_FOR_SECONDS * 1e9:
            return False
        fell = (greeting.up_time_ticks or 0) < (before.up_time_ticks or 0)
        return not fell and greeting.table_change == before.table_change

    async def _describe(self, session: Session, greeting: Greeting, now_ns: int) -> None:
        """Read what seldom changes, and find which counters the device has."""
        seldom = {**ifmib.DESCRIPTIONS, **ifmib.NARROW, **ifmib.IPV6, "wide": ifmib.READINGS["rx_octets"]}
        found = await session.columns(list(seldom.values()), self._bounds.max_ports)
        narrow = not found[ifmib.READINGS["rx_octets"]]
        wanted = dict(ifmib.READINGS)
        if narrow:
            wanted |= ifmib.NARROW
        if any(found[column] for column in ifmib.IPV6.values()):
            wanted |= ifmib.IPV6
        self._columns = wanted
        self._descriptions = {column: found[column] for column in ifmib.DESCRIPTIONS.values()}
        self._described = (now_ns, greeting)

    async def _access_points(self, session: Session, greeting: Greeting) -> Fields:
        profile = self._profiles[self._profile or profile_of(greeting.system, self._profiles)]
        objects = profile.access_points
        if objects is None:
            return {}
        asked = scalars(objects)
        values: Mapping[Oid, Value] = await session.get(asked) if asked else {}
        column = states_column(objects)
        states: Mapping[Oid, Value] = {}
        if column is not None and (values or not asked):
            states = (await session.columns([column], self._bounds.max_access_points))[column]
        return access_points(objects, values, states, self._installed)
