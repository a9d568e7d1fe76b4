"""Lines whose fields stand in an order seen before are read many at one time, column by column.

A layout is learned from a line that the strict reader read and that fits the schema; its pattern takes only
values that the strict reader would read the same: another kind of value, a long number, an escape or a
control character does not match, and such a line goes to the strict reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeAlias

import msgspec

from config.points import FieldValue

MAX_LAYOUTS = 12
"""Of one measurement; the oldest goes."""
MAX_FIELDS = 64
"""Of one layout: a pattern takes memory for each."""

Column: TypeAlias = Callable[[Sequence[str]], list[Any]]

_integers = msgspec.json.Decoder(list[int]).decode
_numbers = msgspec.json.Decoder(list[float]).decode


class _NotRead(ValueError):
    """A text that the strict reader may read or refuse, but not this one."""


def _as_integers(texts: Sequence[str]) -> list[Any]:
    return _integers(f"[{','.join(texts)}]")


def _as_floats(texts: Sequence[str]) -> list[Any]:
    found = _numbers(f"[{','.join(texts)}]")
    if not isfinite(sum(found)):
        raise _NotRead
    return found


def _as_booleans(texts: Sequence[str]) -> list[Any]:
    return [text[0] in "tT" for text in texts]


_TIME = r"(-?[0-9]{1,19})"
_KINDS: dict[type, tuple[str, Column]] = {
    int: (r"(-?[0-9]{1,18})i", _as_integers),
    float: (r"(-?[0-9][-+.eE0-9]{0,40})", _as_floats),
    bool: (r"(true|false|t|f|T|F|True|False|TRUE|FALSE)", _as_booleans),
    str: (r'"([^"\\\x00-\x1f\ud800-\udfff]*)"', list),
}
_PLAIN_KEY = re.compile(r'[^,= \\"\x00-\x1f]+')


class Layout:
    """Field keys in one order, each with one kind of value, and a time behind them."""

    __slots__ = ("_kinds", "_pattern", "fields", "shape")

    def __init__(self, fields: Mapping[str, FieldValue]) -> None:
        kinds = [_KINDS[type(value)] for value in fields.values()]
        text = ",".join(f"{re.escape(key)}={kind[0]}" for key, kind in zip(fields, kinds, strict=True))
        self.fields = tuple(fields)
        self.shape = shape_of(fields)
        self._pattern = re.compile(f"^{text} {_TIME}$", re.ASCII | re.MULTILINE)
        self._kinds = [*(kind[1] for kind in kinds), _as_integers]

    def fits(self, text: str) -> bool:
        """Whether a text has the form of this layout, so that no string in it is left open."""
        return self._pattern.fullmatch(text) is not None

    def columns(self, texts: Sequence[str]) -> list[list[Any]] | None:
        """«a=1i,b=2.5 7», «a=2i,b=0.5 8» → [[1, 2], [2.5, 0.5], [7, 8]]; None when not all can be read so."""
        found = self._pattern.findall("\n".join(texts))
        if len(found) != len(texts):
            return None
        try:
            return [kind(column) for kind, column in zip(self._kinds, zip(*found, strict=True), strict=True)]
        except (msgspec.DecodeError, _NotRead):
            return None


class Layouts:
    """The layouts of each declared measurement that were learned, shared by all agents, the newest first.

    Safe to use from several threads: a measurement's layouts are replaced, never changed.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Layout, ...]] = {}

    def known(self, measurement: str, fields: Mapping[str, FieldValue]) -> Layout | None:
        """The layout of a line like this, when it was learned."""
        shape = shape_of(fields)
        of_measurement = self._known.get(measurement, ())
        return next((layout for layout in of_measurement if layout.shape == shape), None)

    def learn(self, measurement: str, fields: Mapping[str, FieldValue]) -> Layout | None:
        """Remember the layout of a line that fits the schema; None when its keys need escapes."""
        if len(fields) > MAX_FIELDS or not all(map(_PLAIN_KEY.fullmatch, fields)):
            return None
        layout = Layout(fields)
        self._known[measurement] = (layout, *self._known.get(measurement, ())[: MAX_LAYOUTS - 1])
        return layout


def shape_of(fields: Mapping[str, FieldValue]) -> list[tuple[str, type]]:
    """Keys in their order, each with the kind of its value."""
    return [(key, type(value)) for key, value in fields.items()]
