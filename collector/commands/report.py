"""The month's report: Excel, PDF, CSV."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from collector.opening import config_option, language_of_option, opened_registry
from collector.reports.content import CannotReport, Gatherer
from collector.reports.making import FORMATS, make, name_of
from collector.reports.sheets import SHEETS
from collector.verdicts.opening import open_room
from config.cli import fail


@click.command("report", help="A month's report for the county or one school: .xlsx, .pdf or .csv.")
@click.option("--plan", "plan_id", help="Another plan than the first of verdicts.plans.")
@click.option("--month", metavar="YYYY-MM", help="Another month than this one.")
@click.option("--school", "school_id", help="Only this school.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="xlsx",
    show_default=True,
    help="What is written.",
)
@click.option(
    "--table", type=click.Choice(SHEETS), default="verdicts", show_default=True, help="Which table, for CSV."
)
@click.option("--bom", is_flag=True, help="Begin CSV with a byte order mark, for Excel.")
@click.option("--lang", help="zh-CN or en; else the locale's language.")
@click.option("--output", type=click.Path(path_type=Path), help="The file; - is standard output.")
@config_option
def command(
    *, plan_id: str | None, month: str | None, school_id: str | None, format_: str, table: str, bom: bool,
    lang: str | None, output: Path | None, config_file: Path,
) -> None:  # fmt: skip
    """An existing file is written anew; 2 when there is no such plan, month or school."""
    language = language_of_option(lang)
    with opened_registry(config_file) as (settings, registry):
        gatherer = Gatherer(registry, open_room(registry, settings.verdicts), settings.uptime)
        try:
            content = gatherer.gather(plan_id, month, school_id)
        except CannotReport as error:
            fail(str(error))
        data = make(content, format_, language, table=table, bom=bom, font_file=settings.reports.font_file)
    file = output or Path(name_of(content, format_, table))
    if str(file) == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        file.write_bytes(data)
    except OSError as error:
        fail(f"--output {file}: cannot be written: {error.strerror}")
    click.echo(f"{file}: {len(data)} bytes")
