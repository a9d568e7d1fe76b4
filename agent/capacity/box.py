"""What a box in the LAN can know of the line its test left by: the counters of the school's router, by SNMP.

The router's ports are read a few times a second from before a test until they have shown all of its bytes.
Devices show old counters for seconds, so that what users moved beside a test is certain only where the
counter was refreshed at least twice meanwhile; what is not certain is told as doubt.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from agent.capacity.estimate import Mark, bits_at
from agent.capacity.line import COUNTS_FROM_SHARE, IN_LAN, Way
from agent.probe import Site

if TYPE_CHECKING:
    from agent.snmp.ifmib import PortReading
    from agent.snmp.session import Oid, Session

POLL_SECONDS = 0.1
READY_SECONDS = 3.0
SETTLE_SECONDS = 12.0
"""The longest time for which devices show old counters, and a little more."""
MOVING_SHARE = 0.5
"""A line that moved less than this part of a test is not waited for."""
QUIET_SHARE = 0.02
LEAST_SPAN_SECONDS = 1.0
MOST_PORTS = 4096
NOT_SEEN = "no line's counter on the school's router moved by as much as the test (most: {share:.0%})"
SEVERAL = "the counters of several lines moved by as much as the test: {lines}"
SILENT = "the school's router did not tell its counters: {why}"


class Target(msgspec.Struct, frozen=True):
    """A port of the school's router by which a line leaves; ``device`` as the snmp probe has it."""

    line: str
    port: str
    device: Any


class Reading(msgspec.Struct, frozen=True):
    """A counter that was new at ``at_ns`` and still old at ``old_ns``, on the monotonic clock."""

    old_ns: int
    at_ns: int
    port: PortReading


class Seen(msgspec.Struct, frozen=True):
    """What the router's counters say of a test: the line, the part of it they saw, what users moved at least
    (bit/s), and how much more they may have moved (bit/s).
    """

    way: Way
    share: float | None = None
    users_bits_per_second: float = 0.0
    doubt_bits_per_second: float = 0.0


class Moved(msgspec.Struct, frozen=True):
    """A test: its start on the monotonic clock, what its receiver got, and the bits its sender sent once."""

    start: float
    own: Sequence[Mark]
    sent: float


def targets_of(site: Site) -> list[Target]:
    """The lines whose port on a polled device is declared."""
    return [
        Target(role.line, port, device)
        for device in site.devices
        for port, role in device.ports.items()
        if role.line is not None
    ]


class RouterWatch:
    """Reads the targets' counters in a thread for as long as the context lasts."""

    def __init__(self, site: Site, direction: str) -> None:
        self._site = site
        self._side = "rx" if direction == "down" else "tx"
        self._targets = targets_of(site)
        self._readings: dict[str, list[Reading]] = {each.line: [] for each in self._targets}
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._why = "silent"
        self._thread = threading.Thread(target=self._run, name="router's counters", daemon=True)

    def __enter__(self) -> RouterWatch:
        self._thread.start()
        self._ready.wait(READY_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def seen(self, start: float, own: Sequence[Mark], sent: float) -> Seen:
        """Of a test that began at that monotonic time, whose receiver got so much and whose sender sent so
        many bits at the IP layer once: what was still under way passed the line after the last mark. Waits
        until a counter has shown all of it and what users moved beside it, or will not.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._all_shown(start, own) and time.monotonic() < deadline:
            if not self._thread.is_alive():
                break
            time.sleep(POLL_SECONDS)
        return judged(self._readings, self._side, Moved(start, own, sent), self._why)

    def _all_shown(self, start: float, own: Sequence[Mark]) -> bool:
        least = MOVING_SHARE * own[-1].bits
        moving = [each for each in self._readings.values() if (moved_bits(each, self._side) or 0.0) >= least]
        end = start + own[-1].seconds
        return bool(moving) and all(is_whole(each, start, end, time.monotonic()) for each in moving)

    def _run(self) -> None:
        from agent.snmp.session import Failed  # noqa: PLC0415

        try:
            asyncio.run(self._follow_all())
        except Failed as failure:
            self._why = str(failure)
        finally:
            self._ready.set()

    async def _follow_all(self) -> None:
        from agent.probes.snmp import engine_for  # noqa: PLC0415

        devices = {each.device.id: each.device for each in self._targets}
        async with engine_for(devices.values()) as engine:
            await asyncio.gather(*(self._follow(device, engine) for device in devices.values()))

    async def _follow(self, device: Any, engine: Any) -> None:
        from agent.probes.snmp import access_of, opened  # noqa: PLC0415

        access = access_of(device, self._site.settings_directory, timeout_seconds=1.0, retries=2)
        async with opened(access, engine) as session:
            ports = await self._found(session, [each for each in self._targets if each.device is device])
            before = time.monotonic_ns()
            while not self._stop.is_set():
                before = await self._read(session, ports, before)
                await asyncio.sleep(POLL_SECONDS)

    async def _found(self, session: Session, targets: Sequence[Target]) -> dict[Oid, Target]:
        from agent.snmp.ifmib import DESCRIPTIONS, text_of  # noqa: PLC0415

        column = DESCRIPTIONS["name"]
        names = (await session.columns([column], MOST_PORTS))[column]
        wanted = {each.port: each for each in targets}
        return {
            index: wanted[name] for index, value in names.items() if (name := text_of(value, 64)) in wanted
        }

    async def _read(self, session: Session, ports: dict[Oid, Target], old_ns: int) -> int:
        """Note what is new; when the values were asked for, which is when they may still have been old."""
        from agent.snmp.ifmib import COLUMNS, NARROW, READINGS, read_ports  # noqa: PLC0415

        wanted = {name: COLUMNS[name] for name in (*READINGS, *NARROW, "kind", "name")}
        asked_ns = time.monotonic_ns()
        for index, target in ports.items():
            values = await session.get([(*column, *index) for column in wanted.values()])
            row = {
                name: values[(*column, *index)]
                for name, column in wanted.items()
                if (*column, *index) in values
            }
            for port in read_ports({index: row}).values():
                self._note(target.line, Reading(old_ns, time.monotonic_ns(), port))
        self._ready.set()
        return asked_ns

    def _note(self, line: str, reading: Reading) -> None:
        kept = self._readings[line]
        if not kept or kept[-1].port.octets[self._side] != reading.port.octets[self._side]:
            kept.append(reading)


def is_whole(readings: Sequence[Reading], start: float, end: float, now: float) -> bool:
    """Whether a counter was refreshed since ``end``, or would have been by now if there were more to show: it
    was each so many seconds while the load went on. Pure; seconds on the monotonic clock.
    """
    if readings[-1].old_ns / 1e9 >= end:
        return True
    changes = [each.at_ns / 1e9 for each in readings if each.at_ns / 1e9 >= start]
    gaps = [after - before for before, after in itertools.pairwise(changes)]
    return len(gaps) >= 2 and now > end + max(gaps) + 2 * POLL_SECONDS


def moved_bits(readings: Sequence[Reading], side: str) -> float | None:
    """Bits at the IP layer between the first and the last reading; None when the counter does not tell."""
    from agent.snmp.ifmib import Poll, step  # noqa: PLC0415

    if not readings:
        return None
    first, last = readings[0], readings[-1]
    if first is last:
        return 0.0
    polls = [Poll(each.at_ns, each.at_ns + 1, None, {first.port.name: each.port}) for each in (first, last)]
    moved = step(polls[0], polls[1], first.port.name)
    if moved is None:
        return None
    return 8.0 * moved.ip_bytes.get(side, moved.counters[f"{side}_bytes"])


def judged(readings: dict[str, list[Reading]], side: str, test: Moved, why: str) -> Seen:
    """The one line whose counter moved by at least 90 % of the test, and the users beside it. Pure."""
    moved = {line: bits for line, each in readings.items() if (bits := moved_bits(each, side)) is not None}
    total = test.own[-1].bits
    if not moved or not total:
        return Seen(Way(why=SILENT.format(why=why) if readings else IN_LAN))
    shares = {line: bits / total for line, bits in moved.items()}
    fitting = [line for line, share in shares.items() if share >= COUNTS_FROM_SHARE]
    if not fitting:
        return Seen(Way(why=NOT_SEEN.format(share=max(shares.values()))))
    if len(fitting) > 1:
        return Seen(Way(why=SEVERAL.format(lines=", ".join(sorted(fitting)))))
    (line,) = fitting
    users, doubt = _users(readings[line], side, test)
    return Seen(Way(line=line), shares[line], users, doubt)


def _users(readings: Sequence[Reading], side: str, test: Moved) -> tuple[float, float]:
    """What users moved at least, and how much more it may have been; bit/s."""
    start, own, seconds = test.start, test.own, test.own[-1].seconds
    extra = max(0.0, (moved_bits(readings, side) or 0.0) - max(own[-1].bits, test.sent))
    within = [each for each in readings if start <= each.old_ns / 1e9 and each.at_ns / 1e9 <= start + seconds]
    span = (within[-1].at_ns - within[0].at_ns) / 1e9 if within else 0.0
    bits = moved_bits(within, side)
    if extra <= QUIET_SHARE * own[-1].bits or span < LEAST_SPAN_SECONDS or bits is None:
        return 0.0, extra / seconds
    first, last = (each.at_ns / 1e9 - start for each in (within[0], within[-1]))
    beside = (bits - (bits_at(own, last) - bits_at(own, first))) / span
    late = max(each.at_ns - each.old_ns for each in (within[0], within[-1])) / 1e9
    unsure = bits / span * late / span
    return max(0.0, beside - unsure), 2 * unsure
