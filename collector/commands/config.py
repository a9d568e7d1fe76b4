"""``xiaotong-collector config``: look at settings without running anything."""

from __future__ import annotations

from pathlib import Path

import click

from collector.settings import load_settings


@click.group("config", help="Look at settings without running anything.")
def command() -> None:
    """The group."""


@command.command("check", help="Say whether FILE can be used as settings; status 2 when not.")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Read FILE as ``serve`` would."""
    from collector.messages.channels.opening import check_channels  # noqa: PLC0415
    from collector.verdicts.opening import check as check_verdicts  # noqa: PLC0415

    settings = load_settings(file)
    check_verdicts(settings.verdicts)
    check_channels(settings.messages.channels)
    click.echo(f"{file}: ok")
