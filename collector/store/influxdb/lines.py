"""From batches back to lines, by one template for each measurement and order of fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from collector.batch import Batch, Group, Series
from config.measurements import Schema
from config.points import INT64_MAX, Point, encode

LINES_AT_ONCE = 256
"""Of one piece of text: InfluxDB takes 25 MB in one write, and a line may have 64 KB."""

_FORMATS = {"int": "%si", "float": "%s", "bool": "%s", "string": '"%s"'}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\""})
_TAIL = " x=true 0"


class Lines:
    """Writes lines of declared measurements by their templates, of others point by point."""

    def __init__(self, measurements: Schema) -> None:
        self._schema = measurements
        self._templates: dict[tuple[str, tuple[str, ...]], str] = {}

    def of(self, batch: Batch, *, other: bool) -> Iterator[str]:
        """The lines of a batch, of declared measurements or of others, in pieces of one line or more."""
        heads: dict[int, str] = {}
        for group in batch.groups:
            if group.other == other:
                yield from _of_others(batch, group) if other else self._of_group(batch, group, heads)

    def _of_group(self, batch: Batch, group: Group, heads: dict[int, str]) -> Iterator[str]:
        for place in set(group.places) - heads.keys():
            heads[place] = head_of(batch.series[place])
        template = self._template(group)
        named = [heads[place] for place in group.places]
        columns = (named, *map(_texts, group.columns), _texts(group.times_ns))
        for first in range(0, len(group), LINES_AT_ONCE):
            some = (column[first : first + LINES_AT_ONCE] for column in columns)
            yield "\n".join(map(template.__mod__, zip(*some, strict=True)))

    def _template(self, group: Group) -> str:
        shape = (group.measurement, group.fields)
        found = self._templates.get(shape)
        if found is None:
            fields = self._schema[group.measurement].fields
            texts = (f"{name}={_FORMATS[fields[name].type]}" for name in group.fields)
            found = self._templates[shape] = f"%s {','.join(texts)} %s"
        return found


def head_of(series: Series) -> str:
    """«ping,agent=a1,target=x»: what stands before the fields."""
    return encode(Point(series.measurement, series.tags, {"x": True}, 0)).removesuffix(_TAIL)


def _texts(column: Sequence[Any]) -> list[str]:
    """Values of one kind as line protocol has them, without its marks; numbers as JSON has them."""
    if isinstance(column[0], str):
        return [value.translate(_ESCAPES) for value in column]
    return msgspec.json.encode(column)[1:-1].decode().split(",")


def _signed(value: Any) -> Any:
    """An unsigned integer that 64 signed bits do not hold as a float: 1.x has no unsigned ones."""
    return float(value) if type(value) is int and value > INT64_MAX else value


def _of_others(batch: Batch, group: Group) -> Iterator[str]:
    for values, time_ns, place in zip(group.rows(), group.times_ns, group.places, strict=True):
        fields = {key: _signed(value) for key, value in zip(group.fields, values, strict=True)}
        yield encode(Point(group.measurement, batch.series[place].tags, fields, time_ns))
