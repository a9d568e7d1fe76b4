"""Users of the pages and the API."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from collector.access.audit import command_line
from collector.access.permissions import Role
from collector.access.users import User, Users
from collector.opening import config_option, opened_registry
from collector.settings import CollectorSettings


@click.group("users", help="Users of the pages and the API: add, list, disable, let in again, new passwords.")
def command() -> None:
    """The group of the commands below."""


@command.command("add", help="Add the user NAME and print a one-time link to set the password.")
@click.argument("name")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What the user may do.",
)
@click.option("--school", "schools", multiple=True, help="A school of a school admin; may be given again.")
@click.option(
    "--oidc", "oidc_name", help="The user's name at the login service (claim of access.oidc.claim)."
)
@config_option
def add(name: str, role: str, schools: tuple[str, ...], oidc_name: str | None, config_file: Path) -> None:
    """Add; whoever logs in by the login service gets no link."""
    with opened_registry(config_file) as (settings, registry):
        users, by = Users(registry), command_line()
        user = users.add(name, Role(role), schools, oidc_name, by=by)
        if oidc_name is None:
            _print_link(users, user.name, settings)
    click.echo(f"{name} is added")


@command.command("list", help="Every user.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(as_json: bool, config_file: Path) -> None:
    """The users, as a table or as JSON."""
    with opened_registry(config_file) as (_, registry):
        users = Users(registry).all()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(users)).decode("utf-8"))
    else:
        Console().print(_table(users))


@command.command("disable", help="End every session and token of NAME, and let NAME in no more.")
@click.argument("name")
@config_option
def disable(name: str, config_file: Path) -> None:
    """Disable; doing it again changes nothing."""
    with opened_registry(config_file) as (_, registry):
        Users(registry).disable(name, by=command_line())
    click.echo(f"{name} is disabled")


@command.command("enable", help="Let NAME in again.")
@click.argument("name")
@config_option
def enable(name: str, config_file: Path) -> None:
    """Enable; ended sessions and tokens stay ended."""
    with opened_registry(config_file) as (_, registry):
        Users(registry).enable(name, by=command_line())
    click.echo(f"{name} may log in")


@command.command("password", help="Print a new one-time link for NAME to set a password.")
@click.argument("name")
@config_option
def password(name: str, config_file: Path) -> None:
    """Earlier links are void; the present password holds until the link is used."""
    with opened_registry(config_file) as (settings, registry):
        _print_link(Users(registry), name, settings)


def _print_link(users: Users, name: str, settings: CollectorSettings) -> None:
    valid = settings.access.passwords.link
    secret = users.new_link(name, valid, by=command_line())
    click.echo(f"{settings.address}/password?link={secret}")
    click.echo(f"valid for {round(valid / 60)} min, once", err=True)


def _table(users: list[User]) -> Table:
    table = Table("name", "role", "schools", "logs in by", "state")
    for user in users:
        ways = {"password": user.has_password, "login service": user.oidc_name is not None}
        by = ", ".join(way for way, holds in ways.items() if holds)
        state = f"disabled {user.disabled_at:%Y-%m-%d}" if user.disabled_at else "active"
        table.add_row(user.name, user.role.value, " ".join(user.schools) or "all", by or "no way yet", state)
    return table
