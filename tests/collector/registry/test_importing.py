"""The county's list of schools: whole, broken, changed, and large."""

from __future__ import annotations

import os
import stat
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner, Result

from collector.main import main
from collector.registry import Registry
from collector.registry.importing import read_schools
from collector.registry.sheets import SheetError
from config.school import School

TODAY = date(2026, 11, 22)
HEAD = "学校编号,学校名称,学校标识码,学段,城乡,班级数,线路1编号,线路1运营商,线路1合同下行"
FIRST = "s1,第一小学,2162000001,小学,乡村,12,wan,电信,200M"


class County:
    """A collector's settings and its command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "collector.yaml"
        self.config.write_text(f"data_directory: {folder}/data\nverdicts: {{plans: [shandan]}}\n")

    def file(self, *rows: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.write_bytes("\n".join(rows).encode(encoding))
        return path

    def run(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [*map(str, arguments), "--config", str(self.config)])

    def schools(self) -> dict[str, School]:
        registry = Registry.open(f"sqlite:///{self.folder}/data/registry.db")
        found = dict(registry.schools())
        registry.close()
        return found


@pytest.fixture
def county(tmp_path: Path) -> County:
    return County(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_csv_is_imported_whole(county: County, encoding: str) -> None:
    result = county.run("schools", "import", county.file(HEAD, FIRST, encoding=encoding))
    assert (result.exit_code, result.output) == (0, "1 schools read, 1 changed\n")
    school = county.schools()["s1"]
    assert (school.name, school.level, school.area, school.classes) == ("第一小学", "primary", "rural", 12)
    assert (school.lines[0].id, school.lines[0].carrier) == ("wan", "电信")
    assert school.lines[0].contracted_down == 200_000_000
    assert [code.code for code in school.codes] == ["2162000001"]


def test_the_same_file_twice_changes_nothing(county: County) -> None:
    path = county.file(HEAD, FIRST)
    county.run("schools", "import", path)
    assert county.run("schools", "import", path).output == "1 schools read, 0 changed\n"


def test_a_dry_run_shows_the_difference_and_does_nothing(county: County) -> None:
    county.run("schools", "import", county.file(HEAD, FIRST))
    changed = county.file(HEAD, FIRST.replace(",12,", ",13,"), "s2,b,,,,,,,")
    output = county.run("schools", "import", changed, "--dry-run").output
    assert output == "changed s1: classes: 12 -> 13\nnew s2 b\n2 schools read, 2 would change\n"
    assert county.schools()["s1"].classes == 12


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("s2,x,,,,-3,,,", "row 3, column 班级数: '-3' is no count; allowed: whole numbers from 0"),
        ("s2,x,,,,1.5,,,", "column 班级数: '1.5' is no count"),
        ("s2,x,,,,=1+1,,,", "column 班级数: holds a formula; allowed: its value as plain text"),
        ("s2,x,,大学,,,,,", "column 学段: '大学' is not known; allowed: 幼儿园"),
        ("s2,x,123,,,,,,", "column 学校标识码: '123' is no 学校标识码; allowed: ten digits"),
        ("s2,x,9962000001,,,,,,", "99 is no type of school"),
        ("s2,x,2199000001,,,,,,", "99 is no province's code"),
        ("s2,x,2162000001,,,,,,", "column 学校标识码: 2162000001 stands in row 2 already"),
        ("s1,x,,,,,,,", "row 3, column 学校编号: s1 stands in row 2 already"),
        (",x,,,,,,,", "column 学校编号: is empty"),
        ("../s2,x,,,,,,,", "column 学校编号: '../s2' is not 1 to 64"),
        ("s2,x,,,,,wan,电信,fast", "column 线路1合同下行: 'fast' is not a rate"),
        ("s2,x,,,,,,,,more", "has a cell under no heading"),
    ],
)
def test_a_bad_row_is_told_and_nothing_is_imported(county: County, row: str, fault: str) -> None:
    result = county.run("schools", "import", county.file(HEAD, FIRST, row))
    assert result.exit_code == 2
    assert fault in result.output
    assert county.schools() == {}


def test_all_faults_are_told_at_once(county: County) -> None:
    rows = (HEAD, FIRST, "s2,x,,,,-3,,,", "s3,x,1,火星,,,,,")
    result = county.run("schools", "import", county.file(*rows))
    assert [line.split(": ")[1] for line in result.output.splitlines()[:3]] == [
        "row 3, column 班级数", "row 4, column 学校标识码", "row 4, column 学段",
    ]  # fmt: skip
    assert "error: 3 faults: nothing is imported" in result.output


def test_partial_imports_the_whole_rows(county: County) -> None:
    result = county.run("schools", "import", county.file(HEAD, FIRST, "s2,x,,,,-3,,,"), "--partial")
    assert result.exit_code == 1
    assert list(county.schools()) == ["s1"]


def test_another_schools_code_is_refused(county: County) -> None:
    county.run("schools", "import", county.file(HEAD, FIRST))
    result = county.run("schools", "import", county.file(HEAD, "s2,x,2162000001,,,,,,"))
    assert "2162000001 is another school's" in result.output


def test_a_changed_code_keeps_the_schools_history(tmp_path: Path) -> None:
    county_list = {"s1": School("s1")}
    for code, day in (("2162000001", date(2020, 9, 1)), ("3162000002", date(2026, 9, 1))):
        path = _csv_of(tmp_path, "学校编号,学校标识码,标识码启用日期", f"s1,{code},{day}")
        county_list = {school.id: school for school in read_schools(path, county_list, TODAY).schools}
    codes = [(code.code, code.starts, code.ends) for code in county_list["s1"].codes]
    assert codes == [
        ("2162000001", date(2020, 9, 1), date(2026, 8, 31)),
        ("3162000002", date(2026, 9, 1), None),
    ]


def test_a_column_that_the_file_lacks_leaves_things_as_they_are(county: County) -> None:
    county.run("schools", "import", county.file(HEAD, FIRST))
    county.run("schools", "import", county.file("学校编号,班级数", "s1,14"))
    school = county.schools()["s1"]
    assert (school.classes, school.name, len(school.lines)) == (14, "第一小学", 1)


def test_classes_by_school_year(tmp_path: Path) -> None:
    path = _csv_of(tmp_path, "学校编号,学年,班级数,学生数", "s1,2025-2026学年,10,400")
    [first] = read_schools(path, {}, TODAY).schools
    path = _csv_of(tmp_path, "学校编号,学年,班级数", "s1,2026,12")
    [school] = read_schools(path, {"s1": first}, TODAY).schools
    years = [(year.starts, year.classes, year.pupils) for year in school.classes_by_year]
    assert years == [(date(2025, 9, 1), 10, 400), (date(2026, 9, 1), 12, None)]


def test_what_is_declared_needs_who_and_when(tmp_path: Path) -> None:
    path = _csv_of(tmp_path, "学校编号,实名认证", "s1,是")
    assert [fault.column for fault in read_schools(path, {}, TODAY).faults] == ["申报人", "申报日期"]
    path = _csv_of(tmp_path, "学校编号,实名认证,无线覆盖,申报人,申报日期", "s1,是,教学、办公,王,2026/9/1")
    [school] = read_schools(path, {}, TODAY).schools
    assert (school.facts[0].name, school.facts[0].holds) == ("real_name_login", True)
    assert school.surveys[0].wireless == ("teaching", "office")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.xlsx", b"PK\x03\x04half a zip", "is no whole .xlsx file"),
        ("utf16.csv", "学校编号\ns1".encode("utf-16"), "is neither UTF-8 nor GB18030"),
        ("binary.csv", b"\xff\xff\xff\xff", "is neither UTF-8 nor GB18030"),
        ("empty.csv", b"", "is empty"),
        ("quote.csv", b'"open', "is not CSV"),
        ("list.doc", b"x", "allowed: .xlsx, .csv, .yaml"),
        ("none.yaml", b"schools: []", "key schools: is missing"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(county: County, name: str, content: bytes, reason: str) -> None:
    path = county.folder / name
    path.write_bytes(content)
    result = county.run("schools", "import", path)
    assert result.exit_code == 2
    assert reason in result.output
    assert len(result.output.splitlines()) == 1


def test_an_xlsx_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = _xlsx(tmp_path / "whole.xlsx", [["学校编号", "班级数"], ["s1", 12]]).read_bytes()
    for length in range(0, len(whole), 97):
        path = tmp_path / "cut.xlsx"
        path.write_bytes(whole[:length])
        with pytest.raises(SheetError):
            read_schools(path, {}, TODAY)


def test_an_xlsx_with_numbers_dates_and_a_formula(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["School ID", "Classes", "Code"], ["s1", 12, 2162000001], ["s2", "=6*2", None]]
    found = read_schools(_xlsx(tmp_path / "list.xlsx", rows), {}, TODAY)
    assert [(school.id, school.classes) for school in found.schools] == [("s1", 12)]
    assert [str(fault) for fault in found.faults] == [
        "row 3, column 班级数: holds a formula; allowed: its value as plain text"
    ]


def test_yaml_tells_every_bad_entry(county: County) -> None:
    text = "schools:\n- {id: s1, classes: 3}\n- {id: s2, classes: -1}\n- {id: s1}\n- {id: s4, nonsense: 1}\n"
    result = county.run("schools", "import", county.file(text, name="list.yaml"))
    assert "row 2, column (yaml): key schools[1].classes: expected int >= 0" in result.output
    assert "row 3, column 学校编号: s1 stands in row 1 already" in result.output
    assert "row 4, column (yaml): key schools[3].nonsense: is unknown" in result.output


@pytest.mark.parametrize("name", ["template.xlsx", "template.csv"])
@pytest.mark.parametrize("more", [[], ["--english"]])
def test_the_template_can_be_imported(county: County, name: str, more: list[str]) -> None:
    path = county.folder / name
    assert CliRunner().invoke(main, ["schools", "template", str(path), *more]).exit_code == 0
    result = county.run("schools", "import", path)
    assert result.output == "1 schools read, 1 changed\n"
    assert county.schools()["school-01"].classes_by_year[0].classes == 12
    assert (
        "cannot be written: File exists"
        in CliRunner().invoke(main, ["schools", "template", str(path)]).output
    )


def test_ten_thousand_schools(county: County) -> None:
    rows = [f"s{n},学校{n},21620{n:05d},小学,乡村,12,wan,电信,200M" for n in range(10_000)]
    path = county.file(HEAD, *rows)
    assert county.run("schools", "import", path).output == "10000 schools read, 10000 changed\n"
    assert county.run("schools", "import", path).output == "10000 schools read, 0 changed\n"


def test_agents_are_enrolled_from_the_command_line(county: County) -> None:
    county.run("schools", "import", county.file(HEAD, FIRST))
    token_file = county.folder / "token"
    result = county.run("agents", "add", "s1", "--token-file", token_file)
    token = token_file.read_text().strip()
    assert result.exit_code == 0
    assert token not in result.output
    assert stat.S_IMODE(os.stat(token_file).st_mode) == 0o600
    listed = county.run("agents", "list", "--json").output
    assert '"school_id": "s1"' in listed
    assert token not in listed
    again = county.run("agents", "add", "s1", "--token-file", token_file)
    assert (again.exit_code, "exists already" in again.output) == (2, True)
    assert county.run("agents", "revoke", "s1-1").exit_code == 0
    assert county.run("agents", "revoke", "nobody").exit_code == 2


def test_a_token_file_is_left_only_by_an_agent(county: County) -> None:
    result = county.run("agents", "add", "nobody", "--token-file", county.folder / "token")
    assert (result.exit_code, "school nobody: is not known" in result.output) == (2, True)
    assert not (county.folder / "token").exists()


def test_verdicts_from_the_command_line(county: County) -> None:
    county.run("schools", "import", county.file(HEAD, FIRST))
    result = county.run("verdicts", "--plan", "shandan", "--json")
    assert result.exit_code == 3
    assert '"needed_bits_per_second": 60000000' in result.output
    assert county.run("verdicts", "--plan", "shandan", "--school", "s1").exit_code == 3
    for wrong in (("--plan", "x"), ("--school", "x"), ("--at", "x")):
        assert county.run("verdicts", *wrong).exit_code == 2


def test_a_plan_is_checked(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "config/plans/shandan.yaml"
    assert CliRunner().invoke(main, ["plans", "check", str(shipped)]).exit_code == 0
    broken = tmp_path / "plan.yaml"
    broken.write_text(shipped.read_text().replace("kind: egress_per_class", "kind: nonsense"))
    result = CliRunner().invoke(main, ["plans", "check", str(broken)])
    assert result.exit_code == 2
    assert result.output.count("nonsense") == 3


def _csv_of(folder: Path, *rows: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def _xlsx(path: Path, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("name", ["schools.yaml", "schools.txt", "schools"])
def test_a_template_is_never_written_under_a_name_that_lies(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(main, ["schools", "template", str(tmp_path / name)])
    assert done.exit_code == 2
    assert "allowed: .xlsx, .csv" in done.output
    assert not (tmp_path / name).exists()


def test_the_shipped_example_is_imported_whole(tmp_path: Path) -> None:
    county = County(tmp_path)
    example = Path(__file__).parents[3] / "config/examples/schools.yaml"
    done = county.run("schools", "import", example)
    assert done.exit_code == 0, done.output
    assert {school.classes for school in county.schools().values()} == {36, 9}
