"""``xiaotong-collector upgrade``: the registry's tables forward, or one version back."""

from __future__ import annotations

from pathlib import Path

import click

from collector.opening import config_option
from collector.settings import load_settings
from config.cli import fail


@click.command("upgrade", help="Bring the registry's tables to this version's; serve does so by itself.")
@config_option
@click.option("--back", is_flag=True, help="One version back, before an older program is installed again.")
@click.option("--to", "revision", metavar="VERSION", help="To this version of the tables, forward or back.")
@click.option("--show", is_flag=True, help="Only say which version the tables are of.")
def command(config_file: Path, back: bool, revision: str | None, show: bool) -> None:
    """Going back drops the tables that the older version does not know: back up before."""
    from collector.registry.database import RegistryError, change_schema, schema_of  # noqa: PLC0415

    if back and revision:
        fail("--back and --to: one of them is allowed")
    url = load_settings(config_file).registry_url
    try:
        schema = schema_of(url) if show else change_schema(url, "-1" if back else revision)
    except RegistryError as error:
        fail(str(error))
    click.echo(f"tables of version {schema.current or 'none'}; this program's is {schema.newest}")
