"""What the rest of the collector asks of a store of points, whichever engine is behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from collector.batch import Batch
from config.points import FieldValue

NS = 10**9
WINDOW_SECONDS = (300, 3600, 86400)
"""Lengths of the windows that are kept."""


class StoreUnavailable(Exception):
    """The store cannot take or give points now (disk full, not reachable): try again later."""


class PointsRefused(ValueError):
    """The store will never take some of these points; it took the others. The text is its reason."""


class UnknownField(ValueError):
    """A measurement or a field that config/measurements.yaml does not declare."""


class Latest(msgspec.Struct, frozen=True):
    """The newest point of one series."""

    school_id: str
    measurement: str
    tags: dict[str, str]
    time_ns: int
    fields: dict[str, FieldValue]


class Aggregate(msgspec.Struct, frozen=True):
    """The values of one field in one window; never made for a window without values."""

    count: int
    sum: float
    min: float
    max: float

    @property
    def mean(self) -> float:
        """Sum by count, in the field's unit."""
        return self.sum / self.count


class Window(msgspec.Struct, frozen=True):
    """One window of a series; a field without values in it is absent."""

    start_ns: int
    fields: dict[str, Aggregate]


class SeriesWindows(msgspec.Struct, frozen=True):
    """One series in windows of ``resolution_seconds``, by time. Windows without points are absent, not
    zero."""

    tags: dict[str, str]
    resolution_seconds: int
    windows: list[Window]


class RawPoint(msgspec.Struct, frozen=True):
    """One point as it was measured."""

    time_ns: int
    fields: dict[str, FieldValue]


class SeriesPoints(msgspec.Struct, frozen=True):
    """One series, every point as it was measured, by time."""

    tags: dict[str, str]
    points: list[RawPoint]


class Peak(msgspec.Struct, frozen=True):
    """The greatest value of a field in one series. ``at_ns`` is exact within the raw retention, else
    the start
    of its 5-minute window."""

    tags: dict[str, str]
    value: float
    at_ns: int


class StoredWindow(msgspec.Struct, frozen=True):
    """One kept window of one series with all that it keeps; ``histograms`` count by bucket
    (config/histogram.py)."""

    tags: dict[str, str]
    start_ns: int
    fields: dict[str, Aggregate]
    histograms: Mapping[str, Mapping[int, int]] = {}


class SeriesHistogram(msgspec.Struct, frozen=True):
    """The counts of one series over a range, by bucket (config/histogram.py)."""

    tags: dict[str, str]
    counts: dict[int, int]


class OtherPoints(msgspec.Struct, frozen=True):
    """One series of a measurement that config/measurements.yaml does not declare, by time."""

    measurement: str
    tags: dict[str, str]
    points: list[RawPoint]


class Store(Protocol):
    """Points by school. Ranges are [start_ns, end_ns) in nanoseconds since 1970 UTC; all reads are safe from
    any thread. ``tags`` are equalities that a series must fit; ``school`` among a series' tags is its school.
    """

    def write(self, batches: Sequence[Batch]) -> None:
        """Keep points, durably when it returns. The same point twice is one point; its fields are joined.

        Raises StoreUnavailable, or PointsRefused when all but some are kept.
        """
        ...

    def maintain(self, now_ns: int) -> bool:
        """Do a bounded piece of what waits (windows, retention). True when more waits."""
        ...

    def latest(self, school_id: str | None = None, measurement: str | None = None) -> list[Latest]:
        """The newest point of each series, of one school or of all."""
        ...

    def distinct(
        self, school_id: str, measurement: str, tags: Mapping[str, str] | None = None
    ) -> list[dict[str, str]]:
        """The tags of every series that was ever written and is still kept."""
        ...

    def points(
        self,
        school_id: str,
        measurement: str,
        *,
        tags: Mapping[str, str] | None = None,
        fields: Sequence[str] | None = None,
        start_ns: int,
        end_ns: int,
    ) -> list[SeriesPoints]:
        """Raw points that hold any of the fields. Raises UnknownField."""
        ...

    def series(
        self,
        school_id: str,
        measurement: str,
        *,
        tags: Mapping[str, str] | None = None,
        fields: Sequence[str],
        start_ns: int,
        end_ns: int,
        resolution_seconds: int,
    ) -> list[SeriesWindows]:
        """Numeric fields in windows: of the kept ones when ``resolution_seconds`` is a multiple of
        theirs, else
        of raw points. Raises UnknownField.
        """
        ...

    def peaks(
        self,
        school_id: str,
        measurement: str,
        field: str,
        *,
        tags: Mapping[str, str] | None = None,
        start_ns: int,
        end_ns: int,
    ) -> list[Peak]:
        """The greatest value of a numeric field in each series that has one. Raises UnknownField."""
        ...

    def histograms(
        self,
        measurement: str,
        name: str,
        *,
        school_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        start_ns: int,
        end_ns: int,
    ) -> list[SeriesHistogram]:
        """The counts of a histogram, of one school or of all: «rx_histogram» of the 1 s rates,
        «rx_means_histogram» of the means of 5 minutes. From the kept windows of the whole days in the range,
        and from those of an hour before and behind them. Raises UnknownField.
        """
        ...

    def schools(self) -> list[str]:
        """Every school that has points."""
        ...

    def windows(
        self, seconds: int, school_id: str, measurement: str, *, start_ns: int, end_ns: int
    ) -> list[StoredWindow]:
        """Kept windows (``seconds`` is one of WINDOW_SECONDS) with all that they keep."""
        ...

    def others(self, school_id: str, *, start_ns: int, end_ns: int) -> list[OtherPoints]:
        """Raw points of undeclared measurements, as they were written."""
        ...

    def put_windows(self, seconds: int, measurement: str, windows: Sequence[StoredWindow]) -> None:
        """Keep windows that another store made. Raises StoreUnavailable."""
        ...

    def close(self) -> None:
        """Finish what runs and close. Idempotent."""
        ...
