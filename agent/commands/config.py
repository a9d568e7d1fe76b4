"""``xiaotong-agent config``: look at settings without running them."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Look at settings without running them."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Say whether FILE can be used; if not, one line says why, and the status is 2."""
    from agent.plans import plan_of  # noqa: PLC0415
    from agent.settings import load_settings  # noqa: PLC0415

    loaded = load_settings(file)
    plan_of(loaded)
    if loaded.settings.collector:
        loaded.token()
    click.echo(f"{file}: ok")
