"""The further sheets of a county's list: what one row a school cannot hold, each row naming its school."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, TypeAlias

from collector.registry.columns import (
    KINDS,
    MEDIA,
    PLACES,
    YES_NO,
    Column,
    between,
    heading_key,
    one_of,
    read_code,
    read_count,
    read_date,
    read_id,
    read_rate,
    read_school_year,
    several,
)

Values: TypeAlias = dict[str, Any]
Put: TypeAlias = Callable[["Detail", Values, Sequence[Values]], None]

DEVICE_KINDS = {"交换机": "switch", "无线控制器": "controller", "网关": "gateway"}
FACT_NAMES = {
    "网络建设标准A型": "network_standard_a",
    "实名认证": "real_name_login",
    "安全设备": "security_equipment",
    "5G试点": "pilot_5g",
}
_CONTRACT = ("number", "down", "up", "starts", "ends")


class Detail(NamedTuple):
    """A sheet: the school's list it is of, its titles and columns, and how its rows get there.

    ``identity`` are the columns that tell two rows of one school apart; ``needed`` must not be empty.
    """

    key: str
    chinese: str
    english: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    needed: tuple[str, ...]
    put: Put


def detail_titled(title: str) -> Detail | None:
    """The sheet of a title, in Chinese or English."""
    wanted = heading_key(title)
    return next((each for each in DETAILS if wanted in {heading_key(name) for name in each[:3]}), None)


def _replace(detail: Detail, declared: Values, rows: Sequence[Values]) -> None:
    """The rows are the whole list; what they have no column for stays as it was."""
    held = {_identity(detail, each): each for each in declared.get(detail.key, [])}
    declared[detail.key] = [_over(held.get(_identity(detail, row), {}), row) for row in rows]


def _add(detail: Detail, declared: Values, rows: Sequence[Values]) -> None:
    """The rows join the list, which is a history; one of the same identity is put over the one there is."""
    held = {_identity(detail, each): each for each in declared.get(detail.key, [])}
    for row in rows:
        held[_identity(detail, row)] = _over(held.get(_identity(detail, row), {}), row)
    declared[detail.key] = [held[identity] for identity in sorted(held, key=str)]


def _replace_lines(detail: Detail, declared: Values, rows: Sequence[Values]) -> None:
    """Rows of one line are its contracts, one a row; what the first says of the line need not be repeated."""
    held = {each["id"]: each for each in declared.get(detail.key, [])}
    by_line: dict[str, list[Values]] = {}
    for row in rows:
        by_line.setdefault(row["id"], []).append(row)
    declared[detail.key] = [_line(held.get(line_id, {}), own) for line_id, own in by_line.items()]


def _line(held: Values, rows: Sequence[Values]) -> Values:
    first, *more = ({_LINE_KEYS.get(k, k): v for k, v in row.items() if k not in _CONTRACT} for row in rows)
    line = _over(held, first)
    for row in more:
        line = _over(line, {key: value for key, value in row.items() if value is not None})
    if any(key in row for row in rows for key in _CONTRACT):
        contracts = [_over({}, {key: row.get(key) for key in _CONTRACT}) for row in rows]
        line["contracts"] = [each for each in contracts if each]
        for key in ("contracted_down", "contracted_up"):
            line.pop(key, None)
    return line


_LINE_KEYS = {"in_use_from": "starts", "in_use_until": "ends"}


def _over(held: Mapping[str, Any], row: Values) -> Values:
    """An empty cell takes back what was declared."""
    merged = {**held, **{key: _plain(value) for key, value in row.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _identity(detail: Detail, values: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(_plain(values.get(key)) for key in detail.identity)


_WHO = (
    Column("declared_by", "申报人", "declared by", str, "王老师"),
    Column("declared_on", "申报日期", "declared on", read_date, "2026-09-01"),
)

DETAILS: tuple[Detail, ...] = (
    Detail(
        "lines",
        "线路",
        "lines",
        (
            Column("id", "线路编号", "line id", read_id, "wan"),
            Column("carrier", "运营商", "carrier", str, "电信"),
            Column("kind", "类型", "kind", one_of(KINDS), "互联网"),
            Column("interface", "接口", "interface", str),
            Column("medium", "介质", "medium", one_of(MEDIA), "光纤"),
            Column("responders", "测速端", "responders", several(read_id)),
            Column("campus", "校区编号", "campus id", read_id),
            Column("in_use_from", "启用日期", "in use from", read_date),
            Column("in_use_until", "停用日期", "in use until", read_date),
            Column("number", "合同号", "contract", str, "HT-2026-001"),
            Column("down", "合同下行", "contracted down", read_rate, "200M"),
            Column("up", "合同上行", "contracted up", read_rate, "200M"),
            Column("starts", "合同开始", "contract starts", read_date, "2026-01-01"),
            Column("ends", "合同结束", "contract ends", read_date, "2026-12-31"),
        ),
        ("id", "number", "starts"),
        ("id",),
        _replace_lines,
    ),
    Detail(
        "devices",
        "设备",
        "devices",
        (
            Column("id", "设备编号", "device id", read_id, "core"),
            Column("kind", "设备类型", "device kind", one_of(DEVICE_KINDS), "交换机"),
            Column("address", "地址", "address", str, "192.0.2.10"),
            Column("trunk_ports", "骨干端口", "trunk ports", several(str), "Ten1/0/1、Ten1/0/2"),
            Column("access_ports", "接入端口", "access ports", several(str)),
            Column("serves_terminals", "接终端", "serves terminals", one_of(YES_NO), "否"),
        ),
        ("id",),
        ("id",),
        _replace,
    ),
    Detail(
        "campuses",
        "校区",
        "campuses",
        (
            Column("id", "校区编号", "campus id", read_id, "main"),
            Column("name", "校区名称", "campus name", str, "本部"),
            Column("township", "乡镇", "township", str, "清泉镇"),
            Column("longitude", "经度", "longitude", between(-180, 180), "101.09"),
            Column("latitude", "纬度", "latitude", between(-90, 90), "38.78"),
        ),
        ("id",),
        ("id",),
        _replace,
    ),
    Detail(
        "classes_by_year",
        "班级",
        "classes",
        (
            Column("starts", "学年", "school year", read_school_year, "2026"),
            Column("classes", "班级数", "classes", read_count, "12"),
            Column("pupils", "学生数", "pupils", read_count, "480"),
        ),
        ("starts",),
        ("starts", "classes"),
        _add,
    ),
    Detail(
        "codes",
        "标识码",
        "codes",
        (
            Column("code", "学校标识码", "code", read_code, "2162000001"),
            Column("starts", "启用日期", "valid from", read_date),
            Column("ends", "停用日期", "valid until", read_date),
        ),
        ("code",),
        ("code",),
        _add,
    ),
    Detail(
        "facts",
        "申报",
        "declarations",
        (
            Column("name", "申报事项", "declared fact", one_of(FACT_NAMES), "安全设备"),
            Column("holds", "是否具备", "holds", one_of(YES_NO), "是"),
            *_WHO,
            Column("note", "说明", "note", str),
        ),
        ("name", "declared_on"),
        ("name", "holds", "declared_by", "declared_on"),
        _add,
    ),
    Detail(
        "surveys",
        "覆盖调查",
        "coverage surveys",
        (
            Column("wired", "有线覆盖", "wired coverage", several(one_of(PLACES)), "室内"),
            Column("wireless", "无线覆盖", "wireless coverage", several(one_of(PLACES)), "室内、室外"),
            *_WHO,
        ),
        ("declared_on",),
        ("declared_by", "declared_on"),
        _add,
    ),
)
SCHOOL_ID = Column("school", "学校编号", "school id", read_id, "school-01")
"""The first column of every such sheet."""
