"""The columns of a county's list of schools: headings in Chinese and English, and how cells are read."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import NamedTuple

from collector.registry.ids import ALLOWED, is_id
from config.units import parse_rate

LINES = 4
MAX_COUNT = 100_000

LEVELS = {
    "幼儿园": "kindergarten", "小学": "primary", "初中": "junior", "九年一贯制": "nine_year",
    "完全中学": "complete", "高中": "senior", "职业": "vocational", "特教": "special",
    "教学点": "teaching_point", "其他机构": "other_body", "区县": "district",
}  # fmt: skip
AREAS = {"城区": "urban", "镇区": "town", "乡村": "rural"}
KINDS = {"互联网": "internet", "教育网": "education"}
MEDIA = {"光纤": "fibre", "铜缆": "copper", "无线": "wireless", "未知": "unknown"}
EGRESS = {"自有线路": "lines", "统一出口": "shared_exit"}
PLACES = {"教学": "teaching", "办公": "office", "室内": "indoors", "室外": "outdoors"}
YES_NO = {"是": True, "否": False, "yes": True, "no": False}

# GB/T 2260, the first two digits of a division's code
PROVINCES = frozenset(
    {
        *range(11, 16),
        *range(21, 24),
        *range(31, 38),
        *range(41, 47),
        *range(50, 55),
        *range(61, 66),
        71,
        81,
        82,
    }
)
TYPES_OF_CODE = frozenset({11, 21, 22, *range(31, 38), 41, 42, 51, 91, 92, 93})
"""11 kindergarten, 21 primary, 31 junior … Source: 教育部 学校(机构)代码管理办法, 2011."""

_DATE = re.compile(r"\A(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?\Z")
_SCHOOL_YEAR = re.compile(r"\A(\d{4})(?:\s?[-–—/]\s?\d{2,4})?(?:学年)?\Z")


class Column(NamedTuple):
    """A column: its value's key, its headings, and how a cell is read (ValueError says why not)."""

    key: str
    chinese: str
    english: str
    read: Callable[[str], object]
    example: str = ""


def heading_key(heading: str) -> str:
    """A heading without what people vary: case, spaces, underscores, brackets and what they hold, a star."""
    bare = re.sub(r"[(（【\[].*?[)）】\]]", "", heading)
    return re.sub(r"[\s_*·-]", "", bare).lower()


def columns_by_heading(columns: Iterable[Column]) -> Mapping[str, Column]:
    """Every column under each of its headings."""
    return {
        heading_key(heading): column
        for column in columns
        for heading in (column.chinese, column.english, column.key)
    }


def read_date(text: str) -> date:
    """«2026-09-01», «2026/9/1», «2026年9月1日»."""
    match = _DATE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no date; allowed: 2026-09-01")
    try:
        return date(*map(int, match.groups()))
    except ValueError:
        raise ValueError(f"{text!r} is no day of the calendar") from None


def read_school_year(text: str) -> date:
    """«2026», «2026-2027学年» begin on 1 September; a date begins on that day."""
    match = _SCHOOL_YEAR.match(text)
    return date(int(match[1]), 9, 1) if match else read_date(text)


def read_id(text: str) -> str:
    """An id as every room allows it."""
    if not is_id(text):
        raise ValueError(f"{text!r} is not {ALLOWED}")
    return text


def read_code(text: str) -> str:
    """A ten-digit 学校标识码: two digits of type, two of province, six of serial."""
    if re.fullmatch(r"[0-9]{10}", text) is None:
        raise ValueError(f"{text!r} is no 学校标识码; allowed: ten digits")
    if int(text[:2]) not in TYPES_OF_CODE:
        raise ValueError(
            f"{text!r}: {text[:2]} is no type of school; "
            f"allowed: {', '.join(map(str, sorted(TYPES_OF_CODE)))}"
        )
    if int(text[2:4]) not in PROVINCES:
        raise ValueError(f"{text!r}: {text[2:4]} is no province's code")
    return text


def read_count(text: str) -> int:
    """A number of classes or pupils."""
    if not text.isascii() or not text.isdigit() or int(text) > MAX_COUNT:
        raise ValueError(f"{text!r} is no count; allowed: whole numbers from 0 to {MAX_COUNT}")
    return int(text)


def read_hours(text: str) -> str:
    """«22:30-06:00»."""
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text, re.ASCII) is None:
        raise ValueError(f"{text!r} is no span of hours; allowed: 22:30-06:00")
    return text


def read_network(text: str) -> str:
    """«10.3.8.0/22», «2001:db8:3::/48»."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(f"{text!r} is no network; allowed: 10.3.8.0/22, 2001:db8:3::/48") from None


def read_rate(text: str) -> int:
    """«100M», «1G»; a bare number is megabits, as counties write it."""
    return int(parse_rate(f"{text}M" if re.fullmatch(r"\d+(\.\d+)?", text) else text))


def one_of(words: Mapping[str, object]) -> Callable[[str], object]:
    """Reads a word in Chinese, or the value itself in English."""
    values = {**{str(value): value for value in words.values() if isinstance(value, str)}, **words}

    def read(text: str) -> object:
        if text.lower() not in values:
            raise ValueError(f"{text!r} is not known; allowed: {', '.join(words)}")
        return values[text.lower()]

    return read


def several(read: Callable[[str], object]) -> Callable[[str], object]:
    """Reads what is separated by commas, semicolons or 、."""
    return lambda text: [read(part.strip()) for part in re.split(r"[,，;；、]", text) if part.strip()]


def between(low: float, high: float) -> Callable[[str], object]:
    """Reads a decimal number within bounds."""

    def read(text: str) -> object:
        if re.fullmatch(r"-?\d{1,3}(\.\d{1,12})?", text) is None or not low <= float(text) <= high:
            raise ValueError(f"{text!r} is no number from {low:g} to {high:g}")
        return float(text)

    return read


def _line_columns(number: int) -> tuple[Column, ...]:
    chinese, english, key = f"线路{number}", f"line {number} ", f"lines.{number}."
    first = number == 1
    return (
        Column(f"{key}id", f"{chinese}编号", f"{english}id", read_id, "wan" if first else ""),
        Column(f"{key}carrier", f"{chinese}运营商", f"{english}carrier", str, "电信" if first else ""),
        Column(f"{key}kind", f"{chinese}类型", f"{english}kind", one_of(KINDS), "互联网" if first else ""),
        Column(f"{key}interface", f"{chinese}接口", f"{english}interface", str),
        Column(f"{key}medium", f"{chinese}介质", f"{english}medium", one_of(MEDIA), "光纤" if first else ""),
        Column(f"{key}responders", f"{chinese}测速端", f"{english}responders", several(read_id)),
        Column(
            f"{key}down",
            f"{chinese}合同下行",
            f"{english}contracted down",
            read_rate,
            "200M" if first else "",
        ),
        Column(
            f"{key}up", f"{chinese}合同上行", f"{english}contracted up", read_rate, "200M" if first else ""
        ),
        Column(f"{key}number", f"{chinese}合同号", f"{english}contract", str),
        Column(f"{key}starts", f"{chinese}合同开始", f"{english}contract starts", read_date),
        Column(f"{key}ends", f"{chinese}合同结束", f"{english}contract ends", read_date),
    )


COLUMNS: tuple[Column, ...] = (
    Column("id", "学校编号", "school id", read_id, "school-01"),
    Column("name", "学校名称", "name", str, "第一小学"),
    Column("code", "学校标识码", "code", read_code, "2162000001"),
    Column("code_starts", "标识码启用日期", "code since", read_date),
    Column("level", "学段", "level", one_of(LEVELS), "小学"),
    Column("area", "城乡", "area", one_of(AREAS), "乡村"),
    Column("township", "乡镇", "township", str),
    Column("school_year", "学年", "school year", read_school_year, "2026"),
    Column("classes", "班级数", "classes", read_count, "12"),
    Column("pupils", "学生数", "pupils", read_count, "480"),
    Column("longitude", "经度", "longitude", between(-180, 180), "101.09"),
    Column("latitude", "纬度", "latitude", between(-90, 90), "38.78"),
    Column("networks", "终端网段", "networks", several(read_network)),
    Column("campuses", "校区", "campuses", several(read_id)),
    Column("power_cut", "停电时段", "power cut", several(read_hours)),
    Column("egress", "出口方式", "egress", one_of(EGRESS), "自有线路"),
    *(column for number in range(1, LINES + 1) for column in _line_columns(number)),
    Column("switches", "交换机", "switches", several(read_id)),
    Column("controllers", "无线控制器", "controllers", several(read_id)),
    Column("wired", "有线覆盖", "wired coverage", several(one_of(PLACES))),
    Column("wireless", "无线覆盖", "wireless coverage", several(one_of(PLACES))),
    Column("network_standard_a", "网络建设标准A型", "network standard a", one_of(YES_NO)),
    Column("real_name_login", "实名认证", "real-name login", one_of(YES_NO)),
    Column("security_equipment", "安全设备", "security equipment", one_of(YES_NO)),
    Column("pilot_5g", "5G试点", "5g pilot", one_of(YES_NO)),
    Column("declared_by", "申报人", "declared by", str),
    Column("declared_on", "申报日期", "declared on", read_date),
)
