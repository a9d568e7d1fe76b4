"""Reports of a county: the same totals all over, typed cells, text that is no formula, unknown that stays"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from collector.reports.content import CannotReport, Content
from collector.reports.csv_text import csv_of, neutral
from collector.reports.making import make, name_of
from collector.reports.sheets import SHEETS, Reader
from config.verdict import Answer
from tests.collector.reports.county import NOW, PAYLOADS, County, M, county_of


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    made = county_of(tmp_path_factory.mktemp("county"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def content(county: County) -> Content:
    return county.gatherer().gather(now=NOW)


def opened(data: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(data))


def cells_of(book: Any) -> Iterator[Any]:
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            yield from (cell for cell in row if cell.value is not None)


def test_totals_are_those_of_the_verdicts(county: County, content: Content) -> None:
    verdicts = [one.verdict for each in county.registry.schools() for one in county.room.of_school(each)]
    for total in content.totals:
        own = [each.answer for each in verdicts if each.target == total.target.id]
        counted = (own.count(Answer.MET), own.count(Answer.NOT_MET), own.count(Answer.UNKNOWN))
        assert (total.met, total.not_met, total.unknown) == counted
    assert sum(each.not_met for each in content.totals) > 0
    assert sum(each.met for each in content.totals) > 0


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_workbook_has_typed_cells_and_frozen_headings(content: Content, language: Any) -> None:
    book = opened(make(content, "xlsx", language))
    assert len(book.worksheets) == 1 + len(content.plan.targets) + 5
    page = book.worksheets[1]
    assert page.freeze_panes == "A2"
    first = {cell.column: cell for cell in page[2]}
    assert isinstance(first[4].value, int)
    assert isinstance(first[6].value, int | float)
    assert isinstance(first[10].value, datetime)
    assert first[10].number_format == "yyyy-mm-dd hh:mm"
    measured = content.stands[0].judged
    assert measured is not None
    newest = max(each.at for each in measured.verdict.evidence)
    assert first[10].value == newest.astimezone(content.zone).replace(tzinfo=None)


def test_the_overview_has_the_totals(content: Content) -> None:
    page = opened(make(content, "xlsx", "en")).worksheets[0]
    rows = {row[1].value: [cell.value for cell in row[2:6]] for row in page.iter_rows(min_row=8)}
    for total in content.totals:
        assert rows[total.target.id] == [total.schools, total.met, total.not_met, total.unknown]


@pytest.mark.fault(19)
def test_names_are_no_formulas_in_a_workbook(content: Content) -> None:
    cells = list(cells_of(opened(make(content, "xlsx", "en"))))
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    hostile = [
        cell for cell in cells if isinstance(cell.value, str) and cell.value.startswith(("=", "+", "-", "@"))
    ]
    assert {cell.value for cell in hostile} >= {"=1+1", "+1", "-1", "@SUM(A1)", PAYLOADS[-1]}
    assert all(cell.quotePrefix and cell.number_format == "@" for cell in hostile)


@pytest.mark.fault(19)
@pytest.mark.parametrize("table", SHEETS)
def test_names_are_no_formulas_in_csv(content: Content, table: str) -> None:
    data = csv_of(Reader(content, "en").sheet(table))
    for row in csv.reader(io.StringIO(data.decode(), newline="")):
        assert not [cell for cell in row if re.match(r"\s*[=@\t\r]|\s*[+-](?![\d.]+$)", cell)]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_gets_an_apostrophe_and_loses_nothing(payload: str) -> None:
    assert neutral(payload) == f"'{payload}"
    assert neutral(f"  {payload}").startswith("'")
    assert neutral("第一小学") == "第一小学"


def test_csv_has_a_byte_order_mark_when_asked(content: Content) -> None:
    assert make(content, "csv", "zh_CN", bom=True).startswith(b"\xef\xbb\xbf")
    assert not make(content, "csv", "zh_CN").startswith(b"\xef\xbb\xbf")


def test_unknown_is_an_empty_cell_and_never_zero(content: Content) -> None:
    sheet = Reader(content, "en").availability()
    by_school = {row[0]: row for row in sheet.rows}
    assert by_school["s004"][3] is None  # no minute of it is known
    assert by_school["s004"][7] is None
    assert isinstance(by_school["s001"][7], int)
    never = next(each for each in content.stands if each.school.id == "s005")
    assert never.answer is Answer.UNKNOWN


def test_a_past_month_is_as_it_stood_then(county: County) -> None:
    """What was measured on 19 November says nothing of October: no verdict stood, so all is unknown."""
    past = county.gatherer().gather(month="2026-10", now=NOW)
    assert {each.answer for each in past.stands} == {Answer.UNKNOWN}
    assert past.until == past.start + timedelta(days=31)
    assert all(total.met == 0 == total.not_met for total in past.totals)
    later = county.gatherer().gather(month="2026-11", now=NOW + timedelta(days=40))
    now = county.gatherer().gather(now=NOW)
    assert [(t.met, t.not_met) for t in later.totals] == [(t.met, t.not_met) for t in now.totals]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"plan_id": "beilun"}, "plan beilun: is not judged here; allowed: shandan"),
        ({"month": "2026-13"}, "month 2026-13: is no month; allowed: YYYY-MM"),
        ({"month": "2027-01"}, "month 2027-01: is yet to come; allowed: this month or an earlier one"),
        ({"school_id": "nobody"}, "school nobody: is not known"),
    ],
)
def test_what_cannot_be_reported_is_told_in_one_line(county: County, asked: Any, words: str) -> None:
    with pytest.raises(CannotReport, match=f"^{re.escape(words)}$"):
        county.gatherer().gather(**asked, now=NOW)


def test_one_school(county: County) -> None:
    one = county.gatherer().gather(school_id="s007", now=NOW)
    assert {each.school.id for each in one.stands} == {"s007"}
    assert name_of(one, "pdf") == "xiaotong-shandan-2026-11-s007.pdf"
    assert all(row[0] == "s007" for row in Reader(one, "en").outages().rows)


def test_a_later_measurement_changes_the_next_report(tmp_path: Path) -> None:
    county = county_of(tmp_path, 12)
    before = county.gatherer().gather(now=NOW).totals[0]
    county.measure("s010", 10 * M, days_ago=0.1)
    after = county.gatherer().gather(now=NOW).totals[0]
    county.close()
    assert before.schools == after.schools


@pytest.mark.needs("pdftotext")
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh_CN", ("学校网络规划达标月报", "未达标", "签字", "第 1 页")),
        ("en", ("report of a month", "Signatures")),
    ],
)
def test_a_pdf_has_pages_words_and_a_place_to_sign(
    content: Content, tmp_path: Path, language: Any, words: tuple[str, ...]
) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(make(content, "pdf", language))
    text = subprocess.run(
        ["pdftotext", "-layout", file, "-"], capture_output=True, text=True, check=True
    ).stdout
    assert all(word in text for word in words)
    assert '=HYPERLINK("http://evil.example","x")' in text
    total = content.totals[0]
    assert re.search(rf"{total.schools}\s+{total.met}\s+{total.not_met}\s+{total.unknown}", text)


def test_markup_in_a_name_is_shown_as_text(tmp_path: Path) -> None:
    county = county_of(tmp_path, 8)
    school = county.registry.schools()["s001"]
    county.registry.put_school(
        type(school)(**{**_plain(school), "name": "<b>&<img src='file:///etc/passwd'/>"})
    )
    data = make(county.gatherer().gather(now=NOW), "pdf", "en")
    county.close()
    assert data.startswith(b"%PDF-")


def _plain(school: Any) -> dict[str, Any]:
    return {name: getattr(school, name) for name in school.__struct_fields__}


@pytest.mark.needs("soffice")
def test_libreoffice_opens_it_with_the_same_totals(content: Content, tmp_path: Path) -> None:
    file = tmp_path / "report.xlsx"
    file.write_bytes(make(content, "xlsx", "en"))
    program = shutil.which("soffice") or "soffice"
    command = [program, f"-env:UserInstallation=file://{tmp_path}/profile", "--headless", "--convert-to",
               "csv:Text - txt - csv (StarCalc):44,34,76", "--outdir", str(tmp_path), str(file)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    rows = list(csv.reader((tmp_path / "report.csv").read_text("utf-8").splitlines()))
    for total in content.totals:
        row = next(row for row in rows if total.target.id in row)
        assert row[2:6] == [str(n) for n in (total.schools, total.met, total.not_met, total.unknown)]
