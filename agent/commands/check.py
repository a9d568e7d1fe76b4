"""``xiaotong-agent check``: measure once, judge against the plan, print the table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.cli import ExitStatus

if TYPE_CHECKING:
    from agent.runner import Outcome
    from agent.settings import LoadedSettings
    from config.judge import Verdict
    from config.school import School
    from config.words import Language


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="The agent's settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="How long to watch."
)
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the table; default: the locale's.")
def command(file: Path | None, as_json: bool, seconds: float, lang: str | None) -> None:
    """Measure once and say whether this school's network gives what its plan promises.

    The status is 0 when all is met, 1 when something is not, 3 when nothing is not met but something is
    unknown. What the county declares of the school counts as it does for «run»; needs no collector.
    """
    from agent.central_now import as_the_county_says  # noqa: PLC0415
    from agent.defaults import loaded_or_example  # noqa: PLC0415

    loaded = as_the_county_says(loaded_or_example(file))
    verdicts, outcomes = judged(loaded, seconds)
    now = datetime.now(UTC)
    if as_json:
        click.echo(json_of(loaded.settings.school, plan_id(loaded), verdicts, outcomes, now))
    else:
        show(verdicts, outcomes, now, language_of_option(lang))
    raise SystemExit(int(status_of(verdicts)))


def judged(loaded: LoadedSettings, seconds: float) -> tuple[Sequence[Verdict], list[Outcome]]:
    """Measure, turn the points into evidence, and judge."""
    from agent.defaults import site_for_a_person  # noqa: PLC0415
    from agent.once import measure_once  # noqa: PLC0415
    from agent.plans import plan_of  # noqa: PLC0415
    from config.calendar import default_calendar  # noqa: PLC0415
    from config.clock import SystemClock  # noqa: PLC0415
    from config.evidence import evidence_of  # noqa: PLC0415
    from config.judge import judge_plan  # noqa: PLC0415

    plan, school = plan_of(loaded), loaded.settings.school
    with progress(len(loaded.probes), seconds) as told:
        outcomes = measure_once(
            loaded.probes,
            site_for_a_person(loaded),
            SystemClock(),
            window_seconds=seconds,
            deadline_seconds=loaded.settings.runner.deadline,
            told=told,
        )
    evidence = [e for outcome in outcomes for point in outcome.points for e in evidence_of(point, school)]
    return judge_plan(plan, school, evidence, datetime.now(UTC), default_calendar()), outcomes


def plan_id(loaded: LoadedSettings) -> str:
    """The id of the plan that judges."""
    from agent.plans import plan_of  # noqa: PLC0415

    return plan_of(loaded).id


def status_of(verdicts: Sequence[Verdict]) -> ExitStatus:
    """0, 1 or 3; a plan that asks nothing of this school is unknown, not met."""
    answers = {verdict.answer.value for verdict in verdicts if verdict.counts}
    if "not_met" in answers:
        return ExitStatus.NOT_MET
    return ExitStatus.MET if answers == {"met"} else ExitStatus.UNKNOWN


def json_of(
    school: School, plan: str, verdicts: Sequence[Verdict], outcomes: Sequence[Outcome], now: datetime
) -> str:
    """The whole answer as one JSON document, of the shape that the collector's API gives."""
    from config.report import ProbeReport, SchoolReport, as_text, verdict_report  # noqa: PLC0415

    probes = [
        ProbeReport(each.name, each.success, each.duration_seconds, each.error, each.unknown)
        for each in outcomes
    ]
    judged = [verdict_report(verdict, now) for verdict in verdicts]
    return as_text(SchoolReport(school.id, plan, judged, probes, school.name, now))


def show(verdicts: Sequence[Verdict], outcomes: Sequence[Outcome], now: datetime, language: Language) -> None:
    """The table for people, and what each probe that gave nothing said."""
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    from config.present import rows, table  # noqa: PLC0415

    console = Console()
    console.print(table(rows(verdicts, language, now), language))
    for outcome in outcomes:
        reason = outcome.error or outcome.unknown
        if reason:
            console.print(
                f"{'✗' if outcome.error else '?'} {outcome.name}: {escape(reason)}", highlight=False
            )


def language_of_option(lang: str | None) -> Language:
    """The language asked for, else the locale's."""
    from config.words import language_of, language_of_environment  # noqa: PLC0415

    return language_of(lang) if lang else language_of_environment(os.environ)


@contextmanager
def progress(probes: int, seconds: float) -> Iterator[Any]:
    """A bar on standard error that fills with the time to watch; gives what hears of each probe's end."""
    import threading  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{probes} probes, {seconds:g} s", total=round(seconds) + probes)
        done = threading.Event()

        def tick() -> None:
            for _ in range(round(seconds)):
                if done.wait(1.0):
                    return
                bar.advance(task)

        def told(outcome: Outcome) -> None:
            bar.update(task, advance=1, description=outcome.name)

        threading.Thread(target=tick, daemon=True).start()
        try:
            yield told
        finally:
            done.set()
