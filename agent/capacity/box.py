"""What a box in the LAN can know of the line its test left by: the counters of the school's router, by SNMP.

The router's ports are read a few times a second from before a test until they have shown all of its bytes
and, outside of it, what users move alone: a line whose users could have moved as much is not the test's.
Devices show old counters for seconds, so that what users moved beside a test is certain only where the
counter was refreshed at least twice meanwhile; what is not certain is told as doubt.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from agent.capacity.estimate import Mark, Step, users_beside
from agent.capacity.line import COUNTS_FROM_SHARE, IN_LAN, Way
from agent.probe import Run, Site

if TYPE_CHECKING:
    from agent.snmp.ifmib import PortReading
    from agent.snmp.session import Oid, Session

POLL_SECONDS = 0.1
READY_SECONDS = 3.0
SETTLE_SECONDS = 12.0
"""The longest time for which devices show old counters, and a little more."""
UNDER_WAY_SECONDS = 1.0
"""What a sender's last mark has counted passes the line so much later at most."""
OUTSIDE_SECONDS = 2.0
"""For so long after a test it is watched what users move alone."""
MOVING_SHARE = 0.5
"""A line that moved less than this part of a test is not waited for."""
WAVERING_SHARE = 0.5
"""Users move by so much more or less from one moment to the next."""
MOST_USERS_SHARE = 0.5
"""Users who move more than this part of a test hide it: they waver too much."""
QUIET_SHARE = 0.02
MOST_PORTS = 4096
NOT_SEEN = "no line's counter on the school's router moved by as much as the test (most: {share:.0%})"
SEVERAL = "the counters of several lines moved by as much as the test: {lines}"
NOT_APART = "the counters on the school's router do not tell the test from users: {lines}"
NOT_SHOWN = "the counters on the school's router did not tell in time what moved during the test: {lines}"
OTHER_LINE = "the router sent the test by line {line}, and it was meant for line {asked}"
SILENT = "the school's router did not tell its counters: {why}"


class Target(msgspec.Struct, frozen=True):
    """A port of the school's router by which a line leaves; ``device`` as the snmp probe has it."""

    line: str
    port: str
    device: Any


class Reading(msgspec.Struct, frozen=True):
    """A counter that was still old at ``old``, new at ``at``, and shown until ``until`` at least, by the
    monotonic clock.
    """

    old: float
    at: float
    until: float
    port: PortReading

    def after(self, refresh: float) -> float:
        """After which moment it was the count still, if it is refreshed every so many seconds at least."""
        return max(self.old, self.until - refresh)


class Seen(msgspec.Struct, frozen=True):
    """What the router's counters say of a test: the line, the part of it they saw, what users moved at least
    (bit/s), and how much more they may have moved (bit/s).
    """

    way: Way
    share: float | None = None
    users_bits_per_second: float = 0.0
    doubt_bits_per_second: float = 0.0


class Moved(msgspec.Struct, frozen=True):
    """A test: its start on the monotonic clock, what it moved by this host's counts (what was sent again is
    in it where this host sends), and the bits its sender sent once.
    """

    start: float
    own: Sequence[Mark]
    sent: float

    @property
    def bits(self) -> float:
        """What passed the line at least: what was sent again may have been lost before it."""
        return min(self.own[-1].bits, self.sent)

    @property
    def most(self) -> float:
        """What passed the line at most: the sender's last bits come after the receiver's last mark."""
        return max(self.own[-1].bits, self.sent)

    @property
    def end(self) -> float:
        """The time of the last mark."""
        return self.start + self.own[-1].seconds

    @property
    def over(self) -> float:
        """When all of it has passed the line."""
        return self.end + UNDER_WAY_SECONDS


class During(msgspec.Struct, frozen=True):
    """Bits that a counter moved from before a test until after it, and that users would have moved meanwhile
    as they did outside of it.
    """

    bits: float
    users: float
    readings: Sequence[Reading]

    def is_of(self, test: Moved) -> bool:
        """Whether it was the test, with users who waver beside it, and could not have been users alone."""
        beyond = self.bits - self.users
        unsure = (1 - COUNTS_FROM_SHARE) * test.bits + WAVERING_SHARE * self.users
        hidden = self.users > MOST_USERS_SHARE * test.bits
        return not hidden and test.bits - unsure <= beyond <= test.most + unsure


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

    def __init__(self, site: Site, direction: str, asked: str | None) -> None:
        """``asked``: the only line for which the test is to count; None: whichever the router chooses."""
        self._site = site
        self._asked = asked
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

    def seen(self, test: Moved, run: Run) -> Seen:
        """Of that test: what was still under way passed the line after the last mark. Waits until a counter
        has shown all of it and what users moved beside it, or will not, at most as long as the run lasts.
        """
        most = test.over + 2 * SETTLE_SECONDS + OUTSIDE_SECONDS
        deadline = min(most, time.monotonic() + run.remaining_seconds())
        while self._thread.is_alive() and time.monotonic() < deadline and not self._is_settled(test):
            if not run.wait(POLL_SECONDS):
                break
        return judged(self._kept(), self._side, test, asked=self._asked, why=self._why)

    def _kept(self) -> dict[str, list[Reading]]:
        """The readings so far; the thread goes on beside whoever looks at them."""
        return {line: list(each) for line, each in self._readings.items()}

    def _is_settled(self, test: Moved) -> bool:
        """Whether nothing more is to come: every line that moved told all, and one of them is the test's or
        each device has shown what it had.
        """
        kept = self._kept().values()
        moving = [each for each in kept if most_share(each, self._side, test) >= MOVING_SHARE]
        told = [during(each, self._side, test) for each in moving]
        found = any(each is not None and each.is_of(test) for each in told)
        return None not in told and (found or time.monotonic() > test.over + SETTLE_SECONDS)

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
            while not self._stop.is_set():
                await self._read(session, ports)
                await asyncio.sleep(POLL_SECONDS)

    async def _found(self, session: Session, targets: Sequence[Target]) -> dict[Oid, Target]:
        from agent.snmp.ifmib import DESCRIPTIONS, text_of  # noqa: PLC0415

        column = DESCRIPTIONS["name"]
        names = (await session.columns([column], MOST_PORTS))[column]
        wanted = {each.port: each for each in targets}
        return {
            index: wanted[name] for index, value in names.items() if (name := text_of(value, 64)) in wanted
        }

    async def _read(self, session: Session, ports: dict[Oid, Target]) -> None:
        """Note what is new. When the values were asked for they may still have been old."""
        from agent.snmp.ifmib import COLUMNS, NARROW, READINGS, read_ports  # noqa: PLC0415

        wanted = {name: COLUMNS[name] for name in (*READINGS, *NARROW, "kind", "name")}
        asked = time.monotonic()
        for index, target in ports.items():
            values = await session.get([(*column, *index) for column in wanted.values()])
            row = {
                name: values[(*column, *index)]
                for name, column in wanted.items()
                if (*column, *index) in values
            }
            for port in read_ports({index: row}).values():
                self._note(target.line, port, asked)
        self._ready.set()

    def _note(self, line: str, port: PortReading, asked: float) -> None:
        kept = self._readings[line]
        if kept and kept[-1].port.octets[self._side] == port.octets[self._side]:
            kept[-1] = msgspec.structs.replace(kept[-1], until=asked)
        else:
            old = kept[-1].until if kept else asked - SETTLE_SECONDS
            kept.append(Reading(old, time.monotonic(), asked, port))


def refresh_seconds(readings: Sequence[Reading], test: Moved) -> float:
    """At least how often the counter is refreshed: while a load goes on each refresh shows something new. A
    counter that showed too little to tell is taken for the slowest. Pure.
    """
    changes = [each for each in readings[1:] if each.at >= test.start]
    loaded = sum(each.old < test.end for each in changes)
    gaps = [after.at - before.at for before, after in itertools.pairwise(changes[: max(3, loaded)])]
    return min(SETTLE_SECONDS, max(gaps) + 2 * POLL_SECONDS) if len(gaps) >= 2 else SETTLE_SECONDS


def moved_bits(readings: Sequence[Reading], side: str) -> float | None:
    """Bits at the IP layer between the first and the last reading; None when the counter does not tell."""
    from agent.snmp.ifmib import Poll, step  # noqa: PLC0415

    if not readings:
        return None
    first, last = readings[0], readings[-1]
    if first is last:
        return 0.0
    name = first.port.name
    before, after = (
        Poll(round(each.old * 1e9), round(each.at * 1e9), None, {name: each.port}) for each in (first, last)
    )
    moved = step(before, after, name)
    if moved is None:
        return None
    return 8.0 * moved.ip_bytes.get(side, moved.counters[f"{side}_bytes"])


def most_share(readings: Sequence[Reading], side: str, test: Moved) -> float:
    """The part of the test that a counter can have moved, by all that it has shown since. Pure."""
    before = sum(each.at <= test.start for each in readings)
    bits = moved_bits(readings[max(0, before - 1) :], side)
    return (bits or 0.0) / test.bits if test.bits else 0.0


def during(readings: Sequence[Reading], side: str, test: Moved) -> During | None:
    """What a counter moved during the test; None while, or where, it did not show that and, for some time
    after it, what users moved alone. Pure.
    """
    refresh = refresh_seconds(readings, test)
    before = [each for each in readings if each.at <= test.start]
    after = [each for each in readings if each.after(refresh) >= test.over]
    if not before or not after:
        return None
    shown = readings[len(before) - 1 : len(readings) - len(after) + 1]
    began = min(shown[0].after(refresh), test.start)
    ended = max(shown[-1].at, test.over)
    # a step before is of one refresh at least, however soon after the first reading it came
    seconds_before = max(before[-1].at - before[0].at, refresh)
    seconds_after = max(after[-1].at, after[-1].after(refresh)) - ended
    moved, earlier, later = (moved_bits(each, side) for each in (shown, before, after))
    if moved is None or earlier is None or later is None or seconds_after < OUTSIDE_SECONDS:
        return None
    users = max(earlier / seconds_before, later / seconds_after)
    return During(moved, users * (ended - began), shown)


def judged(
    readings: dict[str, list[Reading]], side: str, test: Moved, *, asked: str | None, why: str
) -> Seen:
    """The one line whose counter moved by at least 90 % of the test, and the users beside it. Pure."""
    if not any(readings.values()) or not test.bits:
        return Seen(Way(why=SILENT.format(why=why) if readings else IN_LAN))
    found = {line: during(each, side, test) for line, each in readings.items()}
    fitting = {line: each for line, each in found.items() if each is not None and each.is_of(test)}
    if len(fitting) > 1:
        return Seen(Way(why=SEVERAL.format(lines=_listed(fitting))))
    if not fitting:
        return Seen(Way(why=_why_none(readings, found, side, test)))
    ((line, seen),) = fitting.items()
    if asked not in (None, line):
        return Seen(Way(why=OTHER_LINE.format(line=line, asked=asked)))
    return Seen(Way(line=line), seen.bits / test.bits, *_users(seen, side, test))


def _why_none(
    readings: dict[str, list[Reading]], found: dict[str, During | None], side: str, test: Moved
) -> str:
    shares = {
        line: most_share(readings[line], side, test) if seen is None else seen.bits / test.bits
        for line, seen in found.items()
    }
    moving = {line: found[line] for line, share in shares.items() if share >= COUNTS_FROM_SHARE}
    if not moving:
        return NOT_SEEN.format(share=max(shares.values()))
    if silent := [line for line, seen in moving.items() if seen is None]:
        return NOT_SHOWN.format(lines=_listed(silent))
    return NOT_APART.format(
        lines=_listed(
            f"{line} moved {seen.bits / test.bits:.0%} of it, users alone would {seen.users / test.bits:.0%}"
            for line, seen in moving.items()
            if seen is not None
        )
    )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _users(seen: During, side: str, test: Moved) -> tuple[float, float]:
    """See users_beside; what is little beside the test is not told from it."""
    within = [each for each in seen.readings if test.start <= each.old and each.at <= test.end]
    bits = moved_bits(within, side)
    steps: list[Step] = []
    if bits is not None and seen.bits - test.most > QUIET_SHARE * test.bits:
        steps = [
            Step(each.old - test.start, each.at - test.start, moved)
            for each, moved in ((within[0], 0.0), (within[-1], bits))
        ]
    return users_beside(steps, test.own, seen.bits, test.sent)
