"""Messages to people: try a channel, see what waits, send again what was given up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from collector.access.audit import command_line
from collector.messages.choosing import Waiting
from collector.messages.outbox import NOT_DONE, Outbox
from collector.messages.trying import NotTaken, try_channel
from collector.messages.words import STATES
from collector.opening import config_option, opened_registry
from collector.settings import load_settings
from collector.verdicts.opening import calendar_of
from collector.verdicts.report import as_text
from config.cli import ExitStatus, fail
from config.present import folding
from config.words import language_of_environment, message, translate


@click.group("notify", help="Messages to people: channels, and what waits to be sent.")
def command() -> None:
    """Its commands."""


@command.command("test", help="Send a test message over a channel, now.")
@click.argument("channel")
@config_option
def test(channel: str, config_file: Path) -> None:
    """Exit status 0 the channel took it, 1 it did not, 2 it is not set up."""
    settings = load_settings(config_file)
    language = language_of_environment(os.environ)
    try:
        key = try_channel(settings.messages, channel, language, settings.public_url)
    except NotTaken as error:
        fail(str(error), ExitStatus.NOT_MET)
    click.echo(translate("Sent over {channel}: {key}", language, channel=channel, key=key))


@command.command("list", help="Messages that wait or were given up; with --all those that were sent too.")
@click.option("--all", "every", is_flag=True, help="Also what was sent or dropped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_messages(every: bool, as_json: bool, config_file: Path) -> None:
    """Exit status 0 none was given up, 1 some were."""
    with opened_registry(config_file) as (settings, registry):
        found = Outbox(registry, settings.messages, "").listed(tuple(STATES) if every else NOT_DONE)
        zone = calendar_of(settings.verdicts).time_zone
    if as_json:
        click.echo(as_text({"messages": [_plain(each) for each in found]}))
    else:
        _print(found, zone)
    lost = any(each.state == "given_up" for each in found)
    raise click.exceptions.Exit(int(ExitStatus.NOT_MET if lost else ExitStatus.MET))


@command.command("retry", help="Send messages again that were given up or dropped.")
@click.argument("ids", nargs=-1, type=int, required=True)
@config_option
def retry(ids: tuple[int, ...], config_file: Path) -> None:
    """By their numbers in «notify list»."""
    with opened_registry(config_file) as (settings, registry):
        changed = Outbox(registry, settings.messages, "").retry(ids, command_line(), datetime.now(UTC))
    _tell(changed, ids, "given up or dropped")


@command.command("drop", help="Send messages no more that wait.")
@click.argument("ids", nargs=-1, type=int, required=True)
@config_option
def drop(ids: tuple[int, ...], config_file: Path) -> None:
    """By their numbers in «notify list»."""
    with opened_registry(config_file) as (settings, registry):
        changed = Outbox(registry, settings.messages, "").drop(ids, command_line(), datetime.now(UTC))
    _tell(changed, ids, "waiting")


def _tell(changed: int, ids: Sequence[int], state: str) -> None:
    click.echo(f"messages changed: {changed}")
    if changed < len(set(ids)):
        fail(f"{len(set(ids)) - changed} of these are not known, or not {state}", ExitStatus.NOT_MET)


def _plain(each: Waiting) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Waiting.__struct_fields__ if name not in ("body", "alone")}


def _print(found: Sequence[Waiting], zone: tzinfo) -> None:
    language = language_of_environment(os.environ)
    headings = (
        message("Number"), message("Message"), message("Channel"), message("State"), message("Due"),
        message("Tries"), message("Error"),
    )  # fmt: skip
    made = Table(*(translate(heading, language) for heading in headings))
    for each in found:
        made.add_row(
            str(each.id), each.key, each.channel, translate(STATES[each.state], language),
            f"{each.due_at.astimezone(zone):%Y-%m-%d %H:%M}", str(each.tries), each.error,
        )  # fmt: skip
    Console().print(folding(made))
