"""A county's list of schools, tables or YAML, into declared schools, with every fault of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from collector.registry.columns import COLUMNS, Column, columns_by_heading, heading_key, read_code
from collector.registry.declaring import Values, contradictions, declare
from collector.registry.details import DETAILS, SCHOOL_ID, Detail, detail_titled
from collector.registry.ids import ALLOWED, is_id
from collector.registry.rows import Fault, columns_of_head, values_of
from collector.registry.schools import plain_of, school_from
from collector.registry.sheets import (
    Row,
    Sheet,
    SheetError,
    read_bytes,
    read_sheets,
    text_of,
)
from config.school import School
from config.settings import convert, faults_of, parse_yaml

SPANS = (("starts", "ends"), ("in_use_from", "in_use_until"))


class Import(NamedTuple):
    """What a file says: the schools of its whole rows, every fault, and the titles of sheets left unread."""

    schools: list[School]
    faults: list[Fault]
    unread: tuple[str, ...] = ()


class _Detailed(NamedTuple):
    """The rows of a further sheet, by school."""

    detail: Detail
    sheet: str
    rows: dict[str, list[tuple[Row, Values]]]


def read_schools(path: Path, known: Mapping[str, School], today: date) -> Import:
    """Read a list of schools over what is ``known``: a column that the file lacks leaves things as they are.

    Raises SheetError or SettingsError, one line, for a file that cannot be read at all.
    """
    match path.suffix.lower():
        case ".xlsx" | ".csv":
            return _of_sheets(read_sheets(path), known, today)
        case ".yaml" | ".yml":
            return _of_yaml(path, known)
    raise SheetError(f"{path}: is no list of schools; allowed: .xlsx, .csv, .yaml")


def differences(known: Mapping[str, School], schools: Iterable[School]) -> Iterator[str]:
    """One line for each school that is new or changes: what was, what will be."""
    for school in schools:
        was = known.get(school.id)
        if was is None:
            yield f"new {school.id} {school.name}"
        elif was != school:
            before, after = plain_of(was), plain_of(school)
            keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
            changes = "; ".join(
                f"{key}: {_short(before.get(key))} -> {_short(after.get(key))}" for key in keys
            )
            yield f"changed {school.id}: {changes}"


def _of_sheets(sheets: Sequence[Sheet], known: Mapping[str, School], today: date) -> Import:
    first, *others = sheets
    detail_of_first = detail_titled(first.title) or _detail_by_headings(first)
    whole = Import([], []) if detail_of_first else _of_rows(first.rows, known, today)
    details = [(sheet, detail_titled(sheet.title)) for sheet in others]
    if detail_of_first:
        details.insert(0, (first, detail_of_first))
    unread = tuple(sheet.title for sheet, detail in details if detail is None)
    faults = list(whole.faults)
    read = [_rows_of(sheet, detail, faults) for sheet, detail in details if detail is not None]
    refused = {row.cells[0] for row in first.rows if not detail_of_first} - {
        each.id for each in whole.schools
    }
    schools = _with_details({each.id: each for each in whole.schools}, read, known, refused, faults)
    return Import(schools, faults, unread)


def _ids_in(sheet: Sheet) -> list[str]:
    head, *body = sheet.rows
    keys = {heading_key(name) for name in SCHOOL_ID[1:3]}
    places = [place for place, heading in enumerate(head.cells) if heading_key(heading) in keys]
    return [row.cells[place] for row in body for place in places if place < len(row.cells)]


def _detail_by_headings(sheet: Sheet) -> Detail | None:
    """The further sheet that a file of its own is: one with headings that the main list does not know, or
    with several rows of a school.
    """
    headings = {heading_key(cell) for cell in sheet.rows[0].cells if cell}
    ids = _ids_in(sheet)
    if headings <= columns_by_heading(COLUMNS).keys() and len(set(ids)) == len(ids):
        return None
    return next((each for each in DETAILS if _fits(each, headings)), None)


def _fits(detail: Detail, headings: set[str]) -> bool:
    by_heading = columns_by_heading(_columns_of(detail))
    keys = {by_heading[heading].key for heading in headings & by_heading.keys()}
    return headings <= by_heading.keys() and {SCHOOL_ID.key, *detail.needed} <= keys


def _columns_of(detail: Detail) -> tuple[Column, ...]:
    return (SCHOOL_ID, *detail.columns)


def _of_rows(rows: list[Row], known: Mapping[str, School], today: date) -> Import:
    head, *body = rows
    columns, faults = columns_of_head(head, COLUMNS, ("id",))
    if faults:
        return Import([], faults)
    schools: list[School] = []
    seen: dict[tuple[str, str], int] = {("code", code): 0 for code in _codes_of(known)}
    for row in body:
        values, wrong = values_of(row, columns, ("id",))
        wrong = wrong or list(_repeated(row, values, seen, known))
        if not wrong:
            school, wrong = _school(row, values, known, today)
            schools.extend([school] if school else [])
        faults.extend(wrong)
    return Import(schools, faults)


def _rows_of(sheet: Sheet, detail: Detail, faults: list[Fault]) -> _Detailed:
    """The rows of a further sheet; a school of which one is at fault has None of them."""
    found = _Detailed(detail, sheet.title, {})
    head, *body = sheet.rows
    needed = (SCHOOL_ID.key, *detail.needed)
    columns, wrong = columns_of_head(head, _columns_of(detail), needed)
    faults += [each._replace(sheet=sheet.title) for each in wrong]
    seen: dict[tuple[object, ...], int] = {}
    for row in [] if wrong else body:
        values, wrong_here = values_of(row, columns, needed)
        wrong_here = wrong_here or list(_wrong_together(row, values, detail, seen))
        faults += [each._replace(sheet=sheet.title) for each in wrong_here]
        school_id = str(values.pop(SCHOOL_ID.key, None) or "")
        found.rows.setdefault(school_id, []).append((row, {} if wrong_here else values))
    return found


def _wrong_together(
    row: Row, values: Values, detail: Detail, seen: dict[tuple[object, ...], int]
) -> Iterator[Fault]:
    titles = {column.key: column.chinese for column in detail.columns}
    for starts, ends in SPANS:
        if ends in titles and values.get(starts) and values.get(ends) and values[ends] < values[starts]:
            yield Fault(
                row.number, titles[ends], f"{values[ends]} is before {titles[starts]}, {values[starts]}"
            )
    identity = (values[SCHOOL_ID.key], *(values.get(key) for key in detail.identity))
    first = seen.setdefault(identity, row.number)
    if first != row.number:
        yield Fault(row.number, titles[detail.identity[0]], f"stands in row {first} already")


def _with_details(
    schools: dict[str, School],
    read: Sequence[_Detailed],
    known: Mapping[str, School],
    refused: set[str],
    faults: list[Fault],
) -> list[School]:
    """The schools with their further rows; one with a row at fault is left out."""
    for detailed in read:
        for school_id, rows in detailed.rows.items():
            was = schools.get(school_id) or known.get(school_id)
            first, _ = rows[0]
            if was is None and school_id and school_id not in refused:
                reason = f"{school_id} is no school that is known"
                faults.append(Fault(first.number, SCHOOL_ID.chinese, reason, detailed.sheet))
            if was is None or school_id in refused or not all(values for _, values in rows):
                refused.add(school_id)
                continue
            declared = plain_of(was)
            detailed.detail.put(detailed.detail, declared, [values for _, values in rows])
            try:
                schools[school_id] = school_from(declared)
            except msgspec.ValidationError as error:
                refused.add(school_id)
                faults.append(Fault(first.number, "(whole row)", str(error), detailed.sheet))
    return [school for school in schools.values() if school.id not in refused]


def _repeated(
    row: Row, values: Values, seen: dict[tuple[str, str], int], known: Mapping[str, School]
) -> Iterator[Fault]:
    own = known.get(values["id"])
    own_codes = {code.code for code in own.codes} if own else set()
    for key, heading in (("id", "学校编号"), ("code", "学校标识码")):
        value = values.get(key)
        if value is None:
            continue
        first = seen.setdefault((key, value), row.number)
        if first == 0 and value not in own_codes:
            yield Fault(row.number, heading, f"{value} is another school's")
        elif first == 0:
            seen[key, value] = row.number
        elif first != row.number:
            yield Fault(row.number, heading, f"{value} stands in row {first} already")


def _codes_of(known: Mapping[str, School]) -> Iterator[str]:
    return (code.code for school in known.values() for code in school.codes)


def _school(
    row: Row, values: Values, known: Mapping[str, School], today: date
) -> tuple[School | None, list[Fault]]:
    was = known.get(values["id"])
    declared: Values = plain_of(was) if was else {"id": values["id"]}
    faults = [Fault(row.number, column, reason) for column, reason in contradictions(values)]
    if faults:
        return None, faults
    declare(declared, values, today)
    try:
        return school_from(declared), []
    except msgspec.ValidationError as error:
        return None, [Fault(row.number, "(whole row)", str(error))]


def _of_yaml(path: Path, known: Mapping[str, School]) -> Import:
    content = parse_yaml(text_of(read_bytes(path), path), str(path))
    entries = content.get("schools") if isinstance(content, dict) else None
    if not isinstance(entries, list) or len(entries) < 1:
        raise SheetError(f"{path}: key schools: is missing; allowed: a list of schools")
    schools: list[School] = []
    faults: list[Fault] = []
    seen: dict[tuple[str, str], int] = {("code", code): 0 for code in _codes_of(known)}
    for number, entry in enumerate(entries, start=1):
        wrong = _faults_of_entry(entry, number, path)
        if not wrong:
            school = convert(entry, School, str(path))
            wrong = list(_faults_of_ids(school, Row(number, []), seen, known))
            schools.extend([] if wrong else [school])
        faults.extend(wrong)
    return Import(schools, faults)


def _faults_of_entry(entry: Any, number: int, path: Path) -> list[Fault]:
    told = faults_of(entry, School, str(path), below=f"schools[{number - 1}]")
    return [Fault(number, "(yaml)", each.removeprefix(f"{path}: ")) for each in told]


def _faults_of_ids(
    school: School, row: Row, seen: dict[tuple[str, str], int], known: Mapping[str, School]
) -> Iterator[Fault]:
    if not is_id(school.id):
        yield Fault(row.number, "id", f"{school.id!r} is not {ALLOWED}")
    for each in school.codes:
        yield from _fault_of(read_code, each.code, row, "学校标识码")
    codes: list[str | None] = [each.code for each in school.codes]
    for code in codes or [None]:
        yield from _repeated(row, {"id": school.id, "code": code}, seen, known)


def _fault_of(read: Callable[[str], object], text: str, row: Row, column: str) -> Iterator[Fault]:
    try:
        read(text)
    except ValueError as error:
        yield Fault(row.number, column, str(error))


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode("utf-8") if value is not None else "nothing"
    return text if len(text) <= 120 else f"{text[:117]}..."
