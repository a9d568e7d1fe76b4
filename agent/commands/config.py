"""``xiaotong-agent config``: look at settings without running them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agent.settings import LoadedSettings


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
    for advice in advices(loaded):
        click.echo(advice)


def advices(loaded: LoadedSettings) -> list[str]:
    """What can be used as it is, and proves less than it could."""
    from agent.commands.check import language_of_option  # noqa: PLC0415
    from agent.probes.ping import asks_outside  # noqa: PLC0415
    from config.words import message, translate  # noqa: PLC0415

    alone = message(
        "note: probes.ping.targets: none lies outside the county's network: an outage of the county's centre "
        "cannot be told from one of the school's line; add a host beyond the carrier that may be asked"
    )
    pings = [probe.settings for probe in loaded.probes if probe.name == "ping"]
    return [translate(alone, language_of_option(None)) for each in pings if not asks_outside(each)]
