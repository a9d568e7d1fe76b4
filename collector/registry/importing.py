"""A county's list of schools, a table or YAML, into declared schools, with every fault of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from collector.registry.columns import LINES, Column, columns_by_heading, heading_key
from collector.registry.ids import ALLOWED, is_id
from collector.registry.schools import plain_of, school_from
from collector.registry.sheets import Row, SheetError, read_bytes, read_sheet, text_of
from config.school import FactName, School
from config.settings import SettingsError, convert, parse_yaml

Values = dict[str, Any]
FACTS: tuple[FactName, ...] = ("network_standard_a", "real_name_login", "security_equipment", "pilot_5g")
DECLARED_COLUMNS = ("wired", "wireless", *FACTS)
PLAIN_KEYS = (
    "name", "level", "area", "township", "pupils", "longitude", "latitude", "egress", "power_cut",
)  # fmt: skip


class Fault(NamedTuple):
    """Something wrong in a file: its row as a spreadsheet counts, its column, and why."""

    row: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column}: {self.reason}"


class Import(NamedTuple):
    """What a file says: the schools of its whole rows, and every fault."""

    schools: list[School]
    faults: list[Fault]


def read_schools(path: Path, known: Mapping[str, School], today: date) -> Import:
    """Read a list of schools over what is ``known``: a column that the file lacks leaves things as they are.

    Raises SheetError or SettingsError, one line, for a file that cannot be read at all.
    """
    match path.suffix.lower():
        case ".xlsx" | ".csv":
            return _of_rows(read_sheet(path), known, today)
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


def _of_rows(rows: list[Row], known: Mapping[str, School], today: date) -> Import:
    head, *body = rows
    columns, faults = _columns(head)
    if not any(column and column.key == "id" for column in columns):
        faults.append(Fault(head.number, "学校编号", "is missing; every list needs it"))
    if faults:
        return Import([], faults)
    schools: list[School] = []
    seen: dict[tuple[str, str], int] = {("code", code): 0 for code in _codes_of(known)}
    for row in body:
        values, wrong = _values(row, columns)
        wrong = wrong or list(_repeated(row, values, seen, known))
        if not wrong:
            school, wrong = _school(row, values, known, today)
            schools.extend([school] if school else [])
        faults.extend(wrong)
    return Import(schools, faults)


def _columns(head: Row) -> tuple[list[Column | None], list[Fault]]:
    by_heading = columns_by_heading()
    columns = [by_heading.get(heading_key(heading)) for heading in head.cells]
    faults = [
        Fault(head.number, heading, "is unknown; «schools template» prints the headings")
        for heading, column in zip(head.cells, columns, strict=True)
        if heading and column is None
    ]
    keys = [column.key for column in columns if column]
    faults += [
        Fault(head.number, column.chinese, "is given twice")
        for place, column in enumerate(column for column in columns if column)
        if column.key in keys[:place]
    ]
    return columns, faults


def _values(row: Row, columns: list[Column | None]) -> tuple[Values, list[Fault]]:
    values: Values = {}
    faults = []
    cells = [*row.cells, *[""] * (len(columns) - len(row.cells))]
    for column, cell in zip(columns, cells, strict=False):
        if column is None:
            continue
        try:
            values[column.key] = _value(column, cell)
        except ValueError as error:
            faults.append(Fault(row.number, column.chinese, str(error)))
    if any(cells[len(columns) :]):
        faults.append(Fault(row.number, "(beyond the last heading)", "has a cell under no heading"))
    return values, faults


def _value(column: Column, cell: str) -> object:
    if cell.startswith("="):
        raise ValueError("holds a formula; allowed: its value as plain text")
    if len(cell) > 2000 or not cell.isprintable():
        raise ValueError("is too long or holds a control character")
    if not cell and column.key == "id":
        raise ValueError("is empty")
    return column.read(cell) if cell else None


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
    faults = [Fault(row.number, column, reason) for column, reason in _contradictions(values)]
    if faults:
        return None, faults
    for key in PLAIN_KEYS:
        _put(declared, key, values)
    for change in (_put_code, _put_classes, _put_campuses, _put_lines, _put_devices):
        change(declared, values, today)
    _put_declared(declared, values, today)
    try:
        return school_from(declared), []
    except msgspec.ValidationError as error:
        return None, [Fault(row.number, "(whole row)", str(error))]


def _contradictions(values: Values) -> Iterator[tuple[str, str]]:
    if any(values.get(key) is not None for key in DECLARED_COLUMNS):
        for key, heading in (("declared_by", "申报人"), ("declared_on", "申报日期")):
            if values.get(key) is None:
                yield heading, "is empty, and what is declared needs it"
    if values.get("school_year") and values.get("classes") is None:
        yield "班级数", "is empty, and 学年 needs it"
    for number in range(1, LINES + 1):
        starts, ends = (values.get(f"lines.{number}.{key}") for key in ("starts", "ends"))
        if starts and ends and ends < starts:
            yield f"线路{number}合同结束", f"{ends} is before 合同开始, {starts}"


def _put(declared: Values, key: str, values: Values) -> None:
    """A column that the file has rules; its empty cell takes back what was declared."""
    if key in values:
        declared.pop(key, None)
        if values[key] is not None:
            declared[key] = values[key]


def _put_code(declared: Values, values: Values, today: date) -> None:
    code = values.get("code")
    codes = declared.get("codes", [])
    if code is None or any(each["code"] == code for each in codes):
        return
    if not codes and values.get("code_starts") is None:
        declared["codes"] = [{"code": code}]
        return
    starts: date = values.get("code_starts") or today
    for each in codes:
        if each.get("ends") is None:
            each["ends"] = (starts - timedelta(days=1)).isoformat()
    declared["codes"] = [*codes, {"code": code, "starts": starts.isoformat()}]


def _put_classes(declared: Values, values: Values, _today: date) -> None:
    starts = values.get("school_year")
    if starts is None:
        _put(declared, "classes", values)
        return
    year = {"starts": starts.isoformat(), "classes": values["classes"], "pupils": values.get("pupils")}
    others = [each for each in declared.get("classes_by_year", []) if each["starts"] != year["starts"]]
    kept = {key: value for key, value in year.items() if value is not None}
    declared["classes_by_year"] = sorted([*others, kept], key=lambda each: str(each["starts"]))


def _put_campuses(declared: Values, values: Values, _today: date) -> None:
    if "campuses" in values:
        held = {campus["id"]: campus for campus in declared.get("campuses", [])}
        declared["campuses"] = [held.get(each, {"id": each}) for each in values["campuses"] or []]


def _put_devices(declared: Values, values: Values, _today: date) -> None:
    held = {device["id"]: device for device in declared.get("devices", [])}
    for key, kind in (("switches", "switch"), ("controllers", "controller")):
        if key in values:
            others = [each for each in declared.get("devices", []) if each.get("kind", "switch") != kind]
            wanted = [{**held.get(each, {}), "id": each, "kind": kind} for each in values[key] or []]
            declared["devices"] = [*others, *wanted]


def _put_lines(declared: Values, values: Values, _today: date) -> None:
    if not any(key.startswith("lines.") for key in values):
        return
    held = {line["id"]: line for line in declared.get("lines", [])}
    lines = []
    for number in range(1, LINES + 1):
        prefix = f"lines.{number}."
        given = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        if any(value is not None for value in given.values()):
            lines.append(_line(given, held, number))
    declared["lines"] = lines


def _line(given: Values, held: Mapping[str, Values], number: int) -> Values:
    line_id = given.get("id") or f"line-{number}"
    line: Values = {**held.get(line_id, {}), "id": line_id}
    for key in ("carrier", "kind", "interface", "medium", "responders"):
        _put(line, key, given)
    terms = {
        key: given[key] for key in ("down", "up", "number", "starts", "ends") if given.get(key) is not None
    }
    if "number" in terms or "starts" in terms or "ends" in terms:
        contract = {
            key: value.isoformat() if isinstance(value, date) else value for key, value in terms.items()
        }
        others = [each for each in line.get("contracts", []) if not _same_contract(each, contract)]
        line["contracts"] = [*others, contract]
    else:
        for key in ("down", "up"):
            if key in given:
                _put(line, f"contracted_{key}", {f"contracted_{key}": given[key]})
    return line


def _same_contract(one: Values, other: Values) -> bool:
    return all(one.get(key) == other.get(key) for key in ("number", "starts"))


def _put_declared(declared: Values, values: Values, _today: date) -> None:
    by = {"declared_by": values.get("declared_by"), "declared_on": values.get("declared_on")}
    if by["declared_on"] is None:
        return
    by["declared_on"] = by["declared_on"].isoformat()
    for name in FACTS:
        if values.get(name) is not None:
            fact = {"name": name, "holds": values[name], **by}
            declared["facts"] = [*_without(declared.get("facts", []), fact, "name"), fact]
    if values.get("wired") is not None or values.get("wireless") is not None:
        survey = {**by, "wired": values.get("wired") or [], "wireless": values.get("wireless") or []}
        declared["surveys"] = [*_without(declared.get("surveys", []), survey), survey]


def _without(held: list[Values], new: Values, key: str = "declared_on") -> list[Values]:
    """What is held, without the entry of the same day (and name) that ``new`` takes the place of."""
    same: Callable[[Values], bool] = lambda each: (  # noqa: E731
        each[key] == new[key] and each["declared_on"] == new["declared_on"]
    )
    return [each for each in held if not same(each)]


def _of_yaml(path: Path, known: Mapping[str, School]) -> Import:
    content = parse_yaml(text_of(read_bytes(path), path), str(path))
    entries = content.get("schools") if isinstance(content, dict) else None
    if not isinstance(entries, list) or len(entries) < 1:
        raise SheetError(f"{path}: key schools: is missing; allowed: a list of schools")
    schools: list[School] = []
    faults: list[Fault] = []
    seen: dict[tuple[str, str], int] = {("code", code): 0 for code in _codes_of(known)}
    for number, entry in enumerate(entries, start=1):
        row = Row(number, [])
        try:
            school = convert(entry, School, str(path), below=f"schools[{number - 1}]")
        except SettingsError as error:
            faults.append(Fault(number, "(yaml)", str(error).removeprefix(f"{path}: ")))
            continue
        wrong = [] if is_id(school.id) else [Fault(number, "id", f"{school.id!r} is not {ALLOWED}")]
        codes: list[str | None] = [each.code for each in school.codes]
        for code in codes or [None]:
            wrong += _repeated(row, {"id": school.id, "code": code}, seen, known)
        faults.extend(wrong)
        schools.extend([] if wrong else [school])
    return Import(schools, faults)


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode("utf-8") if value is not None else "nothing"
    return text if len(text) <= 120 else f"{text[:117]}..."
