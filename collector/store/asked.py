"""What may be asked of a store, the same for both engines."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from collector.store.interface import WINDOW_SECONDS, UnknownField
from config.measurements import Measurement, Schema


def declared_in(measurements: Schema, measurement: str) -> Measurement:
    """A measurement of the schema. Raises UnknownField."""
    declared = measurements.get(measurement)
    if declared is None:
        raise UnknownField(f"measurement {measurement} is not declared")
    return declared


def need(measurement: str, fields: Iterable[str], allowed: Collection[str]) -> None:
    """Raise UnknownField unless all fields are among those that can be read so."""
    for field in fields:
        if field not in allowed:
            raise UnknownField(f"{measurement}: no field {field} that can be read so")


def source_of(resolution_seconds: int, fields: Collection[str]) -> int:
    """The longest kept window that divides a resolution; 0 for raw points. Raises UnknownField."""
    if resolution_seconds < 1 or not fields:
        raise UnknownField("a resolution of at least 1 s and one field are needed")
    return max((each for each in WINDOW_SECONDS if resolution_seconds % each == 0), default=0)
