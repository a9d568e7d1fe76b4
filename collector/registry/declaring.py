"""What one row of a county's list says of its school, put over what is declared of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from collector.registry.columns import LINES
from config.school import FactName

Values = dict[str, Any]
FACTS: tuple[FactName, ...] = ("network_standard_a", "real_name_login", "security_equipment", "pilot_5g")
DECLARED_COLUMNS = ("wired", "wireless", *FACTS)
PLAIN_KEYS = (
    "name", "level", "area", "township", "pupils", "longitude", "latitude", "egress", "power_cut",
    "networks",
)  # fmt: skip


def declare(declared: Values, values: Values, today: date) -> None:
    """Put a row's values over ``declared``; a column that the file lacks leaves things as they are."""
    for key in PLAIN_KEYS:
        put(declared, key, values)
    for change in (_put_code, _put_classes, _put_campuses, _put_lines, _put_devices):
        change(declared, values, today)
    _put_declared(declared, values, today)


def contradictions(values: Values) -> Iterator[tuple[str, str]]:
    """Column and reason of what cannot be in one row together."""
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


def put(declared: Values, key: str, values: Values) -> None:
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
        put(declared, "classes", values)
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
        put(line, key, given)
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
                put(line, f"contracted_{key}", {f"contracted_{key}": given[key]})
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
