"""A batch of points on its way through the collector: parsed, checked, and owned by one agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from config.points import FieldValue, Point


class Series(msgspec.Struct, frozen=True, array_like=True):
    """One series: its measurement and tags, ``school`` and ``agent`` among them.

    ``other`` is True for a measurement that config/measurements.yaml does not declare.
    """

    measurement: str
    tags: dict[str, str]
    other: bool = False


Row: TypeAlias = tuple[int, int, dict[str, FieldValue]]
"""Index into ``Batch.series``, nanoseconds since 1970 UTC, fields."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What one request brought. ``moved_ns`` was added to every time because the agent's clock was off."""

    school_id: str
    agent_id: str
    received_ns: int
    series: list[Series]
    rows: list[Row]
    moved_ns: int = 0

    def points(self) -> Iterator[Point]:
        """The points, each with the tags of its series."""
        for index, time_ns, fields in self.rows:
            series = self.series[index]
            yield Point(series.measurement, series.tags, fields, time_ns)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """A batch as MessagePack."""
    return _encoder.encode(batch)


def decode_batch(data: bytes | memoryview) -> Batch:
    """The reverse of encode_batch. Raises msgspec.DecodeError for what is no batch."""
    return _decoder.decode(data)
