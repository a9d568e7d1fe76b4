"""The verdicts in as many lines as a terminal has: the whole table where it fits, else the gist of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.present import STYLES, Row, row, settles_text, table
from config.verdict import Verdict
from config.words import Language


def fitting(
    verdicts: Sequence[Verdict], language: Language, at: datetime, console: Console, lines: int
) -> Table:
    """Every verdict, in at most so many lines as far as one line for each allows."""
    shown = [row(verdict, language, at) for verdict in verdicts]
    whole = table(shown, language)
    if len(console.render_lines(whole)) <= lines:
        return whole
    return _gist(verdicts, shown, language, max(1, lines // max(1, len(verdicts))))


def _gist(verdicts: Sequence[Verdict], shown: Sequence[Row], language: Language, lines_each: int) -> Table:
    made = Table.grid(padding=(0, 1), expand=True)
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for verdict, one in zip(verdicts, shown, strict=True):
        answer = Text(f"{one.symbol} {one.word}", style=STYLES[one.verdict])
        first, *others = islice(_weightiest_first(verdict, one, language), lines_each)
        text = Text(first, style="bold", no_wrap=True, overflow="ellipsis")
        made.add_row(answer, text.append("".join(f"\n{line}" for line in others), style="not bold"))
    return made


def _weightiest_first(verdict: Verdict, one: Row, language: Language) -> Iterator[str]:
    """What is asked, the evidence that weighs most, what would settle it; then all the rest."""
    yield " · ".join(part for part in (one.target, one.needed) if part)
    yield from one.evidence[:1]
    settles = settles_text(verdict.settles, language) if verdict.settles else None
    if settles:
        yield settles
    yield from (note for note in one.notes[:1] if note != settles)
    yield from one.evidence[1:]
    yield from (note for note in one.notes[1:] if note != settles)
