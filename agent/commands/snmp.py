"""``xiaotong-agent snmp``: devices that can run no agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.cli import ExitStatus

if TYPE_CHECKING:
    from agent.probes.snmp import Device
    from agent.snmp.discovery import Found
    from config.words import Language

DEADLINE_SECONDS = 60.0


@click.group(name="snmp")
def command() -> None:
    """Devices that can run no agent, polled by SNMP."""


@command.command()
@click.argument("host")
@click.option("--id", "name", help="Id of the device in the settings; default: what it calls itself.")
@click.option("--port", type=click.IntRange(1, 65535), default=161, show_default=True, help="Its UDP port.")
@click.option(
    "--community-file", type=click.Path(path_type=Path), help="File with the community (version 2c)."
)
@click.option("--user", help="User of version 3.")
@click.option(
    "--auth", type=click.Choice(["md5", "sha", "sha224", "sha256", "sha384", "sha512"]), default="sha",
    show_default=True, help="How version 3 authenticates.",
)  # fmt: skip
@click.option("--auth-file", type=click.Path(path_type=Path), help="File with the authentication password.")
@click.option(
    "--priv", type=click.Choice(["des", "aes", "aes256"]), default="aes", show_default=True,
    help="How version 3 encrypts.",
)  # fmt: skip
@click.option("--priv-file", type=click.Path(path_type=Path), help="File with the privacy password.")
@click.option("--line", default="", help="Id of the line that leaves by the port of the default route.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 30), default=2.0, show_default=True, help="Of one request, s."
)
@click.option(
    "--write", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The agent's settings: put the device into them.",
)  # fmt: skip
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the table; default: the locale's.")
def discover(file: Path | None, lang: str | None, timeout: float, line: str, **how: Any) -> None:
    """Show the ports of the device HOST, suggest which are lines and trunks, and write the settings.

    Secrets stand in files of mode 0600. The status is 0 when the device answered, 1 when it did not.
    """
    from agent.commands.check import language_of_option  # noqa: PLC0415
    from agent.snmp.session import Failed  # noqa: PLC0415
    from agent.snmp.writing import add_device, as_yaml, settings_of  # noqa: PLC0415
    from config.settings import SettingsError  # noqa: PLC0415

    try:
        asked = _device(how, file)
        found = _found(asked, file, timeout)
        device = _with_ports(asked, found, how["name"], line)
    except Failed as failure:
        click.echo(f"error: {how['host']}: {failure}", err=True)
        raise SystemExit(int(ExitStatus.NOT_MET)) from None
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None
    _show(found, language_of_option(lang))
    written = settings_of(device)
    if file is None:
        click.echo(as_yaml([written]), nl=False)
        return
    try:
        add_device(file, written)
    except SettingsError as problem:
        click.echo(f"error: {problem}", err=True)
        click.echo(as_yaml([written]), nl=False)
        raise SystemExit(int(ExitStatus.USAGE)) from None
    click.echo(f"{file}: probes.snmp.devices: {device.id}")


def _device(how: dict[str, Any], file: Path | None) -> Device:
    """The device as it is reached. Raises ValueError."""
    from agent.probes.snmp import Device  # noqa: PLC0415

    return Device(
        id=how["name"] or how["host"],
        host=how["host"],
        port=how["port"],
        version="3" if how["user"] else "2c",
        community_file=_beside(how["community_file"], file),
        user=how["user"],
        auth=how["auth"],
        auth_file=_beside(how["auth_file"], file),
        priv=how["priv"],
        priv_file=_beside(how["priv_file"], file),
    )


def _beside(secret: Path | None, file: Path | None) -> str | None:
    """A path as the settings' file names it: relative to it where it lies below, else absolute."""
    if secret is None:
        return None
    whole, directory = secret.absolute(), _directory(file)
    return str(whole.relative_to(directory) if whole.is_relative_to(directory) else whole)


def _directory(file: Path | None) -> Path:
    return file.absolute().parent if file else Path.cwd()


def _found(device: Device, file: Path | None, timeout: float) -> Found:
    import asyncio  # noqa: PLC0415

    return asyncio.run(_asked(device, _directory(file), timeout))


async def _asked(device: Device, directory: Path, timeout: float) -> Found:
    import asyncio  # noqa: PLC0415

    from agent.probes.snmp import Settings, access_of, engine_for, opened  # noqa: PLC0415
    from agent.snmp.discovery import discover as ask  # noqa: PLC0415
    from agent.snmp.session import Failed  # noqa: PLC0415

    access = access_of(device, directory, timeout_seconds=timeout, retries=1)
    try:
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            engine_for([device]) as engine,
            opened(access, engine) as session,
        ):
            return await ask(session, Settings().max_ports)
    except TimeoutError:
        raise Failed(f"did not come to an end within {DEADLINE_SECONDS:g} s") from None


def _with_ports(device: Device, found: Found, name: str | None, line: str) -> Device:
    """The device with the roles suggested; a port is a line only under the id of one."""
    import msgspec  # noqa: PLC0415

    from agent.probes.snmp import PortRole  # noqa: PLC0415

    ports = {port.reading.name: PortRole(role="trunk") for port in found.ports if port.suggested == "trunk"}
    exits = [port.reading.name for port in found.ports if port.suggested == "line"]
    if line and len(exits) == 1:
        ports[exits[0]] = PortRole(role="line", line=line)
    return msgspec.structs.replace(device, id=name or found.name or device.id, ports=ports)


def _show(found: Found, language: Language) -> None:
    """The device in a line, its ports in a table."""
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from config.present import folding  # noqa: PLC0415
    from config.snmp_profiles import profile_of, profiles, shipped  # noqa: PLC0415
    from config.units import format_rate  # noqa: PLC0415
    from config.words import translate  # noqa: PLC0415

    console = Console()
    vendor = shipped()[profile_of(found.system, profiles())].title
    console.print(escape(f"{found.name}: {found.description} ({vendor})"), highlight=False)
    headings, roles = words()
    table = Table(*(translate(heading, language) for heading in headings))
    for port in found.ports:
        reading = port.reading
        state = {True: "up", False: "down", None: "?"}[reading.operational]
        speed = format_rate(reading.speed_bits_per_second) if reading.speed_bits_per_second else "?"
        suggested = translate(roles[port.suggested], language)
        cells = (reading.name, state, speed, reading.duplex or "?", reading.alias, port.neighbour, suggested)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(folding(table))


def words() -> tuple[tuple[str, ...], dict[str, str]]:
    """The headings of the table, and the word of each role that is suggested."""
    from config.words import message  # noqa: PLC0415

    headings = (
        message("Port"), message("State"), message("Speed"), message("Duplex"), message("Description"),
        message("Neighbour"), message("Suggested use"),
    )  # fmt: skip
    roles = {"line": message("line"), "trunk": message("trunk"), "access": message("access"), "other": ""}
    return headings, roles
