"""What ``check`` and ``probe`` measure with when nobody names settings, and before an agent is enrolled."""

from __future__ import annotations

from pathlib import Path

import click

from agent.probe import Site
from agent.settings import LoadedSettings, load_settings

INSTALLED = Path("/etc/xiaotong/agent/agent.yaml")
"""In a directory of the agent's own user, who replaces the token in it."""
EXAMPLE = Path(__file__).resolve().parent.parent / "config" / "examples" / "agent.yaml"


def loaded_or_example(file: Path | None) -> LoadedSettings:
    """The settings named, else those installed, else the example's sample school, which is said."""
    if file is None and not INSTALLED.exists():
        click.echo(f"no --config and no {INSTALLED}: measuring as the sample school of {EXAMPLE}", err=True)
        return load_settings(EXAMPLE)
    return load_settings(file or INSTALLED)


def site_for_a_person(loaded: LoadedSettings) -> Site:
    """The site; without a token where there is none yet: then nothing can be asked of the collector."""
    collector = loaded.settings.collector
    enrolled = collector is not None and loaded.path(collector.token_file).exists()
    return loaded.site(loaded.token() if enrolled else None)
