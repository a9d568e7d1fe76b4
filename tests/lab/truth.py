"""What was said against what was so: outcomes, and the truth table of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Literal

import msgspec
from rich.table import Table

from tests.lab.scenario import Expectation

Mark = Literal["right", "wrong", "unknown", "early"]


class Said(msgspec.Struct, frozen=True):
    """What the collector said of one subject at a time, in seconds since the agents started."""

    at_seconds: float
    word: str


class Outcome(msgspec.Struct, frozen=True):
    """One expectation against the truth.

    ``right``: said as expected, in time. ``wrong``: met of what does not meet, not met of what does, another
    level or state than there is.
    ``unknown``: still unknown when it had to be known. ``early``: known, and so, where unknown was expected:
    no lie, but the scenario is not what it claims. ``seconds`` is from ``after`` to the verdict that stood.
    """

    scenario: str
    expectation: Expectation
    mark: Mark
    last: str
    seconds: float | None


def judge(scenario: str, expected: Expectation, history: list[Said]) -> Outcome:
    """Judge one expectation by all that was said of its subject.

    What contradicts the truth is wrong at any moment; of what may come later, only from ``by`` on.
    """
    last = _last(history, expected.by)
    first_judged = expected.by if expected.may_come else 0.0
    heard = [said.word for said in history if first_judged <= said.at_seconds <= expected.by]
    if contradicts(last, expected.is_so) or any(contradicts(word, expected.is_so) for word in heard):
        return Outcome(scenario, expected, "wrong", last, None)
    if last != expected.word:
        return Outcome(scenario, expected, "unknown" if last == "unknown" else "early", last, None)
    since = _stood_since(history, last, expected.by)
    return Outcome(scenario, expected, "right", last, max(0.0, since - expected.after))


def contradicts(word: str, truth: str) -> bool:
    """Met of what does not meet, or not met of what does; another level, another state."""
    return word not in {"unknown", truth}


def table(outcomes: list[Outcome]) -> Table:
    """For each kind of verdict: how many right, wrong, unknown; and the time to the verdict."""
    shown = Table(title="what was said, against what is so")
    for column in ("subject", "expected", "right", "wrong", "unknown", "early", "median s", "worst s"):
        words = column in ("subject", "expected")
        shown.add_column(column, justify="left" if words else "right", overflow="fold")
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.expectation.subject, outcome.expectation.word].append(outcome)
    for (subject, word), members in sorted(groups.items()):
        marks = [
            str(sum(each.mark == mark for each in members)) for mark in ("right", "wrong", "unknown", "early")
        ]
        shown.add_row(subject, word, *marks, *_times(members))
    return shown


def _times(members: list[Outcome]) -> tuple[str, str]:
    times = [each.seconds for each in members if each.seconds is not None and each.last != "unknown"]
    return (f"{statistics.median(times):.0f}", f"{max(times):.0f}") if times else ("", "")


def _last(history: list[Said], until: float) -> str:
    """The last word by then; nothing said is unknown."""
    return next((said.word for said in reversed(history) if said.at_seconds <= until), "unknown")


def _stood_since(history: list[Said], word: str, until: float) -> float:
    since = until
    for said in reversed([each for each in history if each.at_seconds <= until]):
        if said.word != word:
            break
        since = said.at_seconds
    return since
