"""Checking a plan's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from collector.registry.sheets import SheetError, read_bytes, text_of
from config.cli import fail
from config.plan import Plan, Target, problems_of
from config.settings import SettingsError, convert, parse_yaml


@click.group("plans", help="Check the plan of a county.")
def command() -> None:
    """The group of the commands below."""


@command.command("check", help="Say what is wrong in FILE, one line for each fault.")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Status 2 when something is wrong."""
    try:
        content = parse_yaml(text_of(read_bytes(file), file), str(file))
    except SheetError as error:
        fail(str(error))
    faults = list(_faults(content, str(file)))
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        fail(f"{file}: {len(faults)} faults")
    click.echo(f"{file}: a plan that can be used")


def _faults(content: Any, name: str) -> Iterator[str]:
    whole, error = _converted(content, Plan, name)
    if whole is not None:
        yield from (f"{name}: {problem}" for problem in problems_of(whole))
        return
    targets = content.get("targets") if isinstance(content, dict) else None
    found = list(_faults_of_targets(targets, name)) if isinstance(targets, list) else []
    yield from found or [error]


def _faults_of_targets(targets: list[Any], name: str) -> Iterator[str]:
    for number, target in enumerate(targets):
        _, error = _converted(target, Target, name, f"targets[{number}]")
        if error:
            yield error


def _converted(value: Any, shape: type, name: str, below: str = "") -> tuple[Any, str]:
    try:
        return convert(value, shape, name, below=below), ""
    except SettingsError as error:
        return None, str(error)
