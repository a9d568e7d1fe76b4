"""The county's verdicts, now or as they stood on a day."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.opening import config_option, opened_registry
from collector.registry import Registry
from collector.verdicts.opening import allowed_plans, open_room
from collector.verdicts.report import SchoolVerdicts, as_text, report_of, shares_of
from collector.verdicts.room import Judged, VerdictRoom
from config.calendar import SchoolCalendar
from config.cli import ExitStatus, fail
from config.present import DUE, LOOKS, folding, row, rows, table
from config.school import School
from config.verdict import Answer, ShareVerdict
from config.words import Language, language_of_environment, message, translate


@click.command("verdicts", help="Does each school meet its plan? One table a school, or JSON.")
@click.option("--plan", "plan_id", help="Only this plan.")
@click.option("--school", "school_id", help="Only this school.")
@click.option("--at", "at_text", metavar="DATE", help="As it stood at the end of that day, YYYY-MM-DD.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def command(
    plan_id: str | None, school_id: str | None, at_text: str | None, as_json: bool, config_file: Path
) -> None:
    """Exit status 0 all met, 1 something not met, 3 nothing not met but something unknown."""
    with opened_registry(config_file) as (settings, registry):
        room = open_room(registry, settings.verdicts)
        schools = _chosen(registry, school_id)
        _refuse_unknown_plan(room, plan_id)
        moment = _end_of(at_text, room.calendar) if at_text else None
        found = [each for school in schools for each in _verdicts(room, school, plan_id, moment)]
        # one school's answer is no share of the county
        shares = [] if school_id else shares_of(room, found, moment or datetime.now(UTC))
    if as_json:
        click.echo(as_text({"schools": list(map(report_of, found)), "county": shares}))
    elif school_id:
        _print_school(found, language_of_environment(os.environ))
    else:
        _print_county(found, shares, language_of_environment(os.environ), room.calendar)
    raise click.exceptions.Exit(int(_status(found)))


def _chosen(registry: Registry, school_id: str | None) -> list[School]:
    schools = registry.schools()
    if school_id is None:
        return list(schools.values())
    if school_id not in schools:
        fail(f"school {school_id}: is not known")
    return [schools[school_id]]


def _refuse_unknown_plan(room: VerdictRoom, plan_id: str | None) -> None:
    if not room.plans:
        fail(f"key verdicts.plans: names no plan, so nothing is judged; allowed: {allowed_plans()}")
    if plan_id is not None and plan_id not in room.plans:
        fail(f"plan {plan_id}: is not judged here; allowed: {', '.join(room.plans)}")


def _end_of(text: str, calendar: SchoolCalendar) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        fail(f"--at {text}: is no day; allowed: YYYY-MM-DD")
    if day > calendar.local_day(datetime.now(UTC)):
        fail(f"--at {text}: is yet to come; allowed: today or a day before")
    return datetime.combine(day, time.max, calendar.time_zone)


def _verdicts(
    room: VerdictRoom, school: School, plan_id: str | None, moment: datetime | None
) -> Iterator[SchoolVerdicts]:
    for plan in room.plans:
        if plan_id not in (None, plan):
            continue
        if moment is None:
            yield SchoolVerdicts(school, plan, datetime.now(UTC), room.of_school(school.id, plan))
        else:
            yield SchoolVerdicts(school, plan, moment, room.stood_at(plan, moment, school.id))


def _status(found: Sequence[SchoolVerdicts]) -> ExitStatus:
    verdicts = [judged.verdict for each in found for judged in each.judged]
    answers = {verdict.answer for verdict in verdicts if verdict.counts}
    if Answer.NOT_MET in answers:
        return ExitStatus.NOT_MET
    return ExitStatus.MET if answers == {Answer.MET} else ExitStatus.UNKNOWN


def _print_school(found: Sequence[SchoolVerdicts], language: Language) -> None:
    """Everything that is known of one school."""
    console = Console()
    for each in found:
        if each.judged:
            title = f"{each.school.id} {each.school.name} · {each.plan}"
            console.print(f"\n{title}", style="bold", markup=False)
            verdicts = [judged.verdict for judged in each.judged]
            console.print(table(rows(verdicts, language, each.at), language))


def _print_county(
    found: Sequence[SchoolVerdicts],
    shares: Sequence[ShareVerdict],
    language: Language,
    calendar: SchoolCalendar,
) -> None:
    """A row for each target of each school, then the targets that are asked of a share of them."""
    console = Console()
    headings = (
        message("School"), message("Target"), message("Verdict"),
        message("Since"), message("Needed"), message("Evidence"),
    )  # fmt: skip
    made = Table(*(translate(heading, language) for heading in headings))
    for each in found:
        for judged in each.judged:
            made.add_row(*_cells(each, judged, language, calendar), style=LOOKS[judged.verdict.answer].style)
    console.print(folding(made))
    if shares:
        console.print(folding(_share_table(shares, language)))


def _cells(
    school: SchoolVerdicts, judged: Judged, language: Language, calendar: SchoolCalendar
) -> Iterator[Text]:
    shown = row(judged.verdict, language, school.at)
    since = calendar.local_day(judged.since).isoformat()
    first = shown.evidence[0] if judged.verdict.evidence else ""
    name = f"{school.school.id} {school.school.name}".strip()
    target = f"{judged.verdict.plan} · {shown.target}"
    yield from map(Text, (name, target, f"{shown.symbol} {shown.word}", since, shown.needed, first))


def _share_table(shares: Sequence[ShareVerdict], language: Language) -> Table:
    headings = (
        message("Target"), message("Verdict"), message("Schools asked"),
        message("met"), message("not met"), message("unknown"), message("Remarks"),
    )  # fmt: skip
    made = Table(*(translate(heading, language) for heading in headings))
    for share in shares:
        look = LOOKS[share.answer]
        target = translate(
            "{target} (by {deadline})",
            language,
            target=f"{share.plan} {share.target}",
            deadline=share.deadline,
        )
        asked = f"{share.share_percent} % × {share.schools}"
        counts = (str(share.met), str(share.not_met), str(share.unknown))
        answer = f"{look.symbol} {translate(look.word, language)}"
        remark = share.quote if share.due == "due" else f"{translate(DUE[share.due], language)} {share.quote}"
        made.add_row(*map(Text, (target, answer, asked, *counts, remark)), style=look.style)
    return made
