"""A report as an Excel workbook: typed cells, and text that stays text.

What comes from people (names, notes) may begin with «=»: every text cell is typed as text and marked as
quoted, so that no spreadsheet makes a formula of it, not even when the cell is edited.
"""

from __future__ import annotations

import io
import re
from datetime import date, datetime
from typing import Any

from collector.reports.cells import Cell, Column, Kind, Sheet
from collector.reports.provenance import facts_of
from collector.reports.sheets import Reader
from config.words import message

FORMATS: dict[Kind, str] = {
    "text": "@",
    "count": "#,##0",
    "rate": "#,##0.0##",
    "share": "0.00%",
    "time": "yyyy-mm-dd hh:mm",
    "day": "yyyy-mm-dd",
}
MOST_CHARACTERS = 32_000
"""Of a cell; Excel takes 32,767."""
TITLE_CHARACTERS = 31
_NOT_IN_TITLES = re.compile(r"[\[\]:*?/\\]")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udfff]")
HEADER_FILL, HEADER_FONT = "1F4E79", "FFFFFF"
FILLS = {"✓": "E5F4EA", "✗": "FDECEB", "?": "FBF3D7"}


def workbook(reader: Reader) -> bytes:
    """The whole report: an overview, a sheet for each target, availability, outages, evidence, the plan."""
    import openpyxl  # noqa: PLC0415 (half a second that only spreadsheets need)

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    book.properties.title = f"{reader.content.plan.title} {reader.content.month}"
    book.properties.creator = f"xiaotong {reader.content.version}"
    _overview(book, reader)
    for target in reader.content.plan.targets:
        _add(book, reader.of_target(target))
    for name in ("availability", "outages", "evidence", "plan", "terminals"):
        _add(book, reader.sheet(name))
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def text_of(value: str) -> str:
    """What XML can hold of a text, no longer than a cell."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", value)[:MOST_CHARACTERS]


def _overview(book: Any, reader: Reader) -> None:
    from openpyxl.styles import Font  # noqa: PLC0415

    page = book.create_sheet(_free_title(book, reader.say(message("Overview"))))
    row = 1
    for heading, value in facts_of(reader):
        _put(page, row, 1, heading, "text")
        _put(page, row, 2, value, "text")
        page.cell(row, 1).font = Font(bold=True)
        row += 1
    _fill(page, reader.totals(), row + 1)
    page.freeze_panes = page.cell(row + 2, 1)


def _add(book: Any, sheet: Sheet) -> None:
    page = book.create_sheet(_free_title(book, sheet.title))
    _fill(page, sheet, 1)
    page.freeze_panes = "A2"
    if sheet.rows:
        page.auto_filter.ref = page.dimensions


def _fill(page: Any, sheet: Sheet, first_row: int) -> None:
    for place, column in enumerate(sheet.columns, start=1):
        _head(page, first_row, place, column)
    for number, cells in enumerate(sheet.rows, start=first_row + 1):
        for place, (column, value) in enumerate(zip(sheet.columns, cells, strict=True), start=1):
            _put(page, number, place, value, column.kind)
    page.page_setup.orientation = "landscape"
    page.page_setup.fitToHeight = 0
    page.sheet_properties.pageSetUpPr.fitToPage = True
    page.print_title_rows = f"{first_row}:{first_row}"


def _head(page: Any, row: int, place: int, column: Column) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill  # noqa: PLC0415
    from openpyxl.utils import get_column_letter  # noqa: PLC0415

    cell = _put(page, row, place, column.heading, "text")
    cell.font = Font(bold=True, color=HEADER_FONT)
    cell.fill = PatternFill("solid", fgColor=HEADER_FILL)
    cell.alignment = Alignment(wrap_text=True, vertical="center")
    width = page.column_dimensions[get_column_letter(place)]
    width.width = max(width.width if row > 1 else 0, column.width + 2)


def _put(page: Any, row: int, place: int, value: Cell, kind: Kind) -> Any:
    from openpyxl.styles import Alignment, PatternFill  # noqa: PLC0415

    cell = page.cell(row, place)
    if value is None or value == "":
        return cell
    if isinstance(value, str):
        cell.value = text_of(value)
        cell.data_type = "s"  # openpyxl would make a formula of «=…»
        cell.quotePrefix = True
        if value[0] in FILLS and value[1:2] == " ":
            cell.fill = PatternFill("solid", fgColor=FILLS[value[0]])
        cell.alignment = Alignment(wrap_text=len(value) > 30, vertical="top")
    else:
        cell.value = value
        cell.alignment = Alignment(vertical="top")
    cell.number_format = FORMATS[kind if not isinstance(value, str) else "text"]
    assert isinstance(value, str | int | float | datetime | date)
    return cell


def _free_title(book: Any, wanted: str) -> str:
    title = _NOT_IN_TITLES.sub(" ", wanted).strip("' ")[:TITLE_CHARACTERS]
    number = 2
    free = title
    while free.lower() in {name.lower() for name in book.sheetnames}:
        free = f"{title[: TITLE_CHARACTERS - 4]} {number}"
        number += 1
    return free
