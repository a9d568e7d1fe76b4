"""From batches back to lines, by one template for each measurement and order of fields. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        columns: list[Iterable[Any]] = [*group.columns]
        for place in texts:
            columns[place] = [value.translate(_ESCAPES) for value in group.columns[place]]
        for place in set(group.places) - heads.keys():
            heads[place] = head_of(batch.series[place])
        named = map(heads.__getitem__, group.places)
        return map(template.__mod__, zip(named, *columns, group.times_ns, strict=True))

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
            found = self._templates[shape] = (f"%s {text} %d", texts)
        return found

    def _of_others(self, batch: Batch, group: Group) -> Iterator[str]:
        for values, time_ns, place in zip(group.rows(), group.times_ns, group.places, strict=True):
            fields: dict[str, Any] = dict(zip(group.fields, values, strict=True))
            yield encode(Point(group.measurement, batch.series[place].tags, fields, time_ns))


def head_of(series: Series) -> str:
    """«ping,agent=a1,target=x»: what stands before the fields."""
    return encode(Point(series.measurement, series.tags, {"x": True}, 0)).removesuffix(_TAIL)
