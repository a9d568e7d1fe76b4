"""The county's outages and availability of a month."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from collector.opening import config_option, opened_registry
from collector.uptime.availability import Tally
from collector.uptime.causes import CAUSE_WORDS, Cause
from collector.uptime.report import Report, SchoolUptime, uptime_report
from collector.verdicts.opening import calendar_of
from collector.verdicts.report import as_text
from config.cli import ExitStatus, fail
from config.present import folding
from config.words import Language, language_of_environment, message, translate

STATES = {"down": message("interrupted"), "unknown": message("unknown")}


@click.command("outages", help="Outages and availability of a month: one table a school, or JSON.")
@click.option("--school", "school_id", help="Only this school.")
@click.option("--month", metavar="YYYY-MM", help="Another month than this one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def command(school_id: str | None, month: str | None, as_json: bool, config_file: Path) -> None:
    """Exit status 0 no outage, 1 a school was down, 3 none was but too little is known of one."""
    with opened_registry(config_file) as (settings, registry):
        calendar = calendar_of(settings.verdicts)
        report = Report(registry, calendar, settings.uptime)
        if school_id is not None and school_id not in registry.schools():
            fail(f"school {school_id}: is not known")
        now = datetime.now(UTC)
        try:
            start, end = report.month(month, now)
        except ValueError:
            fail(f"--month {month}: is no month; allowed: YYYY-MM")
        found = list(report.availability(start, end, now, school_id=school_id))
        outages = {each.school: report.outages(each.school, start, end) for each in found}
        flapped = {each.school: report.flapping(each.school, start, end, now) for each in found}
    if as_json:
        schools = [_json(each, outages[each.school], flapped[each.school]) for each in found]
        click.echo(as_text({"from": start, "to": end, "schools": schools}))
    else:
        _print(found, outages, calendar.time_zone)
    raise click.exceptions.Exit(int(_status(found, outages)))


def _json(found: SchoolUptime, outages: object, flapped: object) -> dict[str, Any]:
    subjects = [uptime_report(each) for each in found.subjects]
    return {"school": found.school, "availability": subjects, "outages": outages, "flapping": flapped}


def _status(found: Sequence[SchoolUptime], outages: dict[str, list[dict[str, Any]]]) -> ExitStatus:
    down = any(_is_the_schools(each) for listed in outages.values() for each in listed)
    if down:
        return ExitStatus.NOT_MET
    known = all(each.of().all_hours.counts for each in found)
    return ExitStatus.MET if known and found else ExitStatus.UNKNOWN


def _is_the_schools(outage: dict[str, Any]) -> bool:
    """It was down, and not because of the centre."""
    counts = outage["state"] == "down" and outage["withdrawn_at"] is None
    return bool(counts and outage["subject"] == "school" and outage["cause"] != Cause.CENTRE.value)


def _print(found: Sequence[SchoolUptime], outages: dict[str, list[dict[str, Any]]], zone: tzinfo) -> None:
    language = language_of_environment(os.environ)
    console = Console()
    console.print(folding(_availability(found, language)))
    for school in found:
        listed = [each for each in outages[school.school] if each["withdrawn_at"] is None]
        if listed:
            console.print(f"\n{school.school}", style="bold", markup=False)
            console.print(folding(_outages(listed, zone, language)))


def _availability(found: Iterable[SchoolUptime], language: Language) -> Table:
    headings = (
        message("School"), message("Line"), message("School hours"), message("24 x 7"),
        message("Known"), message("Down, minutes"), message("One line only, minutes"),
    )  # fmt: skip
    made = Table(*(translate(heading, language) for heading in headings))
    for school in found:
        for each in school.subjects:
            hours, whole = each.school_hours, each.all_hours
            line = each.subject.removeprefix("line/")
            made.add_row(
                school.school, line, _share(hours, language), _share(whole, language),
                _percent(hours.coverage),
                _minutes(hours.down, hours), _minutes(hours.one_line, hours),
            )  # fmt: skip
    return made


def _outages(listed: Iterable[dict[str, Any]], zone: tzinfo, language: Language) -> Table:
    headings = (
        message("Line"), message("From"), message("To"), message("Minutes"), message("State"),
        message("Cause"), message("Corrected"),
    )  # fmt: skip
    made = Table(*(translate(heading, language) for heading in headings))
    for each in listed:
        state, cause = STATES[each["state"]], CAUSE_WORDS[Cause(each["cause"])]
        made.add_row(
            each["subject"].removeprefix("line/").replace("school", ""), _local(each["from"], zone),
            _local(each["to"], zone), str(each["minutes"]), translate(state, language),
            translate(cause, language),
            "; ".join(f"{one['what']}: {one['was']} → {one['became']}" for one in each["corrections"]),
        )  # fmt: skip
    return made


def _share(counted: Tally, language: Language) -> str:
    if not counted.counts:
        return translate(message("unknown"), language)
    return _percent(counted.availability)


def _minutes(some: int, counted: Tally) -> str:
    """None of no known minute is not zero."""
    return str(some) if counted.known else "–"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.3f} %"


def _local(moment: datetime | None, zone: tzinfo) -> str:
    return "…" if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
