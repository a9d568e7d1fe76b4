"""The fault report of an incident to the carrier: text, or a PDF."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from collector.incidents.book import IncidentBook
from collector.incidents.showing import evidence_of, reader_of
from collector.messages.fault_report import as_pdf, fault_report
from collector.opening import config_option, opened_registry
from collector.pdf_fonts import register_cjk_font
from collector.verdicts.opening import calendar_of
from config.cli import fail
from config.words import language_of_environment


@click.command(
    "fault-report", help="The report of an incident to its carrier (报障单): text, or with --pdf a PDF."
)
@click.argument("incident_id", metavar="ID", type=int)
@click.option("--pdf", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write a PDF there.")
@click.option("--contact", default="", help="Who reports: name and telephone.")
@config_option
def command(incident_id: int, file: Path | None, contact: str, config_file: Path) -> None:
    """The carrier's number is kept with «incidents ticket» and stands in the report."""
    with opened_registry(config_file) as (settings, registry):
        book, zone = IncidentBook(registry), calendar_of(settings.verdicts).time_zone
        incident = book.get(incident_id)
        if incident is None:
            fail(f"incident {incident_id}: is not known")
        schools, language = registry.schools(), language_of_environment(os.environ)
        report = fault_report(
            incident,
            schools,
            language=language,
            zone=zone,
            now=datetime.now(UTC),
            contact=contact,
            steps=evidence_of(book, incident, reader_of(language, zone, schools)),
        )
    if file is None:
        click.echo(report.as_text(), nl=False)
        return
    content = as_pdf(report, register_cjk_font(settings.pdf_font_file))
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(f"--pdf {file}: cannot be written: {error.strerror}")
