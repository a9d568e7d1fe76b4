"""``xiaotong-collector capacity``: test a school now, suppress tests, see what was granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from collector.access import audit
from collector.opening import config_option, opened_registry
from collector.registry import Registry
from collector.responder.ledger import GrantedTest, Ledger
from collector.responder.slots import Suppression
from collector.settings import CollectorSettings
from config.calendar import SchoolCalendar, default_calendar, load_calendar
from config.cli import fail
from config.present import folding
from config.school import School, lines_on

TESTS_OF_A_LINE = 2
"""Down and up."""


UNTIL_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
"""Click's own, and the form of all other commands of the county, without seconds."""


@click.group("capacity", help="Capacity tests: now, suppress, resume, list.")
def command() -> None:
    """The subcommands share the ledger in the registry's database."""


@command.command("now", help="Test SCHOOL as soon as its agent asks, within some minutes.")
@click.argument("school")
@click.option("--line", default="", help="Id of a line; default: every line.")
@click.option("--force", is_flag=True, help="In lessons and beyond the month's bytes too.")
@config_option
def now(school: str, line: str, force: bool, config_file: Path) -> None:
    """Order the tests; lessons are warned of, and need --force."""
    with _opened(config_file) as (settings, registry, ledger):
        declared = _declared(registry, school)
        at = datetime.now(UTC)
        calendar = calendar_of(settings)
        lines = [each.id for each in lines_on(declared, calendar.local_day(at))]
        if line and line not in lines:
            fail(f"{line} is no line of {school}; allowed: {', '.join(lines) or 'none'}")
        if calendar.in_school_hours(at) and not force:
            fail("lessons are on: the test would take the line from them; --force tests all the same")
        if calendar.in_school_hours(at):
            click.echo("warning: lessons are on: the test takes the line from them", err=True)
        count = TESTS_OF_A_LINE * (1 if line else len(lines))
        ledger.order(school, line, at, forced=force, tests=count)
    click.echo(f"{count} tests of {school} are ordered; its agent asks within some minutes")


@command.command("suppress", help="Grant no tests until a time (exams); acts at once.")
@click.option("--until", required=True, type=click.DateTime(UNTIL_FORMATS), help="Local time of the county.")
@click.option("--school", "schools", multiple=True, help="Id of a school; default: all.")
@click.option("--why", default="", help="Shown with every refusal.")
@config_option
def suppress(until: datetime, schools: tuple[str, ...], why: str, config_file: Path) -> None:
    """Suppress from now on."""
    with _opened(config_file) as (settings, registry, ledger):
        for school in schools:
            _declared(registry, school)
        ends = until.replace(tzinfo=calendar_of(settings).time_zone)
        at = datetime.now(UTC)
        if ends <= at:
            fail(f"--until {ends:%Y-%m-%dT%H:%M}: is over; allowed: a time to come")
        by, subject = audit.command_line(), " ".join(schools)
        ledger.suppress(
            Suppression(at, ends, why, schools),
            lambda found: audit.record(found, by, "capacity.suppress", subject, at=at, until=ends, why=why),
        )
    click.echo(f"no tests until {ends:%Y-%m-%d %H:%M}")


@command.command("resume", help="End every suppression.")
@config_option
def resume(config_file: Path) -> None:
    """Tests are granted again."""
    with _opened(config_file) as (_, _, ledger):
        by, at = audit.command_line(), datetime.now(UTC)
        ended = ledger.resume(at, lambda found: audit.record(found, by, "capacity.resume", at=at))
    click.echo(f"{ended} suppressions ended")


@command.command("list", help="The tests of SCHOOL that were granted this month, and its bytes.")
@click.argument("school")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(school: str, as_json: bool, config_file: Path) -> None:
    """As a table or as JSON."""
    with _opened(config_file) as (settings, registry, ledger):
        _declared(registry, school)
        start = _month_start(calendar_of(settings))
        tests = ledger.tests_since(school, start)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(tests)).decode())
    else:
        Console().print(_table(tests))


@contextmanager
def _opened(config_file: Path) -> Iterator[tuple[CollectorSettings, Registry, Ledger]]:
    with opened_registry(config_file) as (settings, registry):
        if settings.responder is None:
            fail(f"{config_file}: key responder: is missing; this collector grants no tests")
        yield settings, registry, Ledger(registry)


def calendar_of(settings: CollectorSettings) -> SchoolCalendar:
    """The calendar that the settings name. Raises SettingsError."""
    file = settings.verdicts.calendar
    return load_calendar(Path(file)) if file else default_calendar()


def _declared(registry: Registry, school_id: str) -> School:
    school = registry.school(school_id)
    if school is None:
        fail(f"school {school_id}: is not known; «schools list» names them")
    return school


def _month_start(calendar: SchoolCalendar) -> datetime:
    local = datetime.now(calendar.time_zone)
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _table(tests: list[GrantedTest]) -> Table:
    table = folding(Table("granted", "line", "responder", "direction", "family", "mode", "bit/s", "bytes"))
    for test in tests:
        row = (test.line, test.responder, test.direction, test.family, test.mode)
        at = test.granted_at.isoformat(timespec="seconds")
        table.add_row(at, *row, str(test.bits_per_second), str(test.bytes))
    table.caption = f"{sum(test.bytes for test in tests)} bytes this month"
    return table
