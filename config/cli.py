"""What both command lines share: commands found by their file, exit statuses, errors in one line."""

from __future__ import annotations

import enum
import importlib
import pkgutil
from typing import Any, NoReturn

import click

from config.settings import SettingsError


class ExitStatus(enum.IntEnum):
    """Exit statuses of both commands."""

    MET = 0
    NOT_MET = 1
    USAGE = 2
    UNKNOWN = 3


class CommandFolder(click.Group):
    """A group whose commands are the modules of one package, imported only when called.

    A module ``config_check`` holds ``command`` and is called as ``config-check``; one named for a keyword of
    Python ends in an underscore that its command has not (``try_`` is ``try``). One that is a click.Group
    nests. SettingsError from any command ends it with one line and status 2.
    """

    def __init__(self, package: str, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The names of the modules, sorted."""
        return sorted(self._modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the one module that is called."""
        name = self._modules().get(cmd_name)
        if name is None:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; settings that cannot be used end it in one line."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            fail(str(error))

    def _modules(self) -> dict[str, str]:
        """The name of each command, and of its module."""
        folder = importlib.import_module(self._package)
        names = (module.name for module in pkgutil.iter_modules(folder.__path__))
        return {name.removesuffix("_").replace("_", "-"): name for name in names}


def fail(message: str, status: ExitStatus = ExitStatus.USAGE) -> NoReturn:
    """End the command with one line on standard error."""
    click.echo(f"error: {message}", err=True)
    raise click.exceptions.Exit(int(status))
