"""How long the import of a province's list takes: 10,000 schools as .csv, .xlsx and .yaml, by the command."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import openpyxl

from collector.registry.columns import COLUMNS

SCHOOLS = 10_000
FORMS = (".csv", ".xlsx", ".yaml")
COMMAND = "from collector.main import main; main()"
IMPORT = (sys.executable, "-c", COMMAND, "schools", "import")


def rows(schools: int) -> Iterator[list[str]]:
    """The headings, then schools with two lines, classes of a year, switches, a survey and declared facts."""
    yield [column.chinese for column in COLUMNS]
    for number in range(schools):
        own = {
            "id": f"school-{number:05}",
            "name": f"第{number}小学",
            "code": f"2162{number:06}",
            "classes": str(6 + number % 40),
            "lines.2.id": "edu",
            "lines.2.carrier": "教育网",
            "lines.2.kind": "教育网",
            "lines.2.down": "1G",
            "switches": "core、floor",
            "wired": "室内",
            "wireless": "室内、室外",
            "real_name_login": "是",
            "declared_by": "王老师",
            "declared_on": "2026-09-01",
        }
        yield [own.get(column.key, column.example) for column in COLUMNS]


def write(file: Path, schools: int) -> None:
    """A list of so many schools in the form of the file's suffix."""
    {".csv": _csv, ".xlsx": _xlsx, ".yaml": _yaml}[file.suffix](file, schools)


def _csv(file: Path, schools: int) -> None:
    with file.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows(rows(schools))


def _xlsx(file: Path, schools: int) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("学校")
    for row in rows(schools):
        sheet.append([cell or None for cell in row])
    book.save(file)


def _yaml(file: Path, schools: int) -> None:
    with file.open("w", encoding="utf-8") as target:
        target.write("schools:\n")
        for number in range(schools):
            target.write(
                f"- id: school-{number:05}\n  name: 第{number}小学\n  level: primary\n  area: rural\n"
                f"  codes: [{{code: '2162{number:06}'}}]\n  classes: {6 + number % 40}\n  pupils: 480\n"
                "  longitude: 101.09\n  latitude: 38.78\n"
                "  lines:\n"
                "  - {id: wan, carrier: 电信, medium: fibre, contracted_down: 200M, contracted_up: 200M}\n"
                "  - {id: edu, carrier: 教育网, kind: education, contracted_down: 1G}\n"
                "  devices: [{id: core, trunk_ports: [ten1], serves_terminals: false}, {id: floor}]\n"
                "  surveys: [{declared_by: 王老师, declared_on: 2026-09-01, wireless: [indoors, outdoors]}]\n"
                "  facts:\n"
                "  - {name: real_name_login, holds: true, declared_by: 王老师, declared_on: 2026-09-01}\n"
            )


def seconds_for(file: Path, folder: Path) -> float:
    """Import into a registry that does not exist yet, as a person would; the wall time of the command."""
    config = folder / "collector.yaml"
    config.write_text(f"data_directory: {folder / file.suffix.lstrip('.')}\n", encoding="utf-8")
    start = time.monotonic()
    subprocess.run([*IMPORT, str(file), "--config", str(config)], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def main() -> None:
    """Print one row for each form."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in FORMS:
            file = folder / f"schools{suffix}"
            write(file, SCHOOLS)
            size, taken = file.stat().st_size / 1e6, seconds_for(file, folder)
            print(f"schools import {suffix}: {SCHOOLS} schools, {size:.1f} MB, {taken:.1f} s")


if __name__ == "__main__":
    main()
