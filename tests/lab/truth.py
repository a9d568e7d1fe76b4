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
    """What the collector said of one target at a time, in seconds since the agents started."""

    at_seconds: float
    verdict: str


class Outcome(msgspec.Struct, frozen=True):
    """One expectation against the truth.

    ``right``: said as expected, in time. ``wrong``: met of what does not meet, or not met of what does.
    ``unknown``: still unknown when it had to be known. ``early``: known, and so, where unknown was expected:
    no lie, but the scenario is not what it claims. ``seconds`` is from ``after`` to the verdict that stood.
    """

    scenario: str
    expectation: Expectation
    mark: Mark
    last: str
    seconds: float | None


def judge(scenario: str, expected: Expectation, history: list[Said]) -> Outcome:
    """Judge one expectation by all that was said of its target.

    What contradicts the truth is wrong at any moment; after a change (``after`` > 0) only from ``by`` on.
    """
    last = _last(history, expected.by)
    first_judged = expected.by if expected.after > 0 else 0.0
    heard = [said.verdict for said in history if first_judged <= said.at_seconds <= expected.by]
    if contradicts(last, expected.is_so) or any(contradicts(verdict, expected.is_so) for verdict in heard):
        return Outcome(scenario, expected, "wrong", last, None)
    if last != expected.verdict:
        return Outcome(scenario, expected, "unknown" if last == "unknown" else "early", last, None)
    since = _stood_since(history, last, expected.by)
    return Outcome(scenario, expected, "right", last, max(0.0, since - expected.after))


def contradicts(verdict: str, truth: str) -> bool:
    """Met of what does not meet, or not met of what does."""
    return verdict not in {"unknown", truth}


def table(outcomes: list[Outcome]) -> Table:
    """For each kind of verdict: how many right, wrong, unknown; and the time to the verdict."""
    shown = Table(title="what was said, against what is so")
    for column in ("target", "expected", "right", "wrong", "unknown", "early", "median s", "worst s"):
        shown.add_column(column, justify="left" if column in ("target", "expected") else "right")
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.expectation.target, outcome.expectation.verdict].append(outcome)
    for (target, verdict), members in sorted(groups.items()):
        marks = [
            str(sum(each.mark == mark for each in members)) for mark in ("right", "wrong", "unknown", "early")
        ]
        shown.add_row(target, verdict, *marks, *_times(members))
    return shown


def _times(members: list[Outcome]) -> tuple[str, str]:
    times = [each.seconds for each in members if each.seconds is not None and each.last != "unknown"]
    return (f"{statistics.median(times):.0f}", f"{max(times):.0f}") if times else ("", "")


def _last(history: list[Said], until: float) -> str:
    """The last word by then; nothing said is unknown."""
    return next((said.verdict for said in reversed(history) if said.at_seconds <= until), "unknown")


def _stood_since(history: list[Said], verdict: str, until: float) -> float:
    since = until
    for said in reversed([each for each in history if each.at_seconds <= until]):
        if said.verdict != verdict:
            break
        since = said.at_seconds
    return since
