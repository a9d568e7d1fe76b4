"""Silences: when nobody is told, by school, line, kind and time, once or each week."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast, get_args

import click
from rich.console import Console
from rich.table import Table

from collector.access import audit
from collector.incidents.model import Kind
from collector.incidents.silences import Silence, SilenceBook, Weekly, weekly_of
from collector.messages.words import KINDS
from collector.opening import config_option, opened_registry
from collector.verdicts.opening import calendar_of
from config.calendar import SchoolCalendar
from config.cli import fail
from config.present import folding
from config.school import School
from config.words import language_of_environment, message, translate


@click.group("silence", help="Silences: incidents are kept, and nobody is told.")
def command() -> None:
    """Its commands."""


@command.command("add", help="Silence messages; what still holds in the end is told then.")
@click.option("--school", "school_id", default="", help="Only this school.")
@click.option("--line", default="", help="Only this line of the school.")
@click.option("--kind", type=click.Choice(get_args(Kind)), default=None, help="Only this kind of incident.")
@click.option("--from", "starts", metavar="TIME", help="Local, 2027-01-31T22:00; without it from now on.")
@click.option("--to", "ends", metavar="TIME", help="The same; needed without --weekly.")
@click.option("--weekly", "weekly_text", metavar="WHEN", help="«SU 22:00-06:00»: each Sunday night, local.")
@click.option("--why", required=True, help="Reason, shown with it.")
@config_option
def add(
    *,
    school_id: str,
    line: str,
    kind: str | None,
    starts: str | None,
    ends: str | None,
    weekly_text: str | None,
    why: str,
    config_file: Path,
) -> None:
    """One without school, line and kind silences everything."""
    with opened_registry(config_file) as (settings, registry):
        calendar = calendar_of(settings.verdicts)
        now = datetime.now(UTC)
        _refuse_unknown(registry.schools(), school_id, line)
        begin = _moment(starts, "--from", calendar) or now
        end = _moment(ends, "--to", calendar)
        weekly = _weekly(weekly_text)
        if end is None and weekly is None:
            fail("--to: is missing; allowed: a time, or --weekly")
        if end is not None and end <= max(begin, now):
            fail(f"--to {ends}: allowed: a time to come, after --from")
        silence = Silence(
            begin, why[:500], getpass.getuser(), now, end, school_id, line, cast("Kind", kind or ""), weekly
        )
        kept = SilenceBook(registry).add(silence, audit.command_line())
    click.echo(f"silence {kept.id}: kept")


@command.command("list", help="Silences that hold now or may later.")
@config_option
def list_silences(config_file: Path) -> None:
    """With whom, when and why."""
    with opened_registry(config_file) as (settings, registry):
        zone = calendar_of(settings.verdicts).time_zone
        now = datetime.now(UTC)
        found = SilenceBook(registry).kept(now)
    language = language_of_environment(os.environ)
    headings = (
        message("Number"), message("School"), message("Line"), message("Kind"), message("From"),
        message("To"), message("Weekly"), message("Now"), message("Why"), message("By"),
    )  # fmt: skip
    made = Table(*(translate(heading, language) for heading in headings))
    for each in found:
        made.add_row(
            str(each.id), each.school_id or "–", each.line or "–",
            translate(KINDS[each.kind], language) if each.kind else "–",
            f"{each.starts_at.astimezone(zone):%Y-%m-%d %H:%M}",
            f"{each.ends_at.astimezone(zone):%Y-%m-%d %H:%M}" if each.ends_at else "–",
            str(each.weekly) if each.weekly else "–",
            translate(message("yes"), language) if each.is_on(now, zone) else "–", each.why, each.by,
        )  # fmt: skip
    Console().print(folding(made))


@command.command("end", help="End a silence now.")
@click.argument("number", type=int)
@config_option
def end(number: int, config_file: Path) -> None:
    """What it held back is told then, if it still holds."""
    with opened_registry(config_file) as (_, registry):
        if SilenceBook(registry).end(number, audit.command_line(), datetime.now(UTC)) is None:
            fail(f"silence {number}: is not known, or is over")
    click.echo(f"silence {number}: ended")


def _refuse_unknown(schools: Mapping[str, School], school_id: str, line: str) -> None:
    known = schools.get(school_id) if school_id else None
    if school_id and known is None:
        fail(f"school {school_id}: is not known")
    if line and known is None:
        fail(f"--line {line}: allowed only with --school")
    if known is not None and line and line not in {each.id for each in known.lines}:
        fail(f"--line {line}: is no line of school {school_id}")


def _weekly(text: str | None) -> Weekly | None:
    try:
        return weekly_of(text) if text else None
    except ValueError as error:
        fail(f"--weekly {error}")


def _moment(text: str | None, option: str, calendar: SchoolCalendar) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: is no time; allowed: 2027-01-31T22:00")
    return moment if moment.tzinfo else moment.replace(tzinfo=calendar.time_zone)
