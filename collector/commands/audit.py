"""``xiaotong-collector audit``: the log of who did what."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table

from collector.access import audit as log
from collector.access.exporting import csv_of
from collector.opening import config_option, opened_registry
from config.cli import fail


@click.command("audit", help="The log of who did what, the oldest first.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--json", "form", flag_value="json", help="Print JSON, one line each.")
@click.option("--since", metavar="DAY", help="From this UTC day on, 2027-01-31.")
@config_option
def command(form: Literal["csv", "json"] | None, since: str | None, config_file: Path) -> None:
    """All of it, as a table, as CSV or as JSON."""
    start = _day(since) if since else None
    with opened_registry(config_file) as (_, registry), registry.reading() as connection:
        entries = log.every(connection, start)
        if form == "csv":
            for line in csv_of(entries):
                click.echo(line, nl=False)
        elif form == "json":
            for entry in entries:
                click.echo(msgspec.json.encode(entry))
        else:
            Console().print(_table(list(entries)))


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        fail(f"--since {text}: is no day; allowed: 2027-01-31")


def _table(entries: list[log.Entry]) -> Table:
    headings = ("at (UTC)", "who", "from", "what", "to whom", "details")
    table = Table(*(Column(heading, overflow="fold") for heading in headings))
    for each in entries:
        detail = msgspec.json.encode(each.detail).decode("utf-8") if each.detail else ""
        moment = f"{each.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(moment, each.who, each.address, each.action, each.subject, detail)
    return table
