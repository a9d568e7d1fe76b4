"""The store in InfluxDB 1.8 or 2.x: raw points in one bucket, windows made by us in three more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from collector.batch import Batch
from collector.settings import InfluxSettings
from collector.store import histograms, tables, windows
from collector.store.influxdb import reading
from collector.store.influxdb.buckets import Buckets, make_buckets
from collector.store.influxdb.connection import Connection
from collector.store.influxdb.lines import Lines
from collector.store.influxdb.queries import InfluxQueries
from collector.store.influxdb.reading import Reading, conditions_of
from collector.store.influxdb.secret import Secret
from collector.store.influxdb.turns import Turns
from collector.store.influxdb.waiting import FEW_SCHOOLS, WaitingWindows, Windows
from collector.store.interface import (
    NS,
    WINDOW_SECONDS,
    PointsRefused,
    StoredWindow,
    StoreUnavailable,
)
from collector.store.upkeep import Retention
from config.measurements import Measurement, Schema, schema
from config.points import encode

log = logging.getLogger(__name__)

ROUNDS = 12
"""Windows are made in one round of so many: InfluxDB is asked for a whole county at once."""


class InfluxStore(InfluxQueries):
    """A ``Store`` in InfluxDB. Opening it sends nothing: an InfluxDB that is away is waited for."""

    def __init__(
        self,
        settings: InfluxSettings,
        token: Secret,
        waiting_file: Path,
        *,
        retention: Retention,
        day_offset_seconds: float = 0.0,
        measurements: Schema | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._retention = retention
        self._org = settings.org
        self.connection = Connection(settings, token)
        super().__init__(
            Reading(self.connection),
            Buckets(settings.bucket, retention),
            schema() if measurements is None else measurements,
            day_offset_ns=round(day_offset_seconds * NS),
        )
        self._lines = Lines(self._schema)
        self._waiting = WaitingWindows(waiting_file)
        self._turns = turns or Turns()
        self._lock = threading.Lock()
        self._ready = False
        self._closed = False
        self._rounds = 0
        self._folding: list[int] = []

    def write(self, batches: Sequence[Batch]) -> None:
        """See Store.write."""
        with self._lock:
            self._prepare()
            self._waiting.put(self._windows_of(batches))
            try:
                self.connection.write_each(
                    (bucket, (line for batch in batches for line in self._lines.of(batch, other=other)))
                    for bucket, other in ((self.buckets.raw, False), (self.buckets.others, True))
                )
            except StoreUnavailable:
                self._ready = False  # it may be another server that comes back, or lack its buckets
                raise

    def put_windows(self, seconds: int, measurement: str, windows: Sequence[StoredWindow]) -> None:
        """See Store.put_windows."""
        with self._lock:
            self._prepare()
            self._put_windows(seconds, measurement, windows)

    def maintain(self, now_ns: int) -> bool:
        """See Store.maintain; InfluxDB drops by itself what is old. False too when another collector makes
        windows of the same kind for longer than a turn is waited for.
        """
        with self._lock:
            self._prepare()
            if not self._folding:
                self._folding = list(WINDOW_SECONDS) if self._rounds % ROUNDS == 0 else []
                self._rounds += 1
            while self._folding:
                waiting = self._waiting.newest(self._folding[0])
                if waiting is not None:
                    return self._fold_in_turn(waiting, now_ns)
                del self._folding[0]
            return False

    def close(self) -> None:
        """See Store.close."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self.connection.close()
                self._waiting.close()

    def _prepare(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not self._ready:
            make_buckets(self.connection, self.buckets, self._org)
            self._ready = True

    def _windows_of(self, batches: Sequence[Batch]) -> set[tuple[int, int, str, str]]:
        shortest = WINDOW_SECONDS[0]
        step = shortest * NS
        return {
            (shortest, time_ns, group.measurement, batch.school_id)
            for batch in batches
            for group in batch.groups
            if not group.other
            for time_ns in {time_ns // step * step for time_ns in group.times_ns}
        }

    def _fold_in_turn(self, waiting: Windows, now_ns: int) -> bool:
        """They wait no more when the turn has ended well: nobody else wrote any of them meanwhile."""
        with self._turns.take(f"{waiting.seconds} {waiting.measurement}") as ours:
            if ours:
                self._fold(waiting, now_ns)
        if ours:
            self._waiting.done(waiting)
        return ours

    def _fold(self, waiting: Windows, now_ns: int) -> None:
        """Make windows again from stored points; the longer ones they lie in must be made again then."""
        seconds, measurement = waiting.seconds, waiting.measurement
        declared = self._schema.get(measurement)
        kept = self._retention[1 + WINDOW_SECONDS.index(seconds)]
        if declared is not None and waiting.end_ns > now_ns - round(kept * NS):
            try:
                self._put_windows(seconds, measurement, self._made(waiting, declared))
            except PointsRefused as refusal:  # one that began before what is kept: the others landed
                log.warning("windows refused measurement=%s reason=%s", measurement, refusal)
            if seconds == WINDOW_SECONDS[0]:
                longer = {
                    (each, windows.start_of(start_ns, each, self._day_offset_ns), measurement, school)
                    for each in WINDOW_SECONDS[1:]
                    for start_ns, school in waiting.places
                }
                self._waiting.put(longer)

    def _made(self, waiting: Windows, declared: Measurement) -> list[StoredWindow]:
        """Those that wait; what else was read is for the collector that took its points."""
        seconds, measurement, offset_ns = waiting.seconds, waiting.measurement, self._day_offset_ns
        named = waiting.schools if len(waiting.schools) <= FEW_SCHOOLS else []
        conditions = conditions_of(waiting.start_ns, waiting.end_ns, named)
        if seconds == WINDOW_SECONDS[0]:
            names = [*tables.numeric_fields(declared), *histograms.rate_histograms(declared)]
            found = self._reading.points(self.buckets.raw, measurement, declared, names, conditions)
            made = [windows.of_points(declared, each.tags, each.points, seconds, offset_ns) for each in found]
        else:
            stored = self._stored(WINDOW_SECONDS[0], measurement, conditions)
            made = [windows.of_windows(declared, some, seconds, offset_ns) for some in stored]
        places = set(waiting.places)
        return [each for some in made for each in some if (each.start_ns, each.tags["school"]) in places]

    def _put_windows(self, seconds: int, measurement: str, found: Sequence[StoredWindow]) -> None:
        lines = (encode(reading.window_point(measurement, window)) for window in found if window.fields)
        self.connection.write(self.buckets.windows[seconds], lines)
