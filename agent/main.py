"""The command ``xiaotong-agent``."""

from __future__ import annotations

import click

import agent
from config.cli import CommandFolder

main = CommandFolder(
    "agent.commands",
    name="xiaotong-agent",
    help="Measure a school's network and push the points to the county's collector.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(agent.__version__, prog_name="xiaotong-agent")(main)
