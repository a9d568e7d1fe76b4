"""``xiaotong-collector store``: see whether the store can be used, move it to another engine."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from pathlib import Path

import click

from collector.opening import config_option
from collector.settings import load_settings
from config.cli import ExitStatus, fail
from config.words import language_of_environment

ENGINES = click.Choice(["embedded", "influxdb"])


@click.group("store", help="Look after the store of points.")
def command() -> None:
    """The group of the commands below."""


@command.command("check", help="Say in words whether the store can be reached, written and read; 1 when not.")
@config_option
def check(config_file: Path) -> None:
    """One line a step, up to the first that fails."""
    from collector.store import checking  # noqa: PLC0415

    well = True
    language = language_of_environment(os.environ)
    for finding in checking.check(load_settings(config_file)):
        well = finding.well
        click.echo(f"{'✓' if well else '✗'} {checking.words_of(finding, language)}", err=not well)
    if not well:
        raise click.exceptions.Exit(int(ExitStatus.NOT_MET))


@command.command("move", help="Move all points and windows to another engine; stop the collector before.")
@click.option("--from", "source_engine", type=ENGINES, required=True, help="Where the points are now.")
@click.option("--to", "target_engine", type=ENGINES, required=True, help="Where they shall be.")
@config_option
def move(source_engine: str, target_engine: str, config_file: Path) -> None:
    """Begun again it goes on where it stopped. Nothing is deleted from where the points were."""
    from rich.progress import track  # noqa: PLC0415

    from collector.store import moving  # noqa: PLC0415
    from collector.store.interface import StoreUnavailable  # noqa: PLC0415
    from collector.store.opening import open_store, retention_of  # noqa: PLC0415
    from config.measurements import schema  # noqa: PLC0415

    if source_engine == target_engine:
        fail("--from and --to name the same engine; allowed are two different ones")
    settings = load_settings(config_file)
    retention = retention_of(settings)
    moved = {0: 0, 1: 0}
    try:
        with ExitStack() as stack:
            source = stack.enter_context(closing(open_store(settings, source_engine)))
            target = stack.enter_context(closing(open_store(settings, target_engine)))
            file = settings.data / f"store-move-{source_engine}-{target_engine}.jsonl"
            noted = moving.Noted(file, source)
            pieces = moving.pieces(source, schema(), retention, time.time_ns())
            todo = [piece for piece in pieces if piece not in noted]
            for piece in track(todo, f"{source_engine} → {target_engine}", disable=not todo):
                oldest_ns = moving.oldest_moved_ns(piece, retention, time.time_ns())
                how_many, refusal = moving.move(source, target, piece, oldest_ns)
                if refusal:
                    click.echo(f"some points of school {piece.school_id} are refused: {refusal}", err=True)
                moved[piece.seconds > 0] += how_many
                noted.add(piece)
            while target.maintain(time.time_ns()):
                pass
            noted.finish()
    except StoreUnavailable as error:
        fail(f"{error}; what was moved stays moved: run the same command again")
    click.echo(f"{moved[0]} points and {moved[1]} windows moved; now set store.engine to {target_engine}")
