"""One row of a table: its cells as the columns read them, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from collector.registry.columns import Column, columns_by_heading, heading_key
from collector.registry.declaring import Values
from collector.registry.sheets import MAX_CELL_CHARACTERS, Row


class Fault(NamedTuple):
    """Something wrong in a file: its row as a spreadsheet counts, its column, why, and its further sheet."""

    row: int
    column: str
    reason: str
    sheet: str = ""

    def __str__(self) -> str:
        sheet = f"sheet {self.sheet}, " if self.sheet else ""
        return f"{sheet}row {self.row}, column {self.column}: {self.reason}"


def columns_of_head(
    head: Row, allowed: Iterable[Column], needed: Iterable[str]
) -> tuple[list[Column | None], list[Fault]]:
    """The columns that the headings name, None for an empty one, and what is wrong with the headings."""
    by_heading = columns_by_heading(allowed)
    columns = [by_heading.get(heading_key(heading)) for heading in head.cells]
    faults = [
        Fault(head.number, heading, "is unknown; «schools template» prints the headings")
        for heading, column in zip(head.cells, columns, strict=True)
        if heading and column is None
    ]
    keys = [column.key for column in columns if column]
    faults += [
        Fault(head.number, column.chinese, "is given twice")
        for place, column in enumerate(column for column in columns if column)
        if column.key in keys[:place]
    ]
    titles = {column.key: column.chinese for column in by_heading.values()}
    faults += [
        Fault(head.number, titles[key], "is missing; every list needs it")
        for key in needed
        if key not in keys
    ]
    return columns, faults


def values_of(row: Row, columns: list[Column | None], needed: Sequence[str]) -> tuple[Values, list[Fault]]:
    """What each cell says, by its column's key, None for an empty one, and every fault of the row."""
    values: Values = {}
    faults = []
    cells = [*row.cells, *[""] * (len(columns) - len(row.cells))]
    for column, cell in zip(columns, cells, strict=False):
        if column is None:
            continue
        try:
            values[column.key] = _value(column, cell, needed)
        except ValueError as error:
            faults.append(Fault(row.number, column.chinese, str(error)))
    if any(cells[len(columns) :]):
        faults.append(Fault(row.number, "(beyond the last heading)", "has a cell under no heading"))
    return values, faults


def _value(column: Column, cell: str, needed: Sequence[str]) -> object:
    if not cell:
        if column.key in needed:
            raise ValueError("is empty")
        return None
    if cell.startswith("="):
        raise ValueError("holds a formula; allowed: its value as plain text")
    if len(cell) > MAX_CELL_CHARACTERS or not cell.isprintable():
        raise ValueError("is too long or holds a control character")
    return column.read(cell)
