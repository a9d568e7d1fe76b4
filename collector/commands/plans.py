"""Checking a plan's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from collector.registry.sheets import SheetError, read_bytes, text_of
from config.cli import fail
from config.plan import Plan, Target, problems_of
from config.settings import SettingsError, convert, faults_of, parse_yaml


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
    """What the types say of the whole file, then what they cannot say of all that is well typed."""
    ill_typed = faults_of(content, Plan, name)
    yield from ill_typed
    plan, numbers = _well_typed(content, name)
    if plan is not None:
        yield from (f"{name}: {problem}" for problem in problems_of(plan, numbers))


def _well_typed(content: Any, name: str) -> tuple[Plan | None, list[int]]:
    """The plan with those of its targets that can be read, and their places; None when that is no plan."""
    targets = content.get("targets") if isinstance(content, dict) else None
    if not isinstance(targets, list):
        return None, []
    numbers = [number for number, each in enumerate(targets) if not faults_of(each, Target, name)]
    try:
        return convert({**content, "targets": [targets[number] for number in numbers]}, Plan, name), numbers
    except SettingsError:
        return None, []
