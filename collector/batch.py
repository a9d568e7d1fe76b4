"""A batch of points on its way through the collector: parsed, checked, and owned by one agent.

Points of one measurement with the same fields stand together, as columns of plain values: so they are written
to disk, read again and handed to a store without being taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
Shape: TypeAlias = tuple[str, tuple[str, ...], bool]
"""What the points of a group share: measurement, fields, whether it is an undeclared one."""


class Group(msgspec.Struct, frozen=True, array_like=True):
    """Points of one measurement that have the same fields.

    ``columns`` holds a list of values for each of ``fields``; ``times_ns`` are nanoseconds since 1970 UTC,
    ``places`` indexes into ``Batch.series``. All lists are of one length.
    """

    measurement: str
    fields: tuple[str, ...]
    other: bool
    columns: list[list[Any]]
    times_ns: list[int]
    places: list[int]

    def __len__(self) -> int:
        """How many points."""
        return len(self.times_ns)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The values of each point, in the order of ``fields``."""
        return zip(*self.columns, strict=True)


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
        return sum(map(len, self.groups))

    def points(self, of: Callable[[str, Mapping[str, str]], bool] | None = None) -> Iterator[Point]:
        """The points, each with the tags of its series; of every series, or of those that ``of`` wants by
        measurement and tags.
        """
        wanted = [of is None or of(series.measurement, series.tags) for series in self.series]
        for group in self.groups if any(wanted) else ():
            for values, time_ns, place in zip(group.rows(), group.times_ns, group.places, strict=True):
                if wanted[place]:
                    fields = dict(zip(group.fields, values, strict=True))
                    yield Point(group.measurement, self.series[place].tags, fields, time_ns)


def group_of(shape: Shape, rows: Sequence[Sequence[Any]]) -> Group:
    """Rows of values, each with its time and its place behind them, as one group."""
    *columns, times_ns, places = map(list, zip(*rows, strict=True))
    return Group(*shape, columns, times_ns, places)


def batch_of(
    school_id: str,
    agent_id: str,
    received_ns: int,
    series: list[Series],
    rows: Iterable[Row],
) -> Batch:
    """A batch of single points."""
    groups: dict[Shape, list[list[Any]]] = {}
    for place, time_ns, fields in rows:
        shape = (series[place].measurement, tuple(fields), series[place].other)
        groups.setdefault(shape, []).append([*fields.values(), time_ns, place])
    made = [group_of(shape, some) for shape, some in groups.items()]
    return Batch(school_id, agent_id, received_ns, series, made)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """A batch as MessagePack."""
    return _encoder.encode(batch)


def decode_batch(data: bytes | memoryview) -> Batch:
    """The reverse of encode_batch. Raises msgspec.DecodeError for what is no batch."""
    return _decoder.decode(data)
