"""The further sheets of a county's list, by the command, in a workbook and as files of their own."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import openpyxl
import pytest
from click.testing import CliRunner

from collector.main import main
from collector.registry.columns import COLUMNS
from collector.registry.details import DETAILS, SCHOOL_ID
from config.school import Campus, Contract, Device, Fact, School, SchoolCode, Survey
from tests.collector.registry.test_importing import County

Table: TypeAlias = list[list[Any]]

SCHOOLS: Table = [["学校编号", "学校名称"], ["s1", "第一小学"], ["s2", "第二小学"]]
LINES: Table = [
    [
        "学校编号",
        "线路编号",
        "运营商",
        "类型",
        "校区编号",
        "启用日期",
        "合同号",
        "合同下行",
        "合同开始",
        "合同结束",
    ],
    ["s1", "wan", "电信", "互联网", "east", "2024-01-01", "A1", "100M", "2025-01-01", "2025-12-31"],
    ["s1", "wan", None, None, None, None, "A2", "500M", "2026-01-01", None],
    ["s1", "edu", None, "教育网", None, None, None, "1G", None, None],
]
DEVICES: Table = [
    ["School ID", "Device ID", "Device kind", "Address", "Trunk ports", "Serves terminals"],
    ["s1", "core", "switch", "192.0.2.10", "Ten1/0/1, Ten1/0/2", "no"],
    ["s1", "ac", "无线控制器", "192.0.2.11", None, None],
]
CAMPUSES: Table = [
    ["学校编号", "校区编号", "校区名称", "乡镇", "经度", "纬度"],
    ["s1", "east", "东校区", "东乐镇", 101.3, 38.8],
]
CLASSES: Table = [["学校编号", "学年", "班级数"], ["s1", "2025", 10], ["s1", "2026-2027学年", 12]]
CODES: Table = [
    ["学校编号", "学校标识码", "启用日期", "停用日期"],
    ["s1", "2162000001", "2010-09-01", "2020-08-31"],
]
FACTS: Table = [
    ["学校编号", "申报事项", "是否具备", "申报人", "申报日期"],
    ["s1", "实名认证", "否", "李老师", "2025-09-01"],
    ["s1", "实名认证", "是", "王老师", "2026-09-01"],
    ["s1", "安全设备", "是", "张老师", "2026-05-01"],
]
SURVEYS: Table = [
    ["学校编号", "有线覆盖", "无线覆盖", "申报人", "申报日期"],
    ["s1", "室内", "室内、室外", "王老师", "2026-09-01"],
]
SHEETS: dict[str, Table] = {
    "学校": SCHOOLS, "线路": LINES, "Devices": DEVICES, "校区": CAMPUSES, "班级": CLASSES, "标识码": CODES,
    "申报": FACTS, "覆盖调查": SURVEYS,
}  # fmt: skip


@pytest.fixture
def county(tmp_path: Path) -> County:
    return County(tmp_path)


def workbook(county: County, sheets: dict[str, Table], name: str = "list.xlsx") -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(county.folder / name)
    return county.folder / name


def assert_whole(school: School) -> None:
    wan, edu = school.lines
    assert (wan.id, wan.carrier, wan.kind, wan.campus, wan.starts) == (
        "wan", "电信", "internet", "east", date(2024, 1, 1),
    )  # fmt: skip
    assert [(each.number, each.down, each.starts, each.ends) for each in wan.contracts] == [
        ("A1", 100_000_000, date(2025, 1, 1), date(2025, 12, 31)),
        ("A2", 500_000_000, date(2026, 1, 1), None),
    ]
    assert (edu.kind, edu.contracts) == ("education", (Contract(down=edu.contracts[0].down),))
    assert school.devices == (
        Device("core", "switch", "192.0.2.10", ("Ten1/0/1", "Ten1/0/2"), (), False),
        Device("ac", "controller", "192.0.2.11"),
    )
    assert school.campuses == (Campus("east", "东校区", "东乐镇", 101.3, 38.8),)
    assert [(each.starts, each.classes) for each in school.classes_by_year] == [
        (date(2025, 9, 1), 10), (date(2026, 9, 1), 12),
    ]  # fmt: skip
    assert school.codes == (SchoolCode("2162000001", date(2010, 9, 1), date(2020, 8, 31)),)
    assert set(school.facts) == {
        Fact("real_name_login", False, "李老师", date(2025, 9, 1)),
        Fact("real_name_login", True, "王老师", date(2026, 9, 1)),
        Fact("security_equipment", True, "张老师", date(2026, 5, 1)),
    }
    assert school.surveys == (Survey("王老师", date(2026, 9, 1), ("indoors",), ("indoors", "outdoors")),)


def test_a_workbook_says_everything_and_twice_changes_nothing(county: County) -> None:
    file = workbook(county, SHEETS)
    assert county.run("schools", "import", file).output == "2 schools read, 2 changed\n"
    assert_whole(county.schools()["s1"])
    assert county.schools()["s2"] == School("s2", "第二小学")
    assert county.run("schools", "import", file).output == "2 schools read, 0 changed\n"


def test_each_sheet_may_be_a_csv_of_its_own(county: County) -> None:
    for number, rows in enumerate(SHEETS.values()):
        text = ["\t".join("" if cell is None else str(cell) for cell in row) for row in rows]
        quoted = [",".join(f'"{cell}"' for cell in row.split("\t")) for row in text]
        result = county.run("schools", "import", county.file(*quoted, name=f"{number}.csv"))
        assert result.exit_code == 0, result.output
    assert_whole(county.schools()["s1"])


def test_what_a_sheet_does_not_speak_of_stays(county: County) -> None:
    county.run("schools", "import", workbook(county, SHEETS))
    lines = [["学校编号", "线路编号", "运营商"], ["s1", "wan", "移动"], ["s1", "edu", "教育网"]]
    assert county.run("schools", "import", workbook(county, {"线路": lines})).exit_code == 0
    wan, edu = county.schools()["s1"].lines
    assert (wan.carrier, edu.carrier, len(wan.contracts), wan.campus) == ("移动", "教育网", 2, "east")
    assert len(county.schools()["s1"].devices) == 2


def test_every_fault_of_every_sheet_is_told_and_nothing_is_imported(county: County) -> None:
    wrong: dict[str, Table] = {
        "学校": [["学校编号", "班级数"], ["s1", 3], ["s2", -1]],
        "线路": [
            ["学校编号", "线路编号", "合同下行", "合同开始", "合同结束"],
            ["s1", "wan", "fast", None, None],
            ["s9", "wan", None, None, None],
            ["s1", None, None, None, None],
            ["s2", "a", None, "2026-02-01", "2026-01-01"],
        ],
        "设备": [["学校编号", "设备编号", "颜色"], ["s1", "core", "x"]],
        "申报": [
            ["学校编号", "申报事项", "是否具备", "申报人", "申报日期"],
            ["s1", "实名认证", "是", None, None],
        ],
        "校区": [["学校编号", "校区编号"], ["s1", "east"], ["s1", "east"], ["s1", "=A1"]],
    }
    result = county.run("schools", "import", workbook(county, wrong))
    assert result.exit_code == 2
    told = [line.split(".xlsx: ")[1] for line in result.output.splitlines()[:-1]]
    expected = [
        "row 3, column 班级数: '-1' is no count",
        "sheet 线路, row 2, column 合同下行: 'fast' is not a rate",
        "sheet 线路, row 4, column 线路编号: is empty",
        "sheet 线路, row 5, column 合同结束: 2026-01-01 is before 合同开始, 2026-02-01",
        "sheet 设备, row 1, column 颜色: is unknown",
        "sheet 申报, row 2, column 申报人: is empty",
        "sheet 申报, row 2, column 申报日期: is empty",
        "sheet 校区, row 3, column 校区编号: stands in row 2 already",
        "sheet 校区, row 4, column 校区编号: holds a formula",
        "sheet 线路, row 3, column 学校编号: s9 is no school that is known",
    ]
    assert len(told) == len(expected)
    for line, start in zip(told, expected, strict=True):
        assert line.startswith(start)
    assert county.schools() == {}


def test_partial_leaves_out_a_school_with_one_row_at_fault(county: County) -> None:
    lines = [
        ["学校编号", "线路编号", "合同下行"],
        ["s1", "wan", "100M"],
        ["s1", "edu", "fast"],
        ["s2", "wan", "1G"],
    ]
    result = county.run("schools", "import", workbook(county, {"学校": SCHOOLS, "线路": lines}), "--partial")
    assert result.exit_code == 1
    assert list(county.schools()) == ["s2"]


def test_a_sheet_of_notes_is_said_to_be_left(county: County) -> None:
    result = county.run("schools", "import", workbook(county, {"学校": SCHOOLS, "说明": [["填表说明"]]}))
    assert result.exit_code == 0
    assert "sheet 说明: is not read; allowed: 线路 lines, 设备 devices" in result.output
    assert len(county.schools()) == 2


@pytest.mark.parametrize("more", [[], ["--english"]])
def test_the_templates_further_sheets_can_be_imported(county: County, more: list[str]) -> None:
    whole = county.folder / "whole.xlsx"
    assert CliRunner().invoke(main, ["schools", "template", str(whole), *more]).exit_code == 0
    assert county.run("schools", "import", whole).exit_code == 0
    school = county.schools()["school-01"]
    assert school.devices[0].trunk_ports == ("Ten1/0/1", "Ten1/0/2")
    assert school.lines[0].contracts[0].number == "HT-2026-001"
    printed = CliRunner().invoke(main, ["schools", "template", "--sheet", "devices", *more]).output
    file = county.file(printed.replace("192.0.2.10", "192.0.2.99"), name="devices.csv")
    assert county.run("schools", "import", file).output == "1 schools read, 1 changed\n"
    assert county.schools()["school-01"].devices[0].address == "192.0.2.99"


def test_yaml_tells_every_fault_of_an_entry_and_checks_its_code(county: County) -> None:
    text = (
        "schools:\n- {id: s1, classes: -1, level: x, lines: [{id: a, contracted_down: fast}]}\n"
        "- {id: s2, codes: [{code: '9962000001'}]}\n"
    )
    output = county.run("schools", "import", county.file(text, name="list.yaml")).output
    for start in ("schools[0].level", "schools[0].classes", "schools[0].lines[0].contracted_down"):
        assert f"row 1, column (yaml): key {start}" in output
    assert "row 2, column 学校标识码: '9962000001': 99 is no type of school" in output
    assert county.schools() == {}


def test_a_yaml_list_may_be_larger_than_settings(county: County) -> None:
    """Settings end at 1 MiB; a county's list need not."""
    entries = [
        f"- {{id: s{n}, name: {'校' * 60}, classes: 12, lines: [{{id: wan, carrier: 电信}}]}}"
        for n in range(6000)
    ]
    file = county.file("schools:", *entries, name="list.yaml")
    assert file.stat().st_size > 1024 * 1024
    assert county.run("schools", "import", file).output == "6000 schools read, 6000 changed\n"


def test_every_column_is_documented_in_both_languages() -> None:
    page = (Path(__file__).parents[3] / "docs/schools.md").read_text(encoding="utf-8")
    for column in (*COLUMNS, SCHOOL_ID, *(column for detail in DETAILS for column in detail.columns)):
        if not column.key.startswith(("lines.2", "lines.3", "lines.4")):
            assert f"| {column.chinese} | {column.english} |" in page
    for detail in DETAILS:
        assert f"### {detail.chinese}, {detail.english} (`--sheet {detail.key}`)" in page
