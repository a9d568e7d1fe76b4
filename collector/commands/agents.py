"""Enrolling agents, listing them, and taking their tokens away."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from collector.opening import config_option, opened_registry
from collector.registry import Agent
from config.cli import fail

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
            token = registry.add_agent(school, name)
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


@command.command("list", help="Every agent, with its school.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(as_json: bool, config_file: Path) -> None:
    """The agents, as a table or as JSON."""
    with opened_registry(config_file) as (_, registry):
        agents = registry.agents()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(agents)).decode("utf-8"))
    else:
        Console().print(_table(agents))


@command.command("revoke", help="Refuse the tokens of AGENT from now on.")
@click.argument("agent")
@config_option
def revoke(agent: str, config_file: Path) -> None:
    """Revoke; doing it again changes nothing."""
    with opened_registry(config_file) as (_, registry):
        registry.revoke(agent)
    click.echo(f"{agent} is revoked")


def _reserved(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, TOKEN_MODE)
    except FileExistsError:
        fail(f"{path}: exists already; a token is only written into a new file")
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}")


def _table(agents: list[Agent]) -> Table:
    table = Table("agent", "school", "enrolled", "last seen", "state")
    for agent in agents:
        seen = agent.seen_at.isoformat(timespec="seconds") if agent.seen_at else "never"
        state = "revoked" if agent.revoked_at else "active"
        table.add_row(agent.id, agent.school_id, agent.created_at.isoformat(timespec="seconds"), seen, state)
    return table
