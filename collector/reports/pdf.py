"""A report as a PDF that an education office can sign: A4, Chinese fonts, charts, page numbers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from collector.pdf_fonts import register_cjk_font
from collector.reports import charts
from collector.reports.cells import Cell, Sheet
from collector.reports.content import Stand
from collector.reports.provenance import facts_of
from collector.reports.sheets import Reader
from config.verdict import Answer
from config.words import message as _

MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
PADDING = 6
"""Of reportlab's frame, inside its margins."""
GREY = colors.HexColor("#566173")
RULE = colors.HexColor("#c9d0da")
HEAD = colors.HexColor("#1f4e79")
STRIPE = colors.HexColor("#f4f6f9")
MOST_OUTAGES = 200
LEAST_ROOM = 50 * mm
"""No heading stands alone at the foot of a page: its table begins beneath it."""
MOST_SCHOOLS = 300


def document(reader: Reader, font_file: str = "") -> bytes:
    """The whole report. Raises NoChineseFont."""
    made = _Document(reader, register_cjk_font(font_file))
    out = io.BytesIO()
    template = SimpleDocTemplate(
        out, pagesize=A4, topMargin=20 * mm, bottomMargin=20 * mm,
        leftMargin=MARGIN - PADDING, rightMargin=MARGIN - PADDING,
        title=made.title, author=f"xiaotong {reader.content.version}", lang="zh-CN",
    )  # fmt: skip
    template.build(list(made.story()), canvasmaker=made.canvas_maker())
    return out.getvalue()


class _Document:
    def __init__(self, reader: Reader, font: str) -> None:
        self._reader = reader
        self._content = reader.content
        self._font = font
        self._say = reader.say
        self._glyphs = _stand_ins(font)
        base = ParagraphStyle("base", fontName=font, fontSize=9, leading=13, wordWrap="CJK")
        self._base = base
        self._small = ParagraphStyle("small", base, fontSize=7.5, leading=10.5)
        self._grey = ParagraphStyle("grey", self._small, textColor=GREY)
        self._heading = ParagraphStyle("heading", base, fontSize=13, leading=18, spaceBefore=14, spaceAfter=6,
                                       textColor=HEAD)  # fmt: skip
        self._white = ParagraphStyle("white", self._small, textColor=colors.white)
        self._title = ParagraphStyle("title", base, fontSize=20, leading=28, alignment=TA_CENTER)
        self._subtitle = ParagraphStyle("subtitle", base, fontSize=12, leading=18, alignment=TA_CENTER,
                                        textColor=GREY, spaceAfter=10)  # fmt: skip
        content = self._content
        self.title = self._say(_("School networks against the plan: report of a month"))
        who = content.school.name or content.school.id if content.school else content.plan.county
        self._of = f"{who} · {content.month}"

    def story(self) -> Iterator[Flowable]:
        """The flowables in order."""
        yield self._text(self.title, self._title)
        yield self._text(self._of, self._subtitle)
        yield self._facts()
        yield from self._summary()
        yield from self._availability()
        yield from self._by_target()
        yield from self._outages()
        yield from self._words()
        yield self._signatures()

    def canvas_maker(self) -> Callable[..., Canvas]:
        """A canvas that knows how many pages there are when it writes the feet."""
        foot = f"xiaotong {self._content.version} · {self._of}"
        return lambda *given, **named: _Numbered(*given, foot=foot, font=self._font, say=self._say, **named)

    def _facts(self) -> Flowable:
        rows = [[self._text(name, self._grey), self._text(value)] for name, value in facts_of(self._reader)]
        table = Table(rows, [32 * mm, WIDTH - 32 * mm])
        table.setStyle(TableStyle([
            ("LINEABOVE", (0, 0), (-1, 0), 0.8, HEAD), ("LINEBELOW", (0, -1), (-1, -1), 0.8, HEAD),
            ("VALIGN", (0, 0), (-1, -1), "TOP"), ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ]))  # fmt: skip
        return table

    def _summary(self) -> Iterator[Flowable]:
        yield self._text(self._say(_("How the schools stand")), self._heading)
        totals = [each for each in self._content.totals if each.schools]
        labels = {
            answer: self._reader.answer(answer).translate(self._glyphs)
            for answer in (Answer.MET, Answer.NOT_MET, Answer.UNKNOWN)
        }
        names = [f"{self._reader.title_of(each.target)}" for each in totals]
        yield charts.shares(totals, names, labels, WIDTH, self._font)
        sheet = self._reader.totals()
        asked = sheet._replace(rows=[row for row in sheet.rows if row[2]])
        yield self._table(_without(asked, 1))
        yield Spacer(1, 3)
        yield self._text(
            self._say(_("Unknown is never counted as met: what was not measured is shown as unknown.")),
            self._grey,
        )

    def _availability(self) -> Iterator[Flowable]:
        heading = self._text(self._say(_("Availability in school hours")), self._heading)
        uptimes = [(school, self._content.uptime.get(school.id)) for school in self._content.schools]
        known = [
            (school.name or school.id, uptime.of().school_hours.availability or 0.0)
            for school, uptime in uptimes
            if uptime is not None and uptime.of().school_hours.counts
        ]
        worst_first = sorted(known, key=lambda pair: pair[1])
        chart = [charts.availability(worst_first, WIDTH, self._font)] if known else []
        yield KeepTogether([heading, *chart])
        unknown = len(uptimes) - len(known)
        if unknown:
            text = self._say(
                _("Of {n} schools less than 95 % of the time is known: nothing is claimed."), n=unknown
            )
            yield self._text(text, self._grey)

    def _by_target(self) -> Iterator[Flowable]:
        for target in self._content.plan.targets:
            stands = self._content.of(target)
            open_ones = [each for each in stands if each.answer is not Answer.MET]
            shown = stands if self._content.school else open_ones
            if not stands:
                continue
            heading = self._text(self._reader.title_of(target), self._heading)
            words = self._text(target.quote, self._grey)
            if not shown:
                met = self._text(self._say(_("All {n} schools asked meet it."), n=len(stands)))
                yield KeepTogether([heading, words, met])
                continue
            note = self._say(
                _("Not met or unknown: {n} of {asked} schools."), n=len(open_ones), asked=len(stands)
            )
            yield CondPageBreak(LEAST_ROOM)
            yield KeepTogether([heading, words, self._text(note), Spacer(1, 3)])
            yield self._stands(shown)

    def _stands(self, stands: Sequence[Stand]) -> Flowable:
        order = {Answer.NOT_MET: 0, Answer.UNKNOWN: 1, Answer.MET: 2}
        chosen = sorted(stands, key=lambda each: (order[each.answer], each.school.id))[:MOST_SCHOOLS]
        full = self._reader.of_target(chosen[0].target)
        by_school = {row[0]: row for row in full.rows}
        places = (1, 3, 4, 5, 6, 7, 11)
        columns = [full.columns[place]._replace(width=width) for place, width in
                   zip(places, (20, 9, 12, 15, 15, 15, 46), strict=True)]  # fmt: skip
        rows = [[by_school[each.school.id][place] for place in places] for each in chosen]
        return self._table(full._replace(columns=columns, rows=rows))

    def _outages(self) -> Iterator[Flowable]:
        sheet = self._reader.outages()
        yield CondPageBreak(LEAST_ROOM)
        yield self._text(self._say(_("Outages")), self._heading)
        if not sheet.rows:
            yield self._text(self._say(_("None was recorded in what is known of the month.")))
            return
        longest = sorted(sheet.rows, key=lambda row: -int(str(row[5])))[:MOST_OUTAGES]
        widths = (24, 9, 16, 16, 9, 10, 20)
        columns = [each._replace(width=wide) for each, wide in zip(sheet.columns[1:8], widths, strict=True)]
        yield self._table(sheet._replace(columns=columns, rows=[row[1:8] for row in longest]))
        if len(sheet.rows) > len(longest):
            text = self._say(_("The {n} longest of {all}; all are in the Excel report."), n=len(longest),
                             all=len(sheet.rows))  # fmt: skip
            yield self._text(text, self._grey)

    def _words(self) -> Iterator[Flowable]:
        yield self._text(self._say(_("The plan's words")), self._heading)
        for target in self._content.plan.targets:
            title = self._text(self._reader.title_of(target), self._base)
            yield KeepTogether([title, self._text(target.quote, self._grey), Spacer(1, 4)])

    def _signatures(self) -> Flowable:
        say = self._say
        blank = "　" * 10
        cells = [
            [say(_("Prepared by:")) + blank, say(_("Checked by:")) + blank, say(_("Approved by:")) + blank],
            [
                say(_("Date:")) + blank,
                say(_("Date:")) + blank,
                say(_("Seal of the education office:")) + blank,
            ],
        ]
        rows = [[self._text(cell) for cell in row] for row in cells]
        table = Table(rows, [WIDTH / 3] * 3, [16 * mm, 16 * mm])
        table.setStyle(TableStyle([
            ("BOX", (0, 0), (-1, -1), 0.6, RULE), ("INNERGRID", (0, 0), (-1, -1), 0.4, RULE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]))  # fmt: skip
        said = self._text(
            say(
                _(
                    "Made from measurements that the collector keeps, and from what is declared; "
                    "declared is never counted as measured."
                )
            ),
            self._grey,
        )
        return KeepTogether([self._text(say(_("Signatures")), self._heading), table, Spacer(1, 4), said])

    def _table(self, sheet: Sheet) -> Flowable:
        whole = sum(column.width for column in sheet.columns)
        head = [self._text(column.heading, self._white) for column in sheet.columns]
        rows = [[self._text(_shown(cell, column.kind), self._small) for cell, column in
                 zip(row, sheet.columns, strict=True)] for row in sheet.rows]  # fmt: skip
        table = Table([head, *rows], [WIDTH * column.width / whole for column in sheet.columns], repeatRows=1)
        table.setStyle(TableStyle([
            ("BACKGROUND", (0, 0), (-1, 0), HEAD), ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("ROWBACKGROUNDS", (0, 1), (-1, -1), (colors.white, STRIPE)),
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE), ("LEFTPADDING", (0, 0), (-1, -1), 4),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4), ("TOPPADDING", (0, 0), (-1, -1), 2.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]))  # fmt: skip
        return table

    def _text(self, text: str, style: ParagraphStyle | None = None) -> Paragraph:
        """Names are data: what looks like markup is shown as it is."""
        shown = "".join(c if c >= " " else " " for c in text).translate(self._glyphs)
        return Paragraph(escape(shown), style or self._base)


def _stand_ins(font: str) -> dict[int, str]:
    """Signs that the font lacks, and those that stand for them: WenQuanYi has no ✗."""
    has = pdfmetrics.getFont(font).face.charToGlyph
    wanted = {"✓": "√", "✗": "×", "≥": ">=", "≤": "<="}
    return {ord(sign): other for sign, other in wanted.items() if ord(sign) not in has}


def _without(sheet: Sheet, place: int) -> Sheet:
    """A sheet that lacks a column."""
    rows = [[*row[:place], *row[place + 1 :]] for row in sheet.rows]
    return sheet._replace(columns=[*sheet.columns[:place], *sheet.columns[place + 1 :]], rows=rows)


def _shown(cell: Cell, kind: str) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    if isinstance(cell, float):
        return f"{cell * 100:.2f} %" if kind == "share" else f"{cell:,.1f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


class _Numbered(Canvas):  # type: ignore[misc]  # reportlab has no types
    """Writes the feet when all pages are known. Source: reportlab's user guide, canvasmaker."""

    def __init__(self, *given: Any, foot: str, font: str, say: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._foot, self._foot_font, self._say = foot, font, say
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 (reportlab's name)
        """Keep the page for later."""
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write every page with its foot."""
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setFont(self._foot_font, 7.5)
            self.setFillColor(GREY)
            self.drawString(MARGIN, 11 * mm, self._foot)
            text = self._say(_("Page {n} of {all}"), n=number, all=len(self._pages))
            self.drawRightString(A4[0] - MARGIN, 11 * mm, text)
            super().showPage()
        super().save()
