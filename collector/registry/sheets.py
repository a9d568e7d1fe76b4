"""Tables of text from .xlsx and .csv files, with every damaged or computed cell told apart."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_ROWS = 100_000
MAX_SHEETS = 32
MAX_CELL_CHARACTERS = 2000
_ENCODINGS = ("utf-8-sig", "gb18030")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class SheetError(Exception):
    """A file that cannot be read as a table, in one line."""


class Row(NamedTuple):
    """One row: its number as a spreadsheet shows it, its cells as text. A computed cell begins with «=»."""

    number: int
    cells: list[str]


class Sheet(NamedTuple):
    """A sheet's title, «» for a .csv file, and its rows that are not empty."""

    title: str
    rows: list[Row]


def read_sheets(path: Path) -> list[Sheet]:
    """The sheets that are not empty, the first one first. Raises SheetError, also when there is none."""
    data = read_bytes(path)
    if path.suffix.lower() == ".xlsx":
        sheets = list(_xlsx(path, data))
    else:
        sheets = [Sheet("", _bounded(_csv(path, data), path))]
    filled = [sheet for sheet in sheets if sheet.rows]
    if not filled:
        raise SheetError(f"{path}: is empty")
    return filled


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises SheetError when it is missing or too large."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SheetError(f"{path}: is larger than the {MAX_FILE_BYTES} bytes allowed")
        return path.read_bytes()
    except OSError as error:
        raise SheetError(f"{path}: cannot be read: {error.strerror}") from None


def text_of(data: bytes, path: Path) -> str:
    """UTF-8 or GB18030 as text. Raises SheetError for anything else."""
    if not data.startswith(_UTF16_MARKS) and b"\0" not in data:
        for encoding in _ENCODINGS:
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                continue
    raise SheetError(f"{path}: is neither UTF-8 nor GB18030 text; save it as one of these")


def _bounded(rows: Iterable[Row], path: Path) -> list[Row]:
    kept = []
    for row in rows:
        if row.number > MAX_ROWS:
            raise SheetError(f"{path}: has more than the {MAX_ROWS} rows allowed")
        if any(row.cells):
            kept.append(row)
    return kept


def _csv(path: Path, data: bytes) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text_of(data, path), newline=""), strict=True)
    try:
        for cells in reader:
            yield Row(reader.line_num, [cell.strip() for cell in cells])
    except csv.Error as error:
        raise SheetError(f"{path}: row {reader.line_num}: is not CSV: {error}") from None


def _xlsx(path: Path, data: bytes) -> Iterator[Sheet]:
    import openpyxl  # noqa: PLC0415 (half a second that only spreadsheets need)

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise SheetError(f"{path}: unpacks to more than the {MAX_UNPACKED_BYTES} bytes allowed")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=False)
        for sheet in book.worksheets[:MAX_SHEETS]:
            lines = enumerate(sheet.iter_rows(values_only=True), start=1)
            rows = (Row(number, [_text(cell) for cell in cells]) for number, cells in lines)
            yield Sheet(sheet.title, _bounded(rows, path))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, IndexError, ParseError) as error:
        raise SheetError(f"{path}: is no whole .xlsx file: {str(error) or type(error).__name__}") from None


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date):
        return cell.isoformat()[:10]
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
