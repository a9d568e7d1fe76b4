"""``xiaotong-collector doctor``: what is wrong here, and what to do."""

from __future__ import annotations

from pathlib import Path

import click

from collector.opening import config_option, language_of_option
from collector.settings import load_settings
from config.cli import ExitStatus


@click.command(
    "doctor", help="Look at clock, disk, privileges, ports, names, certificate, versions, registry and store."
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language; default: the locale's.")
def command(config_file: Path, as_json: bool, lang: str | None) -> None:
    """The status is 0 when all is well, 1 when something is wrong, 3 when something could not be seen."""
    from collector.doctor import examine  # noqa: PLC0415
    from config.diagnosis import json_of, line_of, worst  # noqa: PLC0415

    findings = list(examine(load_settings(config_file)))
    if as_json:
        click.echo(json_of(findings))
    else:
        language = language_of_option(lang)
        for finding in findings:
            click.echo(line_of(finding, language))
    statuses = {"well": ExitStatus.MET, "wrong": ExitStatus.NOT_MET, "unknown": ExitStatus.UNKNOWN}
    raise SystemExit(int(statuses[worst(findings)]))
