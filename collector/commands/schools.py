"""The county's list of schools: importing it, and the form it has."""

from __future__ import annotations

import csv
import gc
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import click

from collector.access import audit
from collector.opening import config_option, language_of_option, opened_registry
from collector.registry.columns import COLUMNS, Column
from collector.registry.database import RegistryError
from collector.registry.details import DETAILS, SCHOOL_ID
from collector.registry.importing import differences, read_schools
from collector.registry.sheets import SheetError
from config.cli import ExitStatus, fail


@click.group("schools", help="Import the county's list of schools.")
def command() -> None:
    """The group of the commands below."""


@command.command("import", help="Import FILE (.xlsx, .csv, .yaml): all of it, or nothing.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--partial", is_flag=True, help="Import the rows that are whole although others are not.")
@config_option
def import_(file: Path, dry_run: bool, partial: bool, config_file: Path) -> None:
    """Every fault is told at once; 2 when nothing was imported because of one, 1 when some rows were left."""
    with opened_registry(config_file) as (_, registry):
        known = registry.schools()
        try:
            with _without_collecting():
                found = read_schools(file, known, date.today())  # noqa: DTZ011 (the day of who imports)
        except SheetError as error:
            fail(str(error))
        for fault in found.faults:
            click.echo(f"{file}: {fault}", err=True)
        for title in found.unread:
            click.echo(f"{file}: sheet {title}: is not read; {_allowed_titles()}", err=True)
        if found.faults and not partial:
            fail(f"{len(found.faults)} faults: nothing is imported; --partial imports the whole rows")
        changes = list(differences(known, found.schools))
        for change in changes if dry_run else ():
            click.echo(change)
        if not dry_run:
            by = audit.command_line()
            registry.put_schools(
                found.schools,
                lambda connection, changed: audit.record(
                    connection, by, "schools.import", file.name, at=datetime.now(UTC), changed=changed
                ),
            )
    verb = "would change" if dry_run else "changed"
    click.echo(f"{len(found.schools)} schools read, {len(changes)} {verb}")
    if found.faults:
        raise click.exceptions.Exit(int(ExitStatus.NOT_MET))


@command.command("template", help="Write an example list as FILE (.xlsx or .csv), or print it as CSV.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--english", is_flag=True, help="English headings.")
@click.option(
    "--sheet",
    type=click.Choice([detail.key for detail in DETAILS]),
    help="CSV of this further sheet; an .xlsx has all of them.",
)
def template(file: Path | None, english: bool, sheet: str | None) -> None:
    """The headings and one row; an existing file is never overwritten."""
    wanted = next((detail for detail in DETAILS if detail.key == sheet), None)
    rows = _example((SCHOOL_ID, *wanted.columns) if wanted else COLUMNS, english=english)
    if file is None:
        click.echo(_csv(rows), nl=False)
        return
    if file.suffix.lower() not in (".xlsx", ".csv"):
        fail(f"{file}: is no list that is written here; allowed: .xlsx, .csv")
    is_xlsx = file.suffix.lower() == ".xlsx"
    content = _xlsx(_all_sheets(english=english)) if is_xlsx else _csv(rows).encode("utf-8-sig")
    try:
        with file.open("xb") as target:
            target.write(content)
    except OSError as error:
        fail(f"{file}: cannot be written: {error.strerror}")


@command.command(
    "code", help="The code by which terminals say their school on the page /speed; made if needed."
)
@click.argument("school_id", metavar="SCHOOL", required=False)
@click.option("--new", "anew", is_flag=True, help="Another code; the old one ends.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write notices with QR codes, a PDF.")
@click.option("--url", help="Where browsers reach this collector; else terminals.url.")
@click.option("--lang", help="zh-CN or en; else the locale's language.")
@config_option
def code(
    *,
    school_id: str | None,
    anew: bool,
    sheet: Path | None,
    url: str | None,
    lang: str | None,
    config_file: Path,
) -> None:
    """Without SCHOOL, of every school."""
    from collector.terminals.codes import code_of, shown  # noqa: PLC0415
    from collector.terminals.posters import Notice, posters  # noqa: PLC0415

    with opened_registry(config_file) as (settings, registry):
        address = url or settings.terminals.url
        if sheet is not None and not address:
            fail("--url: is missing, and terminals.url is empty; allowed: https://net.example.cn")
        schools = registry.schools()
        wanted = [school_id] if school_id else list(schools)
        try:
            codes = {each: code_of(registry, each, anew=anew, by=audit.command_line()) for each in wanted}
        except RegistryError as error:
            fail(str(error))
        notices = [Notice(schools[each].name or each, held) for each, held in codes.items()]
        font_file = settings.reports.font_file
    for each, held in codes.items():
        click.echo(f"{each} {shown(held)}")
    if sheet is not None:
        try:
            sheet.write_bytes(posters(notices, address, language_of_option(lang), font_file))
        except OSError as error:
            fail(f"--sheet {sheet}: cannot be written: {error.strerror}")


def _all_sheets(*, english: bool) -> dict[str, list[list[str]]]:
    sheets = {"schools" if english else "学校": _example(COLUMNS, english=english)}
    for detail in DETAILS:
        title = detail.english if english else detail.chinese
        sheets[title] = _example((SCHOOL_ID, *detail.columns), english=english)
    return sheets


def _example(columns: Iterable[Column], *, english: bool) -> list[list[str]]:
    head, row = [], []
    for column in columns:
        head.append(column.english if english else column.chinese)
        row.append(column.example)
    return [head, row]


def _allowed_titles() -> str:
    return "allowed: " + ", ".join(f"{detail.chinese} {detail.english}" for detail in DETAILS)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """A list is kept whole while it is read: the garbage collector would walk it all and find nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _xlsx(sheets: dict[str, list[list[str]]]) -> bytes:
    import openpyxl  # noqa: PLC0415 (half a second that only spreadsheets need)

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for number, row in enumerate(rows, start=1):
            for place, text in enumerate(row, start=1):
                # text cells: a spreadsheet would make a number of the ten-digit code
                sheet.cell(number, place, text or None).number_format = "@"
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
