"""The command ``xiaotong-collector``."""

from __future__ import annotations

import click

import collector
from config.cli import CommandFolder

main = CommandFolder(
    "collector.commands",
    name="xiaotong-collector",
    help="Take the points of every school, keep them, judge them and show the verdicts.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(collector.__version__, prog_name="xiaotong-collector")(main)
