"""What every command of the collector begins with: its settings and its registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from collector.registry import Registry, RegistryError
from collector.settings import CollectorSettings, load_settings
from config.cli import fail
from config.words import Language, language_of, language_of_environment

DEFAULT_CONFIG = Path("/etc/xiaotong/collector.yaml")


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--config FILE``, given to the command as ``config_file``."""
    option = click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        default=DEFAULT_CONFIG,
        show_default=True,
        help="Settings of the collector.",
    )
    return option(command)


def language_of_option(lang: str | None) -> Language:
    """The language of ``--lang``, else the locale's."""
    return language_of(lang) if lang else language_of_environment(os.environ)


@contextmanager
def opened_registry(config_file: Path) -> Iterator[tuple[CollectorSettings, Registry]]:
    """The settings and their registry, closed in the end; what they refuse ends the command in one line."""
    settings = load_settings(config_file)
    try:
        registry = Registry.open(settings.registry_url, settings.registry.refresh)
        try:
            yield settings, registry
        finally:
            registry.close()
    except RegistryError as error:
        fail(str(error))
