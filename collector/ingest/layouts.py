"""Lines whose fields stand in an order seen before are read by one match and one conversion for each value.

A layout is learned from a line that the strict reader read and that fits the schema; its pattern takes only
values that the strict reader would read the same: another kind of value, a long number, an escape or a
control character does not match, and such a line goes to the strict reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import call
from typing import Any

from config.points import FieldValue

MAX_LAYOUTS = 12
"""Of one measurement; the oldest goes."""
MAX_FIELDS = 64
"""Of one layout: a pattern takes memory for each."""

_INT = r"(-?[0-9]{1,18})i"
_FLOAT = r"(-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[-+]?[0-9]{1,2})?)"
_BOOL = r"(true|false|t|f|T|F|True|False|TRUE|FALSE)"
_STRING = r'"([^"\\\x00-\x1f\ud800-\udfff]*)"'
_TIME = r"(-?[0-9]{1,19})"
_KINDS: dict[type, tuple[str, Callable[[str], FieldValue]]] = {
    int: (_INT, int),
    float: (_FLOAT, float),
    bool: (_BOOL, lambda text: text[0] in "tT"),
    str: (_STRING, str),
}
_PLAIN_KEY = re.compile(r'[^,= \\"\x00-\x1f]+')


class Layout:
    """Field keys in one order, each with one kind of value, and a time behind them."""

    __slots__ = ("_converters", "_match", "fields", "shape")

    def __init__(self, fields: Mapping[str, FieldValue]) -> None:
        kinds = [_KINDS[type(value)] for value in fields.values()]
        text = ",".join(f"{re.escape(key)}={kind[0]}" for key, kind in zip(fields, kinds, strict=True))
        self.fields = tuple(fields)
        self.shape = [(key, type(value)) for key, value in fields.items()]
        self._match = re.compile(f"{text} {_TIME}", re.ASCII).fullmatch
        self._converters = [*(kind[1] for kind in kinds), int]

    def row(self, text: str) -> list[Any] | None:
        """«a=1i,b=2.5 7» → [1, 2.5, 7]; None when the text is not of this layout."""
        match = self._match(text)
        if match is None:
            return None
        return list(map(call, self._converters, match.groups()))  # type: ignore[arg-type]


class Layouts:
    """The layouts of each declared measurement that were learned, shared by all agents, the newest first.

    Safe to use from several threads: a measurement's layouts are replaced, never changed.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Layout, ...]] = {}

    def of(self, measurement: str) -> tuple[Layout, ...]:
        """The layouts to try."""
        return self._known.get(measurement, ())

    def learn(self, measurement: str, fields: Mapping[str, FieldValue]) -> Layout | None:
        """Remember the layout of a line that fits the schema; None when its keys need escapes."""
        shape = [(key, type(value)) for key, value in fields.items()]
        known = self.of(measurement)
        same = next((layout for layout in known if layout.shape == shape), None)
        if same is not None:
            return same
        if len(shape) > MAX_FIELDS or not all(map(_PLAIN_KEY.fullmatch, fields)):
            return None
        layout = Layout(fields)
        self._known[measurement] = (layout, *known[: MAX_LAYOUTS - 1])
        return layout
