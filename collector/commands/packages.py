"""The county's store of agent packages: its key, what is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from collector.access import audit
from collector.opening import config_option, opened_registry
from collector.registry import Registry
from config.cli import fail


@click.group("packages", help="Versions of the agent that the county's agents can be upgraded to.")
def command() -> None:
    """Its commands."""


@command.command("key", help="Make the key that signs packages; agents that enrol hear of its public half.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="A new file for the private key, on a stick say; default: packages.key in the data directory.",
)  # fmt: skip
@config_option
def key(out: Path | None, config_file: Path) -> None:
    """Whoever has the private half makes agents run anything; the public one is added to the known ones."""
    from collector.packages.keys import PRIVATE, make_key, public_key_file  # noqa: PLC0415

    with opened_registry(config_file) as (settings, registry):
        private, public = out or settings.data / PRIVATE, public_key_file(settings)
        text = make_key(private, public)
        _written_down(registry, "packages.key", text)
    click.echo(f"{text}\nits private half is in {private.absolute()}: keep it on another machine")
    click.echo(f"agents that were enrolled before need it in their settings, upgrade.keys: [{text!r}]")


@command.command("add", help="Check a package, of python -m deploy.package.build, and keep it.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def add(file: Path, as_json: bool, config_file: Path) -> None:
    """Its signature and the hash of every file in it are checked before it is kept."""
    from collector.packages.store import PackageStore  # noqa: PLC0415

    with opened_registry(config_file) as (settings, registry):
        try:
            with file.open("rb") as source:
                added = PackageStore(settings).add(source)
        except OSError as error:
            fail(f"{file}: cannot be read: {error.strerror}")
        _written_down(registry, "packages.add", added.file)
    click.echo(msgspec.json.encode(added) if as_json else f"{added.file} is in the store")


@command.command("list", help="Every package of the store.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(as_json: bool, config_file: Path) -> None:
    """What is not signed by a trusted key is not shown, and not given to agents."""
    from collector.packages.store import PackageStore  # noqa: PLC0415

    with opened_registry(config_file) as (settings, _):
        found = PackageStore(settings).packages()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode("utf-8"))
        return
    for each in found:
        libraries = "with libraries" if each.whole else "without libraries"
        click.echo(f"{each.file}  {each.bytes} bytes, {libraries}")


@command.command("remove", help="Delete a package by the name that «packages list» shows.")
@click.argument("file")
@config_option
def remove(file: str, config_file: Path) -> None:
    """Agents that run it go on."""
    from collector.packages.store import PackageStore  # noqa: PLC0415

    with opened_registry(config_file) as (settings, registry):
        PackageStore(settings).remove(file)
        _written_down(registry, "packages.remove", file)
    click.echo(f"{file} is removed")


def _written_down(registry: Registry, action: str, subject: str) -> None:
    with registry.writing() as connection:
        audit.record(connection, audit.command_line(), action, subject, at=datetime.now(UTC))
