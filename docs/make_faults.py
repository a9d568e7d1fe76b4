"""Make ``docs/faults.md`` and its Chinese page from ``faults.yaml`` and the tests' own marks; ``--check``
only compares.

A test says which row it shows: ``@pytest.mark.fault(9)``. A row that no test shows ends this with status 1.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "docs/faults.yaml"

Shown = Mapping[int, list["Test"]]


class Test(NamedTuple):
    """A test that shows a row."""

    file: str
    name: str


class Page(NamedTuple):
    """One language of the page."""

    file: Path
    suffix: str
    title: str
    words: str
    heads: tuple[str, str]


PAGES = (
    Page(
        ROOT / "docs/faults.md",
        "",
        "Faults and attacks, each with its tests",
        "Made by `python docs/make_faults.py` from `docs/faults.yaml` and the tests' own marks "
        "(`@pytest.mark.fault(9)`): change those. To run the tests of a row, give `pytest` their names.",
        ("What must hold", "Shown by"),
    ),
    Page(
        ROOT / "docs/faults.zh-CN.md",
        "_zh",
        "故障与攻击，及其对应的测试",
        "本页由 `python docs/make_faults.py` 根据 `docs/faults.yaml` 和测试自身的标记"
        "（`@pytest.mark.fault(9)`）生成，请改那些文件。要运行某一行的测试，把测试名交给 `pytest`。",
        ("必须做到", "由以下测试证明"),
    ),
)


def tests_of_faults() -> Shown:
    """The tests of each row, by file and name."""
    shown: dict[int, list[Test]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for row, name in _marked(ast.parse(file.read_text(encoding="utf-8"))):
            shown.setdefault(row, []).append(Test(file.relative_to(ROOT).as_posix(), name))
    return shown


def _marked(module: ast.Module) -> Iterator[tuple[int, str]]:
    for_all = [
        row
        for each in module.body
        if isinstance(each, ast.Assign) and _assigns_pytestmark(each)
        for row in _rows(each.value)
    ]
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_"):
            own = [row for decorator in function.decorator_list for row in _rows(decorator)]
            for row in dict.fromkeys([*for_all, *own]):
                yield row, function.name


def _assigns_pytestmark(statement: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in statement.targets)


def _rows(marks: ast.expr) -> Iterator[int]:
    for call in ast.walk(marks):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
            yield from (int(ast.literal_eval(number)) for number in call.args)


def rows_without_tests(rows: Mapping[int, object], shown: Shown) -> list[int]:
    """The rows that no test shows."""
    return [row for row in rows if not shown.get(row)]


def page_text(page: Page, rows: Mapping[int, Mapping[str, str]], shown: Shown) -> str:
    """One language of the page."""
    lines = [f"# {page.title}", "", page.words]
    for number, row in rows.items():
        lines += ["", f"## {number}. {row['fault' + page.suffix]}", ""]
        lines += [f"{page.heads[0]}: {row['holds' + page.suffix]}.", "", f"{page.heads[1]}:", ""]
        lines += [f"- [`{test.file}`](../{test.file}) `{test.name}`" for test in shown.get(number, [])]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; 1 when a row has no test or a page is out of date."""
    rows = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    shown = tests_of_faults()
    wrong = [f"row {row} has no test" for row in rows_without_tests(rows, shown)]
    wrong += [
        f"row {row} is marked on {shown[row][0].name} and not in the table" for row in shown.keys() - rows
    ]
    for page in PAGES:
        text = page_text(page, rows, shown)
        if arguments != ["--check"]:
            page.file.write_text(text, encoding="utf-8")
        elif not page.file.exists() or page.file.read_text(encoding="utf-8") != text:
            wrong.append(f"{page.file.relative_to(ROOT)} is out of date: run python docs/make_faults.py")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
