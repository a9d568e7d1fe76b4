"""``xiaotong-agent ipv6``: the fifteen IPv6 readiness checks from where one stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from config.cli import ExitStatus

if TYPE_CHECKING:
    from agent.settings import LoadedSettings
    from config.readiness import Finding, Levels
    from config.words import Language

DEADLINE_SECONDS = 120.0
WORKING_LEVEL = 3


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="The agent's settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the table; default: the locale's.")
def command(file: Path | None, as_json: bool, lang: str | None) -> None:
    """Check IPv6 as this host can see it: pass, fail or unknown, why, and where the standard says so.

    The status is 0 from level 3 on (IPv6 works end to end), 1 when a check up to there fails, 3 when none
    fails but something is unknown. Router advertisements of strangers are heard all the time by the running
    agent; this command does not wait for them.
    """
    from agent.central_now import as_the_county_says  # noqa: PLC0415
    from agent.commands.check import language_of_option  # noqa: PLC0415
    from agent.defaults import loaded_or_example  # noqa: PLC0415
    from config.readiness import levels_of  # noqa: PLC0415

    loaded = as_the_county_says(loaded_or_example(file))
    findings = checked(loaded)
    levels = levels_of({finding.check: finding.result for finding in findings})
    if as_json:
        click.echo(json_of(loaded.settings.school.id, loaded.settings.stands_on, findings, levels))
    else:
        show(findings, levels, language_of_option(lang))
    raise SystemExit(int(status_of(levels)))


def checked(loaded: LoadedSettings) -> list[Finding]:
    """Run the checks once, as the probe ``ipv6_checks`` is set."""
    import threading  # noqa: PLC0415

    from agent.catalogue import planned  # noqa: PLC0415
    from agent.defaults import site_for_a_person  # noqa: PLC0415
    from agent.ipv6.checklist import Checklist  # noqa: PLC0415
    from agent.probe import Run  # noqa: PLC0415
    from agent.probes.ipv6_checks import options_of  # noqa: PLC0415
    from config.clock import SystemClock  # noqa: PLC0415

    given = {probe.name: probe for probe in loaded.probes}
    chosen = given.get("ipv6_checks") or planned("ipv6_checks", None, str(loaded.file))
    run = Run(
        clock=SystemClock(), stop=threading.Event(), deadline_seconds=DEADLINE_SECONDS, window_seconds=0
    )
    return Checklist(site_for_a_person(loaded), options_of(chosen.settings)).run(run)


def status_of(levels: Levels) -> ExitStatus:
    """0 when IPv6 works end to end, 1 when it does not, 3 when that is not known."""
    if levels.at_least >= WORKING_LEVEL:
        return ExitStatus.MET
    return ExitStatus.NOT_MET if levels.at_most < WORKING_LEVEL else ExitStatus.UNKNOWN


def json_of(school: str, place: str, findings: list[Finding], levels: Levels) -> str:
    """The whole answer as one JSON document."""
    from config.readiness import BY_NUMBER  # noqa: PLC0415
    from config.readiness_words import finding_text  # noqa: PLC0415

    content = {
        "school": school,
        "place": place,
        "level_at_least": levels.at_least,
        "level_at_most": levels.at_most,
        "checks": [
            {
                "check": finding.check,
                "title": BY_NUMBER[finding.check].title,
                "level": BY_NUMBER[finding.check].level,
                "result": finding.result.value,
                "because": finding.because,
                "code": finding.code,
                "values": finding.values,
                "finding": finding_text(finding, "en"),
                "standard": BY_NUMBER[finding.check].standard,
            }
            for finding in findings
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def show(findings: list[Finding], levels: Levels, language: Language) -> None:
    """The checklist as a table, and the level below it."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from config.present import folding  # noqa: PLC0415
    from config.readiness import BY_NUMBER, Result  # noqa: PLC0415
    from config.readiness_words import check_title, finding_text, levels_text, result_text  # noqa: PLC0415
    from config.words import message, translate  # noqa: PLC0415

    styles = {Result.PASS: "green", Result.FAIL: "red", Result.UNKNOWN: "yellow"}
    table = Table(show_lines=False)
    for heading in ("#", message("Check"), message("Result"), message("Finding"), message("Standard")):
        table.add_column(translate(heading, language))
    for finding in findings:
        symbol, word = result_text(finding.result, language)
        table.add_row(
            str(finding.check),
            check_title(finding.check, language),
            Text(f"{symbol} {word}", style=styles[finding.result]),
            Text(finding_text(finding, language)),
            BY_NUMBER[finding.check].standard,
        )
    console = Console()
    console.print(folding(table))
    console.print(levels_text(levels, language))
