"""Notices for classrooms' walls as a PDF: the school's code and its QR code, one page a school."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

import segno
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from collector.pdf_fonts import register_cjk_font
from collector.terminals.codes import shown
from config.words import Language, message, translate

QR_SIZE = 90 * mm
QUIET_MODULES = 4
"""ISO/IEC 18004: four modules of white around the code."""


class Notice(NamedTuple):
    """One school's."""

    school: str
    code: str


def address_of(url: str, code: str) -> str:
    """What a QR code holds: the test's page with the school's code."""
    return f"{url.rstrip('/')}/speed?code={quote(code)}"


def posters(notices: Iterable[Notice], url: str, language: Language, font_file: str = "") -> bytes:
    """The notices. Raises NoChineseFont."""
    font = register_cjk_font(font_file)
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for notice in notices:
        _page(canvas, notice, url, language, font)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _page(canvas: Canvas, notice: Notice, url: str, language: Language, font: str) -> None:
    width, height = A4
    title = translate(message("How fast is the network in this room?"), language)
    scan = translate(message("Scan the code, or open the address and type the school's code."), language)
    lines = (
        (height - 45 * mm, title, 26.0),
        (height - 60 * mm, notice.school, 18.0),
        (height - 185 * mm, shown(notice.code), 34.0),
        (height - 205 * mm, f"{url.rstrip('/')}/speed", 15.0),
        (height - 220 * mm, scan, 13.0),
    )
    for y, text, size in lines:
        _centred(canvas, y, text, size, font)
    left, bottom = (width - QR_SIZE) / 2, height - 165 * mm
    for x, y, side in _squares(address_of(url, notice.code)):
        canvas.rect(left + x, bottom + y, side, side, stroke=0, fill=1)


def _centred(canvas: Canvas, y: float, text: str, size: float, font: str) -> None:
    """Smaller where it would not fit."""
    room = A4[0] - 30 * mm
    fitting = min(size, size * room / max(1.0, stringWidth(text, font, size)))
    canvas.setFont(font, fitting)
    canvas.drawCentredString(A4[0] / 2, y, text)


def _squares(text: str) -> Iterator[tuple[float, float, float]]:
    """The dark modules: x and y of the lower left corner, and the side."""
    rows = [list(row) for row in segno.make(text, error="q", micro=False).matrix]
    side = QR_SIZE / (len(rows) + 2 * QUIET_MODULES)
    for down, row in enumerate(rows):
        for across, dark in enumerate(row):
            if dark:
                yield (across + QUIET_MODULES) * side, QR_SIZE - (down + 1 + QUIET_MODULES) * side, side
