"""Windows of probes, and which reply answers which probe. Pure: it is told every time and every packet."""

from __future__ import annotations

import ipaddress
import random
import secrets
from collections.abc import Callable, Sequence

import msgspec

from agent.network.icmp import Family, Reply
from agent.network.rtt import round_trip_ns, summary
from config.points import FieldValue

Send = Callable[["Aim", int, bytes], bool]
"""Sends one probe; False when there is no way to the target. Raises OSError when this host refused."""


class Aim(msgspec.Struct, frozen=True):
    """One address to probe, by which interface, and where it lies: ``next_hop``, ``centre``, ``outside``."""

    target: str
    family: Family
    address: str
    line: str | None = None
    interface: str | None = None
    place: str = "outside"


class Probe(msgspec.Struct, frozen=True):
    """One probe on its way."""

    window: Window
    aim: Aim
    payload: bytes
    sent_ns: int


class Tally(msgspec.Struct):
    """What became of the probes of one aim in one window."""

    answered_ns: list[int] = []
    lost: int = 0
    unsent: int = 0

    def fields(self) -> dict[str, FieldValue]:
        return summary(self.answered_ns, self.lost, self.unsent)


class Window:
    """Probes of all aims at random times between two moments of the monotonic clock."""

    def __init__(self, start_ns: int, end_ns: int, aims: Sequence[Aim], probes: int) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.tallies = {aim: Tally() for aim in aims}
        self.open = 0
        random_times = random.SystemRandom()
        planned = [(random_times.randrange(start_ns, end_ns), aim) for aim in aims for _ in range(probes)]
        self._planned = sorted(planned, key=lambda each: each[0], reverse=True)

    @property
    def next_ns(self) -> int | None:
        """When the next probe is due."""
        return self._planned[-1][0] if self._planned else None

    def due(self, now_ns: int) -> list[Aim]:
        """The aims whose time has come."""
        aims = []
        while self._planned and self._planned[-1][0] <= now_ns:
            aims.append(self._planned.pop()[1])
        return aims

    def is_over(self, now_ns: int) -> bool:
        """True once its time has passed and nothing is waited for any more."""
        return now_ns >= self.end_ns and not self.open


class Flight:
    """The probes on their way, by sequence number.

    A reply counts when its whole payload is what was sent (the random token above all), its source is the
    address probed, and its probe still waits: nothing that a reply says is used for anything else.
    """

    def __init__(self, wait_ns: int) -> None:
        self._wait_ns = wait_ns
        self._probes: dict[int, Probe] = {}
        self._sequence = secrets.randbelow(2**16)

    @property
    def next_ns(self) -> int | None:
        """When the wait of the oldest probe ends."""
        oldest = next(iter(self._probes.values()), None)
        return None if oldest is None else oldest.sent_ns + self._wait_ns

    def launch(self, window: Window, aim: Aim, payload: bytes, now_ns: int, send: Send) -> None:
        """Send one probe and wait for it."""
        sequence = self._sequence = (self._sequence + 1) % 2**16
        self._forget(sequence)
        try:
            on_its_way = send(aim, sequence, payload)
        except OSError:
            window.tallies[aim].unsent += 1
            return
        if not on_its_way:
            window.tallies[aim].lost += 1
            return
        window.open += 1
        self._probes[sequence] = Probe(window, aim, payload, now_ns)

    def land(self, family: Family, reply: Reply, read_ns: int, read_wall_ns: int) -> None:
        """One reply came in; a stranger's, a late one and a second one change nothing."""
        probe = self._probes.get(reply.sequence)
        if probe is None or probe.aim.family != family or not _answers(reply, probe):
            return
        took_ns = round_trip_ns(probe.sent_ns, read_ns, read_wall_ns, reply.kernel_wall_ns)
        if took_ns > self._wait_ns:
            return
        del self._probes[reply.sequence]
        probe.window.open -= 1
        probe.window.tallies[probe.aim].answered_ns.append(took_ns)

    def expire(self, now_ns: int) -> None:
        """Count as lost what was waited for long enough."""
        over = [seq for seq, probe in self._probes.items() if now_ns - probe.sent_ns > self._wait_ns]
        for sequence in over:
            probe = self._probes.pop(sequence)
            probe.window.open -= 1
            probe.window.tallies[probe.aim].lost += 1

    def abandon(self) -> None:
        """Stop waiting: what is still on its way counts neither as answered nor as lost."""
        for sequence in list(self._probes):
            self._forget(sequence)

    def _forget(self, sequence: int) -> None:
        probe = self._probes.pop(sequence, None)
        if probe is not None:
            probe.window.open -= 1


def _answers(reply: Reply, probe: Probe) -> bool:
    if not secrets.compare_digest(reply.payload, probe.payload):
        return False
    return _plain(reply.source) == _plain(probe.aim.address)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])
