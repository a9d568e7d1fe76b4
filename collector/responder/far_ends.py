"""The far ends that tests go to: which lies beyond a line, where it is reached, what its tests may take."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from collector.responder.denied import Denied
from collector.responder.settings import OtherSettings, ResponderSettings
from config.school import Line

Away = Callable[[], Denied | None]
"""Why the collector's own responder gets no ticket now; None while a test finds it."""


def never() -> None:
    """It runs on another machine: what it does there is not known here."""


class FarEnd(msgspec.Struct, frozen=True):
    """One of them. ``heard``: it tells this collector when a test begins and what it moved."""

    id: str
    host: str
    host_ipv6: str
    port: int
    county_line: int | None
    share: float
    at_once: int
    serves: bool
    heard: bool = False

    @property
    def most_rate(self) -> int | None:
        """What all its tests together may take of its line, bit/s; None where the line is not declared."""
        return None if self.county_line is None else round(self.county_line * self.share)

    def host_for(self, family: str, reached: str) -> str:
        """What an agent is told to connect to; ``reached``: the name by which it found the collector."""
        return (self.host_ipv6 if family == "ipv6" else "") or self.host or reached


class FarEnds:
    """A collector's own responder, and the others that its settings name."""

    def __init__(self, settings: ResponderSettings, away: Away = never) -> None:
        self._away = away
        self._own = _own(settings)
        self._all = {self._own.id: self._own} | {each.id: _other(each) for each in settings.others}
        self._serving = {each.id: each for each in self._all.values() if each.serves}

    def of(self, asked: str | None, line: Line | None, method: str = "tcp") -> FarEnd:
        """Where a test goes: to the one that is asked for, else to the first that the line names.

        A line that names none is tested to the collector's own. An iperf3 server that is not declared takes
        of the collector's own line. Raises Denied, also while the one where it goes is away.
        """
        if method == "iperf3":
            return self._all.get(asked or "", self._own)
        far_end = self._wanted(asked, line)
        if far_end.heard and (denied := self._away()) is not None:
            raise denied
        return far_end

    def _wanted(self, asked: str | None, line: Line | None) -> FarEnd:
        if asked is not None:
            return self._served(asked, f"there is no responder {asked!r}")
        if line is None or not line.responders:
            return self._own
        named = next((each for each in line.responders if each in self._serving), line.responders[0])
        return self._served(named, f"line {line.id} is tested to {', '.join(line.responders)}")

    def _served(self, wanted: str, otherwise: str) -> FarEnd:
        if wanted not in self._serving:
            raise Denied(409, f"{otherwise}; allowed: {', '.join(self._serving)}")
        return self._serving[wanted]


def _own(settings: ResponderSettings) -> FarEnd:
    slots = settings.slots
    return FarEnd(
        settings.id, settings.host, settings.host_ipv6, settings.port,
        slots.county_line, slots.share, slots.at_once, serves=True, heard=settings.enabled,
    )  # fmt: skip


def _other(settings: OtherSettings) -> FarEnd:
    return FarEnd(
        settings.id, settings.host, settings.host_ipv6, settings.port,
        settings.county_line, settings.share, settings.at_once, serves=bool(settings.host),
    )  # fmt: skip
