"""Who advertises on a LAN, from all that is heard: a bounded book without I/O, for the probe that listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from agent.ipv6.advertisement import Advertisement, Malformed, parse

MOST_SENDERS = 64
"""Of one interface; a sender that makes up MACs fills no memory, and no incident but one."""
OTHERS = "others"
AGAIN_SECONDS = 3600.0
CHANGE_SECONDS = 60.0
"""A sender that changes what it says with every packet is told of once a minute."""


class Sender(NamedTuple):
    """A sender on an interface, by the MAC of its frames."""

    interface: str
    mac: str


class News(msgspec.Struct, frozen=True):
    """What is to be told of a sender: ``heard`` and ``malformed`` count since it was last told of."""

    sender: Sender
    expected: bool
    advertisement: Advertisement | None
    heard: int
    malformed: int


class _Known(msgspec.Struct):
    expected: bool
    advertisement: Advertisement | None = None
    told: tuple[object, ...] | None = None
    told_seconds: float = 0.0
    heard_seconds: float = 0.0
    heard: int = 0
    malformed: int = 0


Expected = Callable[[Sender, Advertisement], bool]


class Listener:
    """Takes packets, gives news; times are seconds of a monotonic clock."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._known: dict[Sender, _Known] = {}

    def take(self, interface: str, mac: str, packet: bytes, now_seconds: float) -> None:
        """One packet that the filter let through."""
        try:
            advertisement = parse(packet)
        except Malformed:
            known = self._of(Sender(interface, mac))
            known.malformed += 1
            known.heard_seconds = now_seconds
            return
        if advertisement is None:
            return
        known = self._of(Sender(interface, mac))
        known.heard += 1
        known.heard_seconds = now_seconds
        known.advertisement = advertisement
        known.expected = self._expected(Sender(interface, mac), advertisement)

    def count_dropped(self, interface: str, packets: int) -> None:
        """Packets that the buffer had no room for: of whom they were nobody knows."""
        if packets:
            self._of(Sender(interface, OTHERS)).heard += packets

    def news(self, now_seconds: float) -> list[News]:
        """Senders that are new, changed, or were last told of an hour ago."""
        return list(self._news(now_seconds))

    def rogue_since(self) -> list[tuple[Sender, Advertisement]]:
        """Senders that advertise, are not expected and have not been forgotten."""
        return [
            (sender, known.advertisement)
            for sender, known in self._known.items()
            if not known.expected and known.advertisement is not None
        ]

    def forget_silent(self, now_seconds: float, after_seconds: float) -> None:
        """Forget senders that have said nothing for so long."""
        silent = [
            sender
            for sender, known in self._known.items()
            if now_seconds - known.heard_seconds > after_seconds
        ]
        for sender in silent:
            del self._known[sender]

    def _of(self, sender: Sender) -> _Known:
        if sender not in self._known:
            here = sum(each.interface == sender.interface for each in self._known)
            if here >= MOST_SENDERS:
                sender = Sender(sender.interface, OTHERS)
        return self._known.setdefault(sender, _Known(expected=sender.mac == OTHERS))

    def _news(self, now: float) -> Iterator[News]:
        for sender, known in self._known.items():
            if not known.heard and not known.malformed:
                continue
            says = _says(known)
            pause = AGAIN_SECONDS if says == known.told else CHANGE_SECONDS
            if known.told is None or now - known.told_seconds >= pause:
                yield News(sender, known.expected, known.advertisement, known.heard, known.malformed)
                known.told, known.told_seconds, known.heard, known.malformed = says, now, 0, 0


def _says(known: _Known) -> tuple[object, ...]:
    said = known.advertisement
    if said is None:
        return (known.expected,)
    return known.expected, said.router, said.lifetime_seconds, said.prefixes, said.rdnss
