"""A sheet as CSV. Texts that a spreadsheet would take for a formula get an apostrophe before them.

Source: OWASP «CSV Injection»: a cell that begins with =, +, -, @, tab or carriage return.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime

from collector.reports.cells import Cell, Sheet

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def csv_of(sheet: Sheet, *, bom: bool = False) -> bytes:
    """Headings and rows, UTF-8, lines ended as RFC 4180 wants. ``bom`` tells Excel that it is UTF-8."""
    out = io.StringIO()
    if bom:
        out.write(BOM)
    writer = csv.writer(out)
    writer.writerow(neutral(column.heading) for column in sheet.columns)
    for row in sheet.rows:
        writer.writerow(map(_text, row))
    return out.getvalue().encode("utf-8", "replace")


def neutral(text: str) -> str:
    """The text as no formula, also where blanks stand before its beginning."""
    risky = text.startswith(FORMULA_STARTS) or text.lstrip(" ").startswith(FORMULA_STARTS)
    return f"'{text}" if risky else text


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return neutral(cell.replace("\0", ""))
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ", timespec="minutes")
    return f"{cell:.6f}".rstrip("0").rstrip(".") if isinstance(cell, float) else str(cell)
