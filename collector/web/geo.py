"""The county's map: its own GeoJSON as paths, and the schools on it. Drawn here, so that no map is fetched.

Source of the format: RFC 7946. The projection is the plain one (longitude by the cosine of the middle
latitude), which serves a county.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from config.settings import SettingsError

WIDTH = 800.0
HEIGHT = 560.0
MARGIN = 24.0
NEAR = 0.4
"""Points of an outline that are nearer to each other than this many units of the drawing are left out."""
_LEAST_DEGREES = 0.002

Ring = list[tuple[float, float]]


class Place(NamedTuple):
    """Somewhere, in degrees."""

    longitude: float
    latitude: float


class Area(msgspec.Struct, frozen=True):
    """One feature of the county's file, in degrees."""

    name: str
    rings: tuple[Ring, ...]


class Shape(msgspec.Struct, frozen=True):
    """One feature as it is drawn."""

    name: str
    path: str


class Frame(NamedTuple):
    """How degrees become places in the drawing."""

    west: float
    north: float
    scale: float
    stretch: float

    def put(self, place: Place) -> tuple[float, float]:
        """Where a place lies, in units of the drawing."""
        x = MARGIN + (place.longitude - self.west) * self.stretch * self.scale
        y = MARGIN + (self.north - place.latitude) * self.scale
        return round(x, 1), round(y, 1)


def load_areas(path: Path, most_bytes: int) -> tuple[Area, ...]:
    """Read a GeoJSON file. Raises SettingsError, one line: file, and what is allowed."""
    try:
        if path.stat().st_size > most_bytes:
            raise SettingsError(f"{path}: is larger than web.map_bytes, {most_bytes} bytes")
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: is no GeoJSON: {error}") from None
    try:
        areas = tuple(_areas(found))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise SettingsError(f"{path}: is no GeoJSON of polygons in degrees: {error!r}") from None
    if not areas:
        raise SettingsError(f"{path}: holds no Polygon and no MultiPolygon")
    return areas


def frame_of(areas: Sequence[Area], places: Iterable[Place]) -> Frame | None:
    """A frame that holds everything; None where there is nothing to hold."""
    points = [Place(*point) for area in areas for ring in area.rings for point in ring]
    points = points or list(places)
    if not points:
        return None
    west, east = min(p.longitude for p in points), max(p.longitude for p in points)
    south, north = min(p.latitude for p in points), max(p.latitude for p in points)
    stretch = max(0.05, math.cos(math.radians((south + north) / 2)))
    width = max((east - west) * stretch, _LEAST_DEGREES)
    height = max(north - south, _LEAST_DEGREES)
    scale = min((WIDTH - 2 * MARGIN) / width, (HEIGHT - 2 * MARGIN) / height)
    spare_x = ((WIDTH - 2 * MARGIN) / scale - (east - west) * stretch) / 2 / stretch
    spare_y = ((HEIGHT - 2 * MARGIN) / scale - (north - south)) / 2
    return Frame(west - spare_x, north + spare_y, scale, stretch)


def shapes_of(areas: Iterable[Area], frame: Frame) -> tuple[Shape, ...]:
    """Outlines as SVG paths."""
    return tuple(Shape(area.name, "".join(_path(ring, frame) for ring in area.rings)) for area in areas)


def _areas(found: Any) -> Iterator[Area]:
    features = found["features"] if found["type"] == "FeatureCollection" else [found]
    for feature in features:
        geometry = feature["geometry"] if feature["type"] == "Feature" else feature
        name = str((feature.get("properties") or {}).get("name", ""))[:100]
        rings = tuple(_rings(geometry))
        if rings:
            yield Area(name, rings)


def _rings(geometry: Any) -> Iterator[Ring]:
    kind = geometry["type"] if geometry else ""
    polygons: list[Any] = []
    if kind == "Polygon":
        polygons = [geometry["coordinates"]]
    elif kind == "MultiPolygon":
        polygons = geometry["coordinates"]
    for polygon in polygons:
        for ring in polygon:
            yield [_degrees(point) for point in ring]


def _degrees(point: Sequence[Any]) -> tuple[float, float]:
    longitude, latitude = float(point[0]), float(point[1])
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise ValueError(f"{longitude}, {latitude} are no degrees")
    return longitude, latitude


def _path(ring: Ring, frame: Frame) -> str:
    points = [frame.put(Place(*point)) for point in ring]
    kept = points[:1]
    for point in points[1:]:
        if math.dist(point, kept[-1]) >= NEAR:
            kept.append(point)
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept) + "Z" if len(kept) > 2 else ""
