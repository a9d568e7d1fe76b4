"""A batch of points on its way through the collector: parsed, checked, and owned by one agent.

Points of one measurement with the same fields stand together, as rows of plain values: so they are written to
disk, read again and handed to a store without being taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

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


class Group(msgspec.Struct, frozen=True, array_like=True):
    """Points of one measurement that have the same fields.

    A row is a value for each of ``fields``, then the time in nanoseconds since 1970 UTC, then the index into
    ``Batch.series``.
    """

    measurement: str
    fields: tuple[str, ...]
    other: bool
    rows: list[list[Any]]


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What one request brought. ``moved_ns`` was added to every time because the agent's clock was off."""

    school_id: str
    agent_id: str
    received_ns: int
    series: list[Series]
    groups: list[Group]
    moved_ns: int = 0

    def __len__(self) -> int:
        """How many points."""
        return sum(len(group.rows) for group in self.groups)

    def points(self, measurements: frozenset[str] | None = None) -> Iterator[Point]:
        """The points, each with the tags of its series; of all measurements or of those named."""
        for group in self.groups:
            if measurements is None or group.measurement in measurements:
                for *values, time_ns, place in group.rows:
                    fields = dict(zip(group.fields, values, strict=True))
                    yield Point(group.measurement, self.series[place].tags, fields, time_ns)


def batch_of(
    school_id: str,
    agent_id: str,
    received_ns: int,
    series: list[Series],
    rows: Iterable[Row],
) -> Batch:
    """A batch of single points."""
    groups: dict[tuple[str, tuple[str, ...], bool], list[list[Any]]] = {}
    for place, time_ns, fields in rows:
        shape = (series[place].measurement, tuple(fields), series[place].other)
        groups.setdefault(shape, []).append([*fields.values(), time_ns, place])
    return Batch(
        school_id, agent_id, received_ns, series, [Group(*shape, some) for shape, some in groups.items()]
    )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """A batch as MessagePack."""
    return _encoder.encode(batch)


def decode_batch(data: bytes | memoryview) -> Batch:
    """The reverse of encode_batch. Raises msgspec.DecodeError for what is no batch."""
    return _decoder.decode(data)
