"""Tokens of users, for programs that read the API."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from collector.access.audit import command_line
from collector.access.logins import ApiToken, Logins, Scope
from collector.access.permissions import Permission
from collector.access.users import Users
from collector.opening import config_option, opened_registry
from config.cli import fail

TOKEN_MODE = 0o600


@click.group("tokens", help="API tokens of users: add, list, revoke.")
def command() -> None:
    """The group of the commands below."""


@command.command("add", help="Make a token of USER; it goes into a new file and nowhere else.")
@click.argument("user")
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the token is written, readable by its owner only; must not exist.",
)
@click.option(
    "--scope", type=click.Choice(["read", "full"]), default="read", show_default=True,
    help="read only, or all that the user may do.",
)  # fmt: skip
@click.option("--days", type=float, default=90, show_default=True, help="How long it is valid.")
@config_option
def add(user: str, *, name: str, token_file: Path, scope: Scope, days: float, config_file: Path) -> None:
    """Reserve the file first: a token that cannot be written down must not exist."""
    with opened_registry(config_file) as (settings, registry):
        descriptor = _reserved(token_file)
        try:
            owner = Users(registry).named(user)
            made, secret = Logins(registry, settings.access).add_token(
                owner, name, scope, days, by=command_line()
            )
            with os.fdopen(os.dup(descriptor), "w", encoding="ascii") as file:
                file.write(f"{secret}\n")
        except BaseException:
            token_file.unlink()
            raise
        finally:
            os.close(descriptor)
    click.echo(f"token {made.id} of {user} is in {token_file}, valid until {made.expires_at:%Y-%m-%d}")


@command.command("list", help="Every token, without its secret.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(as_json: bool, config_file: Path) -> None:
    """The tokens, as a table or as JSON."""
    with opened_registry(config_file) as (settings, registry):
        tokens = Logins(registry, settings.access).tokens()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(tokens)).decode("utf-8"))
    else:
        Console().print(_table(tokens))


@command.command("revoke", help="Refuse the token with the number TOKEN from now on.")
@click.argument("token", type=int)
@config_option
def revoke(token: int, config_file: Path) -> None:
    """Revoke; doing it again changes nothing."""
    by = msgspec.structs.replace(command_line(), permissions=frozenset({Permission.MANAGE_USERS}))
    with opened_registry(config_file) as (settings, registry):
        Logins(registry, settings.access).revoke_token(token, by=by)
    click.echo(f"token {token} is revoked")


def _reserved(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, TOKEN_MODE)
    except FileExistsError:
        fail(f"{path}: exists already; a token is only written into a new file")
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}")


def _table(tokens: list[ApiToken]) -> Table:
    table = Table("number", "user", "name", "scope", "valid until", "state")
    for each in tokens:
        state = "revoked" if each.revoked_at else "active"
        table.add_row(
            str(each.id), each.user, each.name, each.scope, f"{each.expires_at:%Y-%m-%d %H:%M} UTC", state
        )
    return table
