"""Enrolling agents, listing them, and taking their tokens away."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from sqlalchemy.engine import Connection

from collector.access import audit
from collector.enrolment.config_command import config
from collector.enrolment.configurations import Configurations
from collector.enrolment.invitations import Invitation, Invitations
from collector.enrolment.inviting import address_of, csv_sheet, html_sheet, line_to_type, local_time
from collector.enrolment.listing import listed, reasons, table
from collector.enrolment.room import plan_to_send, seal_of
from collector.enrolment.states import States
from collector.opening import config_option, language_of_option, opened_registry
from collector.packages.upgrade_command import upgrade
from collector.registry import Registry
from collector.settings import CollectorSettings
from collector.verdicts.opening import calendar_of
from config.cli import fail
from config.units import parse_duration

TOKEN_MODE = 0o600


@click.group("agents", help="Enrol agents of schools, list them, revoke them.")
def command() -> None:
    """The group of the commands below."""


@command.command("add", help="Enrol an agent of SCHOOL; its token goes into a new file and nowhere else.")
@click.argument("school")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the token is written, readable by its owner only; must not exist.",
)
@click.option("--name", default="", help="The agent's id; the school's id with a number when not given.")
@config_option
def add(school: str, token_file: Path, name: str, config_file: Path) -> None:
    """Reserve the file first: a token that cannot be written down must not exist."""
    with opened_registry(config_file) as (_, registry):
        descriptor = _reserved(token_file)
        try:
            token = registry.add_agent(school, name, _written_down(school))
            with os.fdopen(os.dup(descriptor), "w", encoding="ascii") as file:
                file.write(f"{token}\n")
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            token_file.unlink()
            raise
        finally:
            os.close(descriptor)
    click.echo(f"the token of a new agent of {school} is in {token_file}")


@command.command("invite", help="Print a one-time code for an agent of SCHOOL, and the line to type there.")
@click.argument("school", required=False)
@click.option("--all", "everybody", is_flag=True, help="A code for every school, with --sheet.")
@click.option("--missing", is_flag=True, help="With --all: only for schools that have no agent.")
@click.option("--name", default="", help="The agent's id; one that is there is enrolled anew.")
@click.option("--valid", metavar="1h", help="How long the code may be used; default: enrolment.code_valid.")
@click.option(
    "--sheet", type=click.Path(path_type=Path, dir_okay=False), help="A new .html or .csv to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the sheet; default: the locale's.")
@config_option
def invite(
    *, school: str | None, everybody: bool, missing: bool, name: str, valid: str | None,
    sheet: Path | None, as_json: bool, lang: str | None, config_file: Path,
) -> None:  # fmt: skip
    """A code is shown here and kept nowhere."""
    if everybody == (school is not None) or (missing and not everybody) or (name and everybody):
        fail("allowed: a SCHOOL, perhaps with --name; or --all, perhaps with --missing")
    if sheet is not None and sheet.suffix not in (".html", ".csv"):
        fail(f"{sheet}: allowed: .html, .csv")
    language = language_of_option(lang)
    with opened_registry(config_file) as (settings, registry):
        address, zone = address_of(settings), calendar_of(settings.verdicts).time_zone
        schools = _invited(registry, school, missing=missing)
        seconds = _valid_seconds(valid, settings, for_sheet=sheet is not None)
        descriptor = _reserved(sheet) if sheet is not None else None
        made = Invitations(registry).invite(schools, name, seconds, audit.command_line())
        known = registry.schools()
    if descriptor is not None:
        is_page = sheet is not None and sheet.suffix == ".html"
        text = (
            html_sheet(made, known, address, zone, language)
            if is_page
            else csv_sheet(made, known, address, zone)
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        click.echo(f"{len(made)} codes are in {sheet}; it is as secret as they are")
    elif as_json:
        rows = [{**msgspec.to_builtins(each), "line": line_to_type(each, address)} for each in made]
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode("utf-8"))
    else:
        for each in made:
            _print_invitation(each, line_to_type(each, address), zone)
        if not address.is_private:
            click.echo(f"warning: {address.url} is not https://: tokens can be read on the way", err=True)


def _print_invitation(invitation: Invitation, line: str, zone: ZoneInfo) -> None:
    until = local_time(invitation.expires_at, zone)
    click.echo(f"code for {invitation.school}: {invitation.code} (once, until {until})\n{line}")


def _invited(registry: Registry, school: str | None, *, missing: bool) -> list[str]:
    if school is not None:
        return [school]
    served = {each.school_id for each in registry.agents() if each.revoked_at is None} if missing else set()
    return [each for each in registry.schools() if each not in served]


def _valid_seconds(text: str | None, settings: CollectorSettings, *, for_sheet: bool) -> float:
    enrolment = settings.enrolment
    if text is None:
        return float(enrolment.sheet_valid if for_sheet else enrolment.code_valid)
    try:
        seconds = float(parse_duration(text))
    except ValueError as error:
        fail(f"--valid {text}: {error}")
    if not 60 <= seconds <= enrolment.code_valid_max:
        most = f"{enrolment.code_valid_max / 86400:g}d"
        fail(f"--valid {text}: allowed: 1min to {most} (enrolment.code_valid_max)")
    return seconds


@command.command("list", help="Every agent: its school, when it was heard, its configuration.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the table; default: the locale's.")
@config_option
def list_(as_json: bool, lang: str | None, config_file: Path) -> None:
    """As a table or as JSON; what the agents say is written some seconds late."""
    with opened_registry(config_file) as (settings, registry):
        configurations = Configurations(registry, seal_of(settings))
        agents = listed(registry, States(registry), configurations, plan_to_send(settings))
        zone = calendar_of(settings.verdicts).time_zone
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(agents)).decode("utf-8"))
    else:
        Console().print(table(agents, zone, language_of_option(lang)))
        for reason in reasons(agents):
            click.echo(reason)


@command.command("rotate", help="Have AGENT replace its token with its next heartbeat.")
@click.argument("agent")
@config_option
def rotate(agent: str, config_file: Path) -> None:
    """The agent does it by itself; both tokens are good meanwhile."""
    with opened_registry(config_file) as (_, registry):
        States(registry).ask_rotation(agent, audit.command_line())
    click.echo(f"{agent} is asked for a new token")


@command.command("revoke", help="Refuse the tokens of AGENT from now on.")
@click.argument("agent")
@config_option
def revoke(agent: str, config_file: Path) -> None:
    """Revoke; doing it again changes nothing."""
    with opened_registry(config_file) as (_, registry):
        by = audit.command_line()
        registry.revoke(
            agent,
            lambda connection: audit.record(connection, by, "agents.revoke", agent, at=datetime.now(UTC)),
        )
    click.echo(f"{agent} is revoked")


command.add_command(config)
command.add_command(upgrade)


def _written_down(school: str) -> Callable[[Connection, str], None]:
    by = audit.command_line()
    return lambda connection, agent: audit.record(
        connection, by, "agents.add", agent, at=datetime.now(UTC), school=school
    )


def _reserved(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, TOKEN_MODE)
    except FileExistsError:
        fail(f"{path}: exists already; a token is only written into a new file")
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}")
