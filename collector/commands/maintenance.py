"""Announce maintenance: its minutes are outside availability."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from collector.access import audit
from collector.opening import config_option, opened_registry
from collector.registry import RegistryError
from collector.uptime.announcing import announce
from collector.uptime.records import Maintenance
from collector.verdicts.opening import calendar_of
from config.calendar import SchoolCalendar
from config.cli import fail


@click.group("maintenance", help="Announced maintenance, which is outside availability.")
def command() -> None:
    """Its commands."""


@command.command("add", help="Announce maintenance before it begins.")
@click.option("--school", "school_id", help="Only this school; without it every school.")
@click.option("--from", "starts", required=True, metavar="TIME", help="Local, 2027-01-31T22:00.")
@click.option("--to", "ends", required=True, metavar="TIME", help="The same.")
@click.option("--why", required=True, help="Reason, shown with the availability.")
@config_option
def add(school_id: str | None, starts: str, ends: str, why: str, config_file: Path) -> None:
    """What has begun cannot be announced any more: nobody excuses an outage afterwards."""
    with opened_registry(config_file) as (settings, registry):
        calendar = calendar_of(settings.verdicts)
        begin, end = _moment(starts, "--from", calendar), _moment(ends, "--to", calendar)
        wanted = Maintenance(school_id, begin, end, why, datetime.now(UTC))
        try:
            number = announce(registry, wanted, audit.command_line())
        except RegistryError as error:
            fail(str(error))
    click.echo(f"maintenance {number}: announced")


def _moment(text: str, option: str, calendar: SchoolCalendar) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: is no time; allowed: 2027-01-31T22:00")
    return moment if moment.tzinfo else moment.replace(tzinfo=calendar.time_zone)
