"""A point of a measurement, and how it is written as one line of InfluxDB line protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

FieldValue: TypeAlias = bool | int | float | str

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

_MEASUREMENT_ESCAPES = str.maketrans({",": r"\,", " ": r"\ "})
_KEY_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_STRING_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\""})


class Point(msgspec.Struct, frozen=True):
    """One row of measured values.

    ``time_ns`` is the measurement's own time in nanoseconds since 1970 UTC. Two points with the same
    measurement, tags and time are the same point.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
    time_ns: int


def encode(point: Point) -> str:
    """Write a point as one line, without the line's end.

    Raises ValueError for what line protocol cannot carry unharmed: no fields, an empty name, a control
    character outside a string field, a trailing backslash, an integer beyond 64 bits, a float that is
    not finite. Source: InfluxDB v2 line protocol reference.
    """
    if not point.fields:
        raise ValueError(f"{point.measurement}: a point needs at least one field")
    if point.measurement.startswith("#"):
        raise ValueError(f"{point.measurement!r} reads as a comment")
    head = _escaped(point.measurement, _MEASUREMENT_ESCAPES)
    tags = "".join(
        f",{_escaped(key, _KEY_ESCAPES)}={_escaped(value, _KEY_ESCAPES)}"
        for key, value in sorted(point.tags.items())
    )
    fields = ",".join(
        f"{_escaped(key, _KEY_ESCAPES)}={_field_text(value)}" for key, value in sorted(point.fields.items())
    )
    return f"{head}{tags} {fields} {point.time_ns}"


def _escaped(text: str, escapes: dict[int, str]) -> str:
    if not text or not text.isprintable() or text.endswith("\\"):
        raise ValueError(f"{text!r} is empty, ends in a backslash or holds a control character")
    return text.translate(escapes)


def _field_text(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise ValueError(f"{value} does not fit 64 bits")
        return f"{value}i"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        return repr(value)
    if any(ord(character) < 0x20 for character in value):
        raise ValueError(f"{value!r} holds a control character")
    return f'"{value.translate(_STRING_ESCAPES)}"'
