"""``xiaotong-collector serve``: run the collector."""

from __future__ import annotations

import faulthandler
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from collector.settings import load_settings
from config.cli import fail
from config.settings import SettingsError
from config.watchdog import watchdog_seconds

if TYPE_CHECKING:
    from collector.access.room import AccessRoom


@click.command("serve", help="Run the collector until SIGTERM or Ctrl-C.")
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path),
    help="The settings, a YAML file.",
)
@click.option(
    "--port",
    envvar="PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    help="Instead of listen.port; also the environment's PORT.",
)
def command(config_file: Path, port: int | None) -> None:
    """Run until told to stop; 2 when the settings or the port cannot be used."""
    from collector.app import make_app  # noqa: PLC0415
    from collector.messages.channels.opening import check_channels  # noqa: PLC0415
    from collector.server import check_tls, listen, serve  # noqa: PLC0415
    from collector.verdicts.opening import check  # noqa: PLC0415

    settings = load_settings(config_file)
    check(settings.verdicts)
    check_channels(settings.messages.channels)
    check_tls(settings.listen.tls)
    if port is not None:
        settings = msgspec.structs.replace(
            settings, listen=msgspec.structs.replace(settings.listen, port=port)
        )
    logging.basicConfig(
        level=logging.INFO, format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    if watchdog_seconds() is not None:
        faulthandler.enable()  # where every thread hangs, when systemd aborts us
    _make_data_directory(settings.data)
    with listen(settings.listen) as server_socket:
        host, bound_port = server_socket.getsockname()[:2]
        logging.getLogger(__name__).info("listening host=%s port=%d", host, bound_port)
        origin = settings.listen.origin(host, bound_port)
        app = make_app(settings, on_ready=lambda rooms: _tell_first_link(rooms.access, origin))
        if not serve(app, settings.listen, server_socket):
            fail("the collector could not start; the log says why")


def _tell_first_link(access: AccessRoom, origin: str) -> None:
    """While no county admin can log in: a link to set the first password, printed and kept nowhere."""
    secret = access.first_link()
    if secret is None:
        return
    minutes = round(access.settings.passwords.link / 60)
    click.echo(f"Nobody can log in yet. Within {minutes} min, set the first admin's password:", err=True)
    click.echo(f"  {access.public_url or origin}/password?link={secret}", err=True)


def _make_data_directory(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"data_directory {folder} cannot be made: {error.strerror}") from None
