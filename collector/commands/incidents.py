"""What is wrong in the county now and lately; take an incident, note, keep the carrier's ticket."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from collector.access import audit
from collector.incidents.book import IncidentBook, IncidentUnknown
from collector.incidents.model import Incident
from collector.incidents.showing import (
    STATES,
    STEPS,
    WAITS,
    incident_json,
    reader_of,
    step_json,
    text,
    title,
)
from collector.messages.rendering import Reader
from collector.messages.words import SEVERITIES
from collector.opening import config_option, opened_registry
from collector.verdicts.opening import calendar_of
from collector.verdicts.report import as_text
from config.cli import ExitStatus, fail
from config.present import folding
from config.words import language_of_environment, message, translate

LATELY = timedelta(days=7)


@click.group("incidents", invoke_without_command=True, help="Incidents that are open, and those of a week.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--school", "school_id", help="Only this school.")
@click.option("--open", "only_open", is_flag=True, help="Only what is not over, what waits to be told too.")
@config_option
@click.pass_context
def command(
    context: click.Context, as_json: bool, school_id: str | None, only_open: bool, config_file: Path
) -> None:
    """Exit status 0 nothing is open, 1 something is."""
    if context.invoked_subcommand is not None:
        return
    now = datetime.now(UTC)
    with opened_registry(config_file) as (settings, registry):
        if school_id is not None and school_id not in registry.schools():
            fail(f"school {school_id}: is not known")
        since = None if only_open else now - LATELY
        found = IncidentBook(registry).find(
            school_id=school_id, unresolved=only_open, pending=only_open, since=since
        )
        reader = reader_of(
            language_of_environment(os.environ), calendar_of(settings.verdicts).time_zone, registry.schools()
        )
    if as_json:
        click.echo(as_text({"incidents": list(map(incident_json, found))}))
    else:
        _print(found, reader)
    is_open = any(each.state in ("open", "acknowledged") for each in found)
    raise click.exceptions.Exit(int(ExitStatus.NOT_MET if is_open else ExitStatus.MET))


@command.command("show", help="One incident: what, since when, the evidence, what happened to it.")
@click.argument("number", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def show(number: int, as_json: bool, config_file: Path) -> None:
    """With the incidents that are told of with it."""
    with opened_registry(config_file) as (settings, registry):
        book = IncidentBook(registry)
        incident = book.get(number)
        if incident is None:
            fail(f"incident {number}: is not known")
        steps, children = book.steps(number), book.children_of(number)
        reader = reader_of(
            language_of_environment(os.environ), calendar_of(settings.verdicts).time_zone, registry.schools()
        )
    if as_json:
        found = incident_json(incident) | {"steps": list(map(step_json, steps))}
        click.echo(as_text(found | {"told_with_it": list(map(incident_json, children))}))
        return
    click.echo(f"{incident.id}  {title(incident, reader)}  [{reader.say(STATES[incident.state])}]")
    click.echo(text(incident, datetime.now(UTC), reader))
    for step in steps:
        told = " ".join(part for part in (step.by, step.text) if part)
        click.echo(f"{reader.when(step.at)}  {reader.say(STEPS[step.what])}  {told}".rstrip())
    for child in children:
        click.echo(f"  {child.id}  {title(child, reader)}  [{reader.say(STATES[child.state])}]")


@command.command("ack", help="Take an incident: nobody is reminded of it any more.")
@click.argument("number", type=int)
@config_option
def ack(number: int, config_file: Path) -> None:
    """In the name of whoever is logged in here."""
    with opened_registry(config_file) as (_, registry):
        _done(lambda: IncidentBook(registry).acknowledge(number, getpass.getuser(), datetime.now(UTC)))
    click.echo(f"incident {number}: taken")


@command.command("accept", help="Take what is measured now as the new normal (ipv6_fell, port_slower).")
@click.argument("number", type=int)
@config_option
def accept(number: int, config_file: Path) -> None:
    """It is over with the collector's next look, and what is worse still is told again."""
    with opened_registry(config_file) as (_, registry):
        _done(lambda: IncidentBook(registry).accept(number, audit.command_line(), datetime.now(UTC)))
    click.echo(f"incident {number}: accepted as the new normal")


@command.command("note", help="Keep a note with an incident, in the place of the one before.")
@click.argument("number", type=int)
@click.argument("note_text", metavar="TEXT")
@config_option
def note(number: int, note_text: str, config_file: Path) -> None:
    """Shown with the incident, and in the messages that follow."""
    with opened_registry(config_file) as (_, registry):
        _done(lambda: IncidentBook(registry).note(number, note_text, getpass.getuser(), datetime.now(UTC)))
    click.echo(f"incident {number}: noted")


@command.command("ticket", help="Keep the carrier's ticket number with an incident.")
@click.argument("number", type=int)
@click.argument("ticket_number", metavar="TICKET")
@config_option
def ticket(number: int, ticket_number: str, config_file: Path) -> None:
    """As the carrier's hotline gave it."""
    with opened_registry(config_file) as (_, registry):
        _done(
            lambda: IncidentBook(registry).ticket(number, ticket_number, getpass.getuser(), datetime.now(UTC))
        )
    click.echo(f"incident {number}: ticket kept")


def _done(change: Callable[[], Incident]) -> None:
    try:
        change()
    except IncidentUnknown as error:
        fail(str(error))


def _print(found: list[Incident], reader: Reader) -> None:
    headings = (
        message("Number"), message("What"), message("Severity"), message("State"), message("Since"),
        message("Until"), message("Taken by"),
    )  # fmt: skip
    made = Table(*(translate(heading, reader.language) for heading in headings))
    for each in found:
        state = reader.say(STATES[each.state])
        waits = reader.say(WAITS[each.waits_for]) if each.waits_for else ""
        made.add_row(
            str(each.id), title(each, reader), reader.say(SEVERITIES[each.severity]),
            f"{state} {waits}".strip(), reader.when(each.started_at),
            reader.when(each.resolved_at) if each.resolved_at else "…", each.acknowledged_by,
        )  # fmt: skip
    Console().print(folding(made))
