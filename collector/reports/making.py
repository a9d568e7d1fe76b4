"""A report's content into a file of a format."""

from __future__ import annotations

from collector.reports.content import Content
from collector.reports.csv_text import csv_of
from collector.reports.sheets import Reader
from config.words import Language

FORMATS = ("xlsx", "pdf", "csv")
MEDIA_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
}


def make(
    content: Content,
    format_: str,
    language: Language,
    *,
    table: str = "verdicts",
    bom: bool = False,
    font_file: str = "",
) -> bytes:
    """The file. Raises NoChineseFont for a PDF where no font with Chinese characters is found."""
    reader = Reader(content, language)
    if format_ == "csv":
        return csv_of(reader.sheet(table), bom=bom)
    if format_ == "xlsx":
        from collector.reports.xlsx import workbook  # noqa: PLC0415 (openpyxl)

        return workbook(reader)
    from collector.reports.pdf import document  # noqa: PLC0415 (reportlab)

    return document(reader, font_file)


def name_of(content: Content, format_: str, table: str = "") -> str:
    """A file's name: «xiaotong-shandan-2026-11.xlsx»."""
    parts = ["xiaotong", content.plan.id, content.month]
    parts += [content.school.id] if content.school else []
    parts += [table] if format_ == "csv" else []
    return f"{'-'.join(parts)}.{format_}"
