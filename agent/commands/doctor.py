"""``xiaotong-agent doctor``: what is wrong here, and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import click

from config.cli import ExitStatus


@click.command(
    "doctor",
    help="Look at clock, disk, privileges, route, names, certificate, the collector's port and versions.",
)
@click.option("--config", "file", type=click.Path(path_type=Path), help="The agent's settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language; default: the locale's.")
def command(file: Path | None, as_json: bool, lang: str | None) -> None:
    """The status is 0 when all is well, 1 when something is wrong, 3 when something could not be seen."""
    from agent.defaults import loaded_or_example  # noqa: PLC0415
    from agent.doctor import examine  # noqa: PLC0415
    from config.diagnosis import json_of, line_of, worst  # noqa: PLC0415
    from config.words import language_of, language_of_environment  # noqa: PLC0415

    findings = list(examine(loaded_or_example(file)))
    if as_json:
        click.echo(json_of(findings))
    else:
        language = language_of(lang) if lang else language_of_environment(os.environ)
        for finding in findings:
            click.echo(line_of(finding, language))
    statuses = {"well": ExitStatus.MET, "wrong": ExitStatus.NOT_MET, "unknown": ExitStatus.UNKNOWN}
    raise SystemExit(int(statuses[worst(findings)]))
