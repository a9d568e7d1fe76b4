"""The evidence book of a school: what can still matter for a verdict, bounded, in whatever order it comes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from config.evidence import Evidence, EvidenceKind

TESTS_KEPT = 16
"""Capacity tests kept of a kind on one line and direction; a verdict needs the last few."""
SHOWN_KEPT = 2
"""The same of tests that are shown and never judge."""
SERIES_KEPT = 2048
"""Kinds of evidence times lines, ports and devices of one school; a client may invent no more of them."""

_PEAKS = frozenset({EvidenceKind.PASSIVE_PEAK, EvidenceKind.PLATEAU})
_TESTS = frozenset(
    {
        EvidenceKind.SEARCH, EvidenceKind.SEARCH_LIMITED,
        EvidenceKind.VERIFY_PASSED, EvidenceKind.VERIFY_FAILED, EvidenceKind.TERMINAL_TEST,
    }
)  # fmt: skip
_STALE_AFTER = timedelta(minutes=15)
_WORTH_WRITING = 1.01


class Series(NamedTuple):
    """What evidence is of: only evidence of one series replaces another."""

    kind: EvidenceKind
    about: str
    subject: str
    direction: str
    judges: bool


class Key(NamedTuple):
    """One place in the book: a series, and the day, test or fact in it."""

    series: Series
    slot: str


class Change(NamedTuple):
    """What adding evidence did: places to write, places to drop. ``placed``: the book says another thing than
    before, so that the school is to be judged, though there may be nothing to write.
    """

    put: dict[Key, Evidence]
    dropped: set[Key]
    placed: bool = False

    def __bool__(self) -> bool:
        return bool(self.put or self.dropped)

    def followed_by(self, later: Change) -> Change:
        """Both as one."""
        put = {key: new for key, new in self.put.items() if key not in later.dropped} | later.put
        return Change(put, (self.dropped | later.dropped) - put.keys(), self.placed or later.placed)


class Book:
    """The evidence of one school.

    Peaks: the greatest of a day, cut at each test that bounds the line from above, so that a peak before and
    one after it are both known; a peak that is newer and no smaller makes an older one needless. Tests: the
    newest few. What has only a present (a port's speed, what was observed): the latest.
    """

    def __init__(self, zone: ZoneInfo, kept: Iterable[Evidence] = ()) -> None:
        self._zone = zone
        self._places: dict[Series, dict[str, Evidence]] = {}
        self._written: dict[Key, Evidence] = {}
        for evidence in sorted(kept, key=lambda one: one.at):
            self.merge(evidence)

    def evidence(self) -> list[Evidence]:
        """All that is kept, the newest first."""
        found = [evidence for places in self._places.values() for evidence in places.values()]
        return sorted(found, key=lambda evidence: evidence.at, reverse=True)

    def merge(self, evidence: Evidence) -> bool:
        """Take evidence that is written already. True when it was not known here."""
        if self._holds(evidence):
            return False
        put = self._place(evidence).put
        self._written.update(put)
        return bool(put)

    def add(self, evidence: Iterable[Evidence]) -> Change:
        """Take new evidence; gives what of it is worth writing down.

        Not worth it: a peak less than 1 % above the written one, a latest value that did not change within a
        quarter of an hour. Those still count here.
        """
        change = Change({}, set())
        placed = False
        for one in evidence:
            step = self._place(one)
            placed = placed or step.placed
            change.put.update((key, new) for key, new in step.put.items() if self._is_worth_writing(key, new))
            for key in step.dropped:
                change.put.pop(key, None)
            change.dropped.update(key for key in step.dropped if self._written.pop(key, None) is not None)
        self._written.update(change.put)
        change.dropped.difference_update(change.put)
        return change._replace(placed=placed)

    def unwritten(self) -> Change:
        """What counts here and was not worth writing, now to be written: an answer rests on it."""
        put = {
            Key(series, slot): evidence
            for series, places in self._places.items()
            for slot, evidence in places.items()
            if self._written.get(Key(series, slot)) != evidence
        }
        self._written.update(put)
        return Change(put, set())

    def drop_before(self, oldest: datetime) -> Change:
        """Forget evidence measured before a time, whenever it was written; gives what of it is written."""
        gone = {
            Key(series, slot)
            for series, places in self._places.items()
            for slot, evidence in places.items()
            if evidence.at < oldest
        }
        self._remove(gone)
        return Change({}, {key for key in gone if self._written.pop(key, None) is not None})

    def _place(self, evidence: Evidence) -> Change:
        series = _series_of(evidence)
        places = self._places.get(series)
        if places is None:
            if len(self._places) >= SERIES_KEPT:
                return Change({}, set())
            places = self._places.setdefault(series, {})
        slot = self._slot_of(evidence, series)
        held = places.get(slot)
        if held is not None and strength(evidence) < strength(held):
            return Change({}, set())
        places[slot] = evidence
        dropped = {Key(series, needless) for needless in _needless(series, places)}
        self._remove(dropped)
        put = {} if Key(series, slot) in dropped else {Key(series, slot): evidence}
        return Change(put, dropped, placed=bool(put) and not (held and _says_the_same(held, evidence)))

    def _holds(self, evidence: Evidence) -> bool:
        return evidence in self._places.get(_series_of(evidence), {}).values()

    def _remove(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._places[key.series].pop(key.slot, None)

    def _slot_of(self, evidence: Evidence, series: Series) -> str:
        if evidence.kind in _PEAKS:
            cut = self._last_upper_bound(evidence, series)
            day = evidence.at.astimezone(self._zone).date().isoformat()
            return f"{day} {cut:%H%M%S}" if cut else day
        if evidence.kind in _TESTS:
            return str(round(evidence.at.timestamp()))
        return type(evidence.observed).__name__

    def _last_upper_bound(self, evidence: Evidence, series: Series) -> datetime | None:
        day = evidence.at.astimezone(self._zone).date()
        times = (
            test.at.astimezone(self._zone)
            for kind in _TESTS
            for test in self._places.get(series._replace(kind=kind), {}).values()
            if test.upper_bits_per_second is not None and test.at <= evidence.at
        )
        return max((time for time in times if time.date() == day), default=None)

    def _is_worth_writing(self, key: Key, new: Evidence) -> bool:
        written = self._written.get(key)
        if written is None or new.kind in _TESTS:
            return True
        if new.kind in _PEAKS:
            return (new.lower_bits_per_second or 0) >= (written.lower_bits_per_second or 0) * _WORTH_WRITING
        return not _says_the_same(written, new)


def _series_of(evidence: Evidence) -> Series:
    return Series(evidence.kind, evidence.about, evidence.subject, evidence.direction, evidence.judges)


def _says_the_same(old: Evidence, new: Evidence) -> bool:
    """A present that only went on: the same value, a short while later."""
    if new.kind in _PEAKS or new.kind in _TESTS or new.at - old.at >= _STALE_AFTER:
        return False
    return msgspec.structs.replace(old, at=new.at) == new


def strength(evidence: Evidence) -> int:
    """What decides between two of one place: the rate of a peak, otherwise the time in ms since 1970."""
    if evidence.kind in _PEAKS:
        return evidence.lower_bits_per_second or 0
    return round(evidence.at.timestamp() * 1000)


def _needless(series: Series, places: dict[str, Evidence]) -> list[str]:
    if series.kind in _PEAKS:
        return _beaten(places)
    if series.kind in _TESTS:
        kept = TESTS_KEPT if series.judges or series.about == "terminal" else SHOWN_KEPT
        return sorted(places, key=lambda slot: places[slot].at)[:-kept]
    return []


def _beaten(places: dict[str, Evidence]) -> list[str]:
    """The peaks for which a newer one is no smaller: it proves as much, for longer."""
    beaten = []
    greatest = -1
    for slot in sorted(places, key=lambda slot: places[slot].at, reverse=True):
        rate = places[slot].lower_bits_per_second or 0
        if rate <= greatest:
            beaten.append(slot)
        greatest = max(greatest, rate)
    return beaten
