"""How declared schools are written to and read from the registry's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.registry.database import RegistryError
from collector.registry.ids import ALLOWED, is_id
from collector.registry.tables import LineRow, SchoolRow, SchoolVersionRow
from config.school import School

IDS_IN_A_QUERY = 500


def encode(school: School) -> str:
    """A school as JSON, rates as integers of bit/s."""
    return _ENCODER.encode(school).decode("utf-8")


def decode(text: str) -> School:
    """The school of ``encode``."""
    return _DECODER.decode(text)


def plain_of(school: School) -> dict[str, Any]:
    """A school as what JSON is made of; what has its default is left out."""
    found: dict[str, Any] = msgspec.json.decode(_ENCODER.encode(school))
    return _without_defaults(found)


def school_from(declared: Mapping[str, Any]) -> School:
    """The school of ``plain_of``. Raises msgspec.ValidationError for what no school can declare."""
    return _DECODER.decode(_ENCODER.encode(declared))


def checked(schools: Iterable[School]) -> dict[str, School]:
    """The schools by id. Raises RegistryError for an id that is not allowed or given twice."""
    found: dict[str, School] = {}
    for school in schools:
        if not is_id(school.id):
            raise RegistryError(f"school {school.id!r}: the id is not {ALLOWED}")
        if school.id in found:
            raise RegistryError(f"school {school.id}: is given twice")
        _check_lines(school)
        found[school.id] = school
    return found


def read_all(connection: Connection) -> Mapping[str, School]:
    """Every school by id, sorted by id."""
    rows = connection.execute(sa.select(SchoolRow.id, SchoolRow.declared).order_by(SchoolRow.id))
    return {row.id: decode(row.declared) for row in rows}


def write(connection: Connection, schools: Mapping[str, School], now: datetime) -> tuple[str, ...]:
    """Write what differs from what is declared, keep its past; gives the ids that are new or changed."""
    declared = _declared_of(connection, list(schools))
    texts = {school_id: encode(school) for school_id, school in schools.items()}
    changed = tuple(school_id for school_id, text in texts.items() if declared.get(school_id) != text)
    new = [schools[school_id] for school_id in changed if school_id not in declared]
    known = [schools[school_id] for school_id in changed if school_id in declared]
    _insert(connection, SchoolRow, [_school_row(school, texts[school.id], now) for school in new])
    for school in known:
        row = _school_row(school, texts[school.id], now)
        connection.execute(sa.update(SchoolRow).where(SchoolRow.id == row.pop("id")).values(row))
    _write_lines(connection, [schools[school_id] for school_id in changed], had_some=known)
    _write_versions(connection, {school_id: texts[school_id] for school_id in changed}, now)
    return changed


def _check_lines(school: School) -> None:
    line_ids = [line.id for line in school.lines]
    wrong = [line_id for line_id in line_ids if not is_id(line_id)]
    if wrong:
        raise RegistryError(f"school {school.id}: line {wrong[0]!r}: the id is not {ALLOWED}")
    if len(set(line_ids)) < len(line_ids):
        raise RegistryError(f"school {school.id}: two lines have the same id")


def _declared_of(connection: Connection, school_ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(school_ids), IDS_IN_A_QUERY):
        some = school_ids[start : start + IDS_IN_A_QUERY]
        chosen = sa.select(SchoolRow.id, SchoolRow.declared).where(SchoolRow.id.in_(some))
        found.update((row.id, row.declared) for row in connection.execute(chosen))
    return found


def _school_row(school: School, text: str, now: datetime) -> dict[str, Any]:
    return {
        "id": school.id,
        "name": school.name,
        "level": school.level,
        "area": school.area,
        "declared": text,
        "updated_at": now,
    }


def _write_lines(connection: Connection, schools: Sequence[School], had_some: Sequence[School]) -> None:
    for school in had_some:
        connection.execute(sa.delete(LineRow).where(LineRow.school_id == school.id))
    rows = [
        {
            "school_id": school.id,
            "id": line.id,
            "place": place,
            "kind": line.kind,
            "carrier": line.carrier,
            "declared": _ENCODER.encode(line).decode("utf-8"),
        }
        for school in schools
        for place, line in enumerate(school.lines)
    ]
    _insert(connection, LineRow, rows)


def _write_versions(connection: Connection, texts: Mapping[str, str], now: datetime) -> None:
    numbers = _last_versions(connection, list(texts))
    rows = [
        {"school_id": school_id, "number": numbers.get(school_id, 0) + 1, "declared": text, "from_at": now}
        for school_id, text in texts.items()
    ]
    _insert(connection, SchoolVersionRow, rows)


def _last_versions(connection: Connection, school_ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    last = sa.select(SchoolVersionRow.school_id, sa.func.max(SchoolVersionRow.number).label("number"))
    for start in range(0, len(school_ids), IDS_IN_A_QUERY):
        some = SchoolVersionRow.school_id.in_(school_ids[start : start + IDS_IN_A_QUERY])
        rows = connection.execute(last.where(some).group_by(SchoolVersionRow.school_id))
        found.update((row.school_id, row.number) for row in rows)
    return found


def _insert(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _without_defaults(declared: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in declared.items() if value not in (None, "", [])}


def _plain(value: object) -> object:
    # rates and durations are subclasses of int and float
    for plain in (int, float):
        if isinstance(value, plain):
            return plain(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form here")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
_DECODER = msgspec.json.Decoder(School, dec_hook=lambda shape, value: shape(value))
