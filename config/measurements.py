"""The schema of every measurement our agents write, and the check that a point fits it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from config.points import INT64_MAX, INT64_MIN, FieldValue, Point
from config.settings import load

SCHEMA_FILE = Path(__file__).with_name("measurements.yaml")
GIVEN_TAGS = frozenset({"school", "agent"})
"""Tags that the collector sets from the credential on every point."""

FieldType = Literal["int", "float", "bool", "string"]
_PYTHON_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "string": str}
_WORDS = re.compile(r"\A\w+(?: \| \w+)+\Z")


class Misfit(ValueError):
    """A point that is not as its measurement is declared. The text is one line."""


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field: its type, its unit (none for counts, text and yes/no) and its meaning."""

    type: FieldType
    help: str
    unit: str = ""


class Measurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement. A tag whose meaning is a list of words («down | up») takes only these."""

    help: str
    tags: dict[str, str]
    fields: dict[str, Field]


Schema: TypeAlias = Mapping[str, Measurement]


def load_schema(path: Path = SCHEMA_FILE) -> Schema:
    """Read a schema file. Raises SettingsError, one line."""
    return load(path, dict[str, Measurement])


@functools.cache
def schema() -> Schema:
    """The schema that ships with this version."""
    return load_schema()


def check(point: Point) -> None:
    """Raise Misfit, one line, unless ``point`` fits its measurement in measurements.yaml."""
    declared = Declared(schema())
    declared.check_tags(point.measurement, point.tags)
    declared.check_fields(point.measurement, point.fields)
    if not point.fields:
        raise Misfit(f"{point.measurement}: a point needs at least one field")


class Declared:
    """A schema made ready for checking many points. ``in`` tells whether a measurement is declared."""

    def __init__(self, measurements: Schema) -> None:
        self._words = {name: _allowed_words(each) for name, each in measurements.items()}
        self._types = {
            name: {key: _PYTHON_TYPES[field.type] for key, field in each.fields.items()}
            for name, each in measurements.items()
        }

    def __contains__(self, measurement: object) -> bool:
        return measurement in self._types

    def check_tags(self, measurement: str, tags: Mapping[str, str]) -> None:
        """Raise Misfit for an undeclared measurement or tag, or a word that a tag does not take."""
        allowed = self._words.get(measurement)
        if allowed is None:
            raise Misfit(f"measurement {measurement} is not declared")
        for key, value in tags.items():
            if key in GIVEN_TAGS:
                continue
            if key not in allowed:
                raise Misfit(f"{measurement}: tag {key} is not declared")
            words = allowed[key]
            if words and value not in words:
                raise Misfit(f"{measurement}: tag {key} is {value!r}; allowed: {', '.join(sorted(words))}")

    def check_fields(self, measurement: str, fields: Mapping[str, FieldValue]) -> None:
        """Raise Misfit for an undeclared field, another type, or an integer beyond 64 signed bits."""
        types = self._types[measurement]
        for key, value in fields.items():
            if type(value) is not types.get(key):
                raise Misfit(_wrong_type(measurement, key, value, types))
            if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
                raise Misfit(f"{measurement}: field {key} does not fit 64 signed bits")


def _wrong_type(measurement: str, key: str, value: FieldValue, types: Mapping[str, type]) -> str:
    if key not in types:
        return f"{measurement}: field {key} is not declared"
    return f"{measurement}: field {key} is {type(value).__name__}, declared {types[key].__name__}"


def _allowed_words(measurement: Measurement) -> dict[str, frozenset[str]]:
    return {
        key: frozenset(meaning.split(" | ")) if _WORDS.match(meaning) else frozenset()
        for key, meaning in measurement.tags.items()
    }
