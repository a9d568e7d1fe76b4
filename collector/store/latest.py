"""The newest point of each series, held in memory: every page begins with it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from collector.batch import Batch
from collector.store.interface import Latest


class Newest(NamedTuple):
    """The newest point of one series among some that are being written."""

    time_ns: int
    names: tuple[str, ...]
    values: Sequence[Any]

    def joined(self, other: Newest) -> Newest:
        """The later of two; both points' fields when they are the same point, ``other``'s going before."""
        if other.time_ns != self.time_ns:
            return max(self, other, key=lambda each: each.time_ns)
        fields = self.fields() | other.fields()
        return Newest(self.time_ns, tuple(fields), list(fields.values()))

    def fields(self) -> dict[str, Any]:
        """Values by name."""
        return dict(zip(self.names, self.values, strict=True))


class LatestPoints:
    """Newest points by series number. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._schools: dict[str, dict[int, Latest]] = {}
        self._changed: dict[int, Latest] = {}

    def put(self, number: int, point: Latest) -> None:
        """Take a point when it is not older than what is known of its series."""
        with self._lock:
            of_school = self._schools.setdefault(point.school_id, {})
            known = of_school.get(number)
            if known is not None and known.time_ns > point.time_ns:
                return
            if known is not None and known.time_ns == point.time_ns:
                point = Latest(
                    point.school_id, point.measurement, point.tags, point.time_ns, known.fields | point.fields
                )
            of_school[number] = self._changed[number] = point

    def put_batch(self, batch: Batch, numbers: Sequence[int]) -> None:
        """Take the newest points of a batch; ``numbers`` are those of its series."""
        for place, newest in newest_of(batch).items():
            series = batch.series[place]
            self.put(
                numbers[place],
                Latest(batch.school_id, series.measurement, series.tags, newest.time_ns, newest.fields()),
            )

    def forget(self, numbers: Iterable[int]) -> None:
        """Series that are gone."""
        gone = set(numbers)
        with self._lock:
            for number in gone:
                self._changed.pop(number, None)
            for of_school in self._schools.values():
                for number in gone & of_school.keys():
                    del of_school[number]

    def take_changed(self) -> dict[int, Latest]:
        """What changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, {}
            return changed

    def put_back(self, changed: Mapping[int, Latest]) -> None:
        """Changes that could not be written: give them again."""
        with self._lock:
            self._changed = {**changed, **self._changed}

    def all(self, school_id: str | None, measurement: str | None) -> list[Latest]:
        """By school, measurement and tags."""
        with self._lock:
            schools = [school_id] if school_id is not None else sorted(self._schools)
            return [
                point
                for school in schools
                for point in self._schools.get(school, {}).values()
                if measurement is None or point.measurement == measurement
            ]


def newest_of(batch: Batch) -> dict[int, Newest]:
    """The newest point of each series of a batch, by the series' index in it."""
    found: dict[int, Newest] = {}
    for group in batch.groups:
        times = group.times_ns
        by_time = sorted(range(len(times)), key=times.__getitem__)
        newest = dict(zip(map(group.places.__getitem__, by_time), by_time, strict=True))  # the last one stays
        for place, at in newest.items():
            point = Newest(times[at], group.fields, [column[at] for column in group.columns])
            found[place] = found[place].joined(point) if place in found else point
    return found
