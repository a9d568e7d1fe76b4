"""The schools on the county's map: by verdict, in shapes and letters as well as colours. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from collector.web.county_view import Standing
from collector.web.geo import Area, Frame, Place, Shape, frame_of, load_areas, shapes_of
from collector.web.settings import WebSettings
from config.present import LOOKS
from config.verdict import Answer
from config.words import Language, translate

_DRAWN_LAST = (Answer.MET, Answer.UNKNOWN, Answer.NOT_MET)
"""What matters most lies on top."""


class Dot(msgspec.Struct, frozen=True):
    """One school on the map."""

    id: str
    label: str
    verdict: str
    symbol: str
    x: float
    y: float


class Unplaced(msgspec.Struct, frozen=True):
    """A school of which nobody declared where it lies."""

    id: str
    name: str
    verdict: str
    symbol: str
    word: str


class MapView(msgspec.Struct, frozen=True):
    """The drawing, and the schools that are not on it."""

    shapes: tuple[Shape, ...]
    dots: tuple[Dot, ...]
    unplaced: tuple[Unplaced, ...]


class CountyMap:
    """The county's outline, read once."""

    def __init__(self, areas: Sequence[Area] = ()) -> None:
        self._areas = tuple(areas)
        self._frame = frame_of(self._areas, ())
        self._shapes = shapes_of(self._areas, self._frame) if self._frame else ()

    @classmethod
    def of(cls, settings: WebSettings) -> CountyMap:
        """By the settings. Raises SettingsError, one line."""
        return cls(load_areas(Path(settings.map), int(settings.map_bytes)) if settings.map else ())

    def view(self, standings: Sequence[Standing], language: Language) -> MapView:
        """Every school: on the map, or beside it."""
        places = {each.state.school.id: place for each in standings if (place := place_of(each)) is not None}
        frame = self._frame or frame_of((), places.values())
        ordered = sorted(standings, key=lambda each: _DRAWN_LAST.index(each.judged.verdict.answer))
        return MapView(
            self._shapes,
            tuple(
                _dot(each, places[each.state.school.id], frame, language)
                for each in ordered
                if frame is not None and each.state.school.id in places
            ),
            tuple(_unplaced(each, language) for each in standings if each.state.school.id not in places),
        )


def place_of(standing: Standing) -> Place | None:
    """Where a school lies: its own coordinates, else those of its first campus that has any."""
    school = standing.state.school
    places = [(school.longitude, school.latitude)]
    places += [(campus.longitude, campus.latitude) for campus in school.campuses]
    found = (Place(east, north) for east, north in places if east is not None and north is not None)
    return next(found, None)


def _dot(standing: Standing, place: Place, frame: Frame, language: Language) -> Dot:
    x, y = frame.put(place)
    look = LOOKS[standing.judged.verdict.answer]
    school = standing.state.school
    label = f"{school.name or school.id}: {translate(look.word, language)}"
    return Dot(school.id, label, standing.judged.verdict.answer.value, look.symbol, x, y)


def _unplaced(standing: Standing, language: Language) -> Unplaced:
    look, school = LOOKS[standing.judged.verdict.answer], standing.state.school
    word = translate(look.word, language)
    return Unplaced(
        school.id, school.name or school.id, standing.judged.verdict.answer.value, look.symbol, word
    )
