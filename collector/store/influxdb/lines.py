"""From batches back to lines, by one template for each measurement and order of fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from collector.batch import Batch, Group, Series
from config.measurements import Schema
from config.points import Point, encode

_FORMATS = {"int": "%di", "float": "%r", "bool": "%s", "string": '"%s"'}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\""})
_TAIL = " x=true 0"


class Lines:
    """Writes lines of declared measurements by their templates, of others point by point."""

    def __init__(self, measurements: Schema) -> None:
        self._schema = measurements
        self._templates: dict[tuple[str, tuple[str, ...]], tuple[str, list[int]]] = {}

    def of(self, batch: Batch, *, other: bool) -> Iterator[str]:
        """The lines of a batch, of declared measurements or of others."""
        heads: dict[int, str] = {}
        for group in batch.groups:
            if group.other == other:
                yield from self._of_others(batch, group) if other else self._of_group(batch, group, heads)

    def _of_group(self, batch: Batch, group: Group, heads: dict[int, str]) -> Iterator[str]:
        template, texts = self._template(group)
        for row in group.rows:
            head = heads.get(row[-1])
            if head is None:
                head = heads[row[-1]] = head_of(batch.series[row[-1]])
            values = row[:-1]
            for place in texts:
                values[place] = values[place].translate(_ESCAPES)
            yield head + template % tuple(values)

    def _template(self, group: Group) -> tuple[str, list[int]]:
        shape = (group.measurement, group.fields)
        found = self._templates.get(shape)
        if found is None:
            fields = self._schema[group.measurement].fields
            kinds = [fields[name].type for name in group.fields]
            text = ",".join(
                f"{name}={_FORMATS[kind]}" for name, kind in zip(group.fields, kinds, strict=True)
            )
            texts = [place for place, kind in enumerate(kinds) if kind == "string"]
            found = self._templates[shape] = (f" {text} %d", texts)
        return found

    def _of_others(self, batch: Batch, group: Group) -> Iterator[str]:
        for *values, time_ns, place in group.rows:
            fields: dict[str, Any] = dict(zip(group.fields, values, strict=True))
            yield encode(Point(group.measurement, batch.series[place].tags, fields, time_ns))


def head_of(series: Series) -> str:
    """«ping,agent=a1,target=x»: what stands before the fields."""
    return encode(Point(series.measurement, series.tags, {"x": True}, 0)).removesuffix(_TAIL)
