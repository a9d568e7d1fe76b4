"""``xiaotong-collector tls``: a certificate of the county's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from config.cli import fail

DIRECTORY = Path("/etc/xiaotong/tls")


@click.group("tls", help="A certificate for a county that has no public one.")
def command() -> None:
    """Its commands."""


@command.command("make", help="Make a CA, once, and a server certificate that it signs; again: renew that.")
@click.option(
    "--name", "names", multiple=True, help="Host name or address of the collector; may be repeated."
)
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), default=DIRECTORY, show_default=True,
    help="Where ca.pem, ca.key, server.pem and server.key are kept.",
)  # fmt: skip
@click.option(
    "--days",
    type=click.IntRange(1, 825),
    default=397,
    show_default=True,
    help="How long the server's is valid.",
)
def make(names: tuple[str, ...], directory: Path, days: int) -> None:
    """Renewing keeps the names and the CA: agents need not hear of it."""
    from collector.enrolment import certificates  # noqa: PLC0415

    names = names or certificates.names_in(directory)
    if not names:
        fail("--name: is missing; allowed: the host name or address that agents will use")
    made = certificates.make(directory, names, days, datetime.now(UTC))
    click.echo(
        f"{'a new CA and ' if made.authority_is_new else ''}a certificate for {', '.join(names)}, "
        f"valid until {made.expires_at:%Y-%m-%d}\npin of the CA: {made.pin}"
    )
    if not made.authority_is_new:
        click.echo("restart the collector to serve with it")
    else:
        where = directory.absolute()
        click.echo(
            f"put into the collector's settings:\nlisten:\n  tls:\n    certificate: {where / 'server.pem'}\n"
            f"    key: {where / 'server.key'}\n    ca: {where / 'ca.pem'}\n"
            f"keep {where / 'ca.key'} on another machine: it is needed to renew only"
        )
