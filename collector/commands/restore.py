"""``xiaotong-collector restore``: bring a backup back."""

from __future__ import annotations

from pathlib import Path

import click

from collector.opening import config_option
from collector.settings import load_settings
from config.cli import fail


@click.command("restore", help="Check the backup in FOLDER and bring it back; the collector must not run.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Move data that is there aside, into a folder beside it.")
@config_option
def command(folder: Path, replace: bool, config_file: Path) -> None:
    """Checksums first; what is in place is touched last."""
    from collector.backups.manifest import BackupError  # noqa: PLC0415
    from collector.backups.restoring import restore  # noqa: PLC0415

    settings = load_settings(config_file)
    try:
        restored = restore(settings, folder, replace=replace)
    except BackupError as error:
        fail(str(error))
    if restored.before is not None:
        click.echo(f"what was there is now in {restored.before}")
    manifest = restored.manifest
    click.echo(f"{settings.data}: restored as of {manifest.began_at}, from version {manifest.version}")
