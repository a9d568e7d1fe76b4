"""The fault report to the carrier 报障单: what its desk asks for, as text and as PDF."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple
from xml.sax.saxutils import escape

from collector.incidents.model import Incident
from collector.messages import words
from collector.messages.channels import one_line
from collector.messages.rendering import Reader, duration, headline, source_text
from config.school import Line, School, code_on, contract_on
from config.units import format_rate
from config.words import Language, message, translate

TITLE = message("Fault report")
SCHOOL, CODE, LINE = message("School"), message("School code"), message("Line")
CARRIER, CONTRACT = message("Carrier"), message("Contract number")
CONTRACTED, FAULT = message("Contracted rate"), message("Fault")
BEGAN, ENDED, LASTED = message("Began"), message("Ended"), message("Lasted")
MEASURED, EVIDENCE, CAUSE = message("Measured"), message("Evidence"), message("Likely cause")
TICKET, CONTACT, MADE = message("Carrier's ticket"), message("Reported by"), message("Report made")
REFERENCE = message("Our number")
STILL = message("still going on")
NONE = message("unknown")
RATES = message("down {down}, up {up}")
TIMES = message("All times are local ({zone}).")


class FaultReport(NamedTuple):
    """A title, rows of (heading, text), and a remark below."""

    title: str
    rows: tuple[tuple[str, str], ...]
    remark: str

    def as_text(self) -> str:
        """For a form, a chat or a telephone."""
        return "\n".join(
            [self.title, "", *(f"{heading}: {text}" for heading, text in self.rows), "", self.remark, ""]
        )


def fault_report(
    incident: Incident,
    schools: Mapping[str, School],
    *,
    language: Language,
    zone: tzinfo,
    now: datetime,
    contact: str = "",
    steps: Sequence[tuple[datetime, str]] = (),
) -> FaultReport:
    """The report of one incident. ``steps`` are further evidence: when, and what in words."""
    reader = Reader(language, zone, one_line, schools)
    rows = [(translate(heading, language), text) for heading, text in _rows(incident, reader, now, contact)]
    evidence = translate(EVIDENCE, language)
    rows += [(evidence, f"{_moment(at, zone)} {text}") for at, text in steps]
    remark = translate(TIMES, language, zone=_offset(now.astimezone(zone)))
    return FaultReport(translate(TITLE, language), tuple(row for row in rows if row[1]), remark)


def _offset(moment: datetime) -> str:
    """«UTC+08:00»: the zone's own letters, like CST, mean another zone elsewhere."""
    return f"UTC{moment.isoformat()[-6:]}"


def _rows(incident: Incident, reader: Reader, now: datetime, contact: str) -> Iterator[tuple[str, str]]:
    yield REFERENCE, str(incident.id)
    yield FAULT, headline(incident, reader)
    for school_id in [incident.school_id] if incident.school_id else incident.schools:
        yield from _school_rows(school_id, incident, reader)
    yield BEGAN, _moment(incident.started_at, reader.zone)
    ended = incident.resolved_at
    yield ENDED, _moment(ended, reader.zone) if ended else reader.say(STILL)
    yield LASTED, duration(((ended or now) - incident.started_at).total_seconds(), reader)
    yield MEASURED, _measured(incident)
    yield EVIDENCE, _evidence(incident, reader)
    yield CAUSE, reader.say(words.CAUSES[incident.facts.cause])
    yield TICKET, one_line(incident.carrier_ticket) or reader.say(NONE)
    yield CONTACT, one_line(contact)
    yield MADE, _moment(now, reader.zone)


def _school_rows(school_id: str, incident: Incident, reader: Reader) -> Iterator[tuple[str, str]]:
    school = reader.schools.get(school_id)
    day = incident.started_at.astimezone(reader.zone).date()
    yield SCHOOL, reader.school(school_id)
    if school is None:
        return
    yield CODE, code_on(school, day) or ""
    for line in _lines(school, incident):
        contract = contract_on(line, day)
        yield LINE, one_line(line.id)
        yield CARRIER, one_line(contract.carrier or line.carrier)
        yield CONTRACT, one_line(contract.number) or reader.say(NONE)
        if contract.down is not None or contract.up is not None:
            places = {
                "down": format_rate(contract.down) if contract.down is not None else reader.say(NONE),
                "up": format_rate(contract.up) if contract.up is not None else reader.say(NONE),
            }
            yield CONTRACTED, reader.say(RATES, **places)


def _lines(school: School, incident: Incident) -> list[Line]:
    """The line that the incident or its evidence is of, those of the carrier that is down, or all."""
    what, _, name = incident.subject.partition("/")
    evidence = incident.facts.evidence
    line_id = name.partition("/")[0] if what == "line" else (evidence.tags.get("line") if evidence else None)
    if what == "carrier":
        return [line for line in school.lines if line.carrier == name]
    return [line for line in school.lines if line.id == line_id] or list(school.lines)


def _measured(incident: Incident) -> str:
    measured, target = incident.facts.measured, incident.facts.target
    if measured is None or measured.unit != "bit/s":
        return ""
    needed = f" < {format_rate(target.value)}" if target and target.value > measured.value else ""
    return f"{format_rate(measured.value)}{needed}"


def _evidence(incident: Incident, reader: Reader) -> str:
    seen = incident.facts.evidence
    if seen is None:
        return ""
    return f"{_moment(seen.at, reader.zone)} {source_text(seen, reader)}"


def _moment(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def as_pdf(report: FaultReport, font: str) -> bytes:
    """One page or several, A4, in ``font`` (of ``register_cjk_font``)."""
    from reportlab.lib import colors  # noqa: PLC0415 (only who makes a PDF loads it)
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415
    from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415
    from reportlab.lib.units import mm  # noqa: PLC0415
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle  # noqa: PLC0415

    text = ParagraphStyle("text", fontName=font, fontSize=10.5, leading=15, wordWrap="CJK")
    title = ParagraphStyle("title", parent=text, fontSize=18, leading=26, alignment=1)
    cells = [[Paragraph(escape(cell), text) for cell in row] for row in report.rows]
    table = Table(cells, colWidths=[38 * mm, 132 * mm])
    table.setStyle(
        TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
    )
    out = io.BytesIO()
    page = SimpleDocTemplate(
        out, pagesize=A4, title=report.title, author="xiaotong", topMargin=20 * mm, bottomMargin=20 * mm
    )
    parts = [Paragraph(escape(report.title), title), Spacer(1, 8 * mm), table, Spacer(1, 6 * mm)]
    page.build([*parts, Paragraph(escape(report.remark), text)])
    return out.getvalue()
