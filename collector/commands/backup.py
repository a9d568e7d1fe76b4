"""``xiaotong-collector backup``: copy what the collector keeps, while it runs."""

from __future__ import annotations

from pathlib import Path

import click

from collector.opening import config_option
from collector.settings import load_settings
from config.cli import fail


@click.command(
    "backup", help="Copy what the collector keeps into a new FOLDER, checked; it may run meanwhile."
)
@click.argument("folder", type=click.Path(path_type=Path))
@config_option
def command(folder: Path, config_file: Path) -> None:
    """One line for what was copied, one for each thing that is kept elsewhere."""
    from collector.backups.manifest import BackupError, verify  # noqa: PLC0415
    from collector.backups.taking import take  # noqa: PLC0415

    try:
        take(load_settings(config_file), config_file, folder)
        manifest = verify(folder)
    except BackupError as error:
        fail(str(error))
    size = sum(each.bytes for each in manifest.files.values())
    click.echo(
        f"{folder}: {len(manifest.files)} files, {size} bytes, all acknowledged by {manifest.began_at}"
    )
    click.echo("it holds the key that opens sealed secrets: keep it as safe as the collector")
    for each in manifest.elsewhere:
        click.echo(f"not in it: {each}; back it up with its own tool (pg_dump, influx backup)", err=True)
