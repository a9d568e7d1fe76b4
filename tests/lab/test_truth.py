"""The truth table's own arithmetic, and the scenarios' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from config.units import Seconds
from tests.lab import scenario, truth
from tests.lab.links import WireCount, judge_wire
from tests.lab.play import events
from tests.lab.scenario import Answer, Event, Expectation, Flap
from tests.lab.truth import Said

Case = tuple[Answer, Literal["met", "not_met"], int, list[tuple[int, str]], str, float | None]

CASES: list[Case] = [
    # expected, is so, after, what was said (second, verdict), mark, seconds
    ("met", "met", 0, [(1, "unknown"), (5, "met"), (9, "met")], "right", 5.0),
    ("met", "met", 0, [(1, "unknown"), (9, "unknown")], "unknown", None),
    ("met", "met", 0, [(1, "not_met"), (5, "met")], "wrong", None),
    ("met", "met", 0, [], "unknown", None),
    ("not_met", "not_met", 0, [(3, "not_met")], "right", 3.0),
    ("not_met", "not_met", 0, [(3, "met")], "wrong", None),
    ("unknown", "met", 0, [(3, "unknown")], "right", 3.0),
    ("unknown", "met", 0, [(3, "met")], "early", None),
    ("unknown", "met", 0, [(3, "not_met")], "wrong", None),
    ("unknown", "not_met", 0, [(3, "met"), (9, "unknown")], "wrong", None),
    ("not_met", "not_met", 4, [(3, "met"), (5, "met"), (8, "not_met")], "right", 4.0),
    ("not_met", "not_met", 4, [(3, "met"), (9, "met")], "wrong", None),
    ("met", "met", 0, [(5, "met"), (11, "unknown")], "right", 5.0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outcome(case: Case) -> None:
    verdict, is_so, after, said, mark, seconds = case
    expected = Expectation(
        "s1",
        Seconds(10),
        target="egress",
        verdict=verdict,
        after=Seconds(after),
        truth="met" if is_so == "met" else "not_met",
    )
    outcome = truth.judge("case", expected, [Said(at, each) for at, each in said])
    assert (outcome.mark, outcome.seconds) == (mark, seconds)


@pytest.mark.parametrize(
    ("expected", "said", "mark"),
    [
        (Expectation("s1", Seconds(9), level=3), ["unknown", "3"], "right"),
        (Expectation("s1", Seconds(9), level=3), ["unknown"], "unknown"),
        (Expectation("s1", Seconds(9), level=3), ["4", "3"], "wrong"),
        (Expectation("s1", Seconds(9), state="silent"), ["heard", "silent"], "right"),
        (Expectation("s1", Seconds(9), state="silent"), ["silent", "heard"], "wrong"),
    ],
)
def test_levels_and_states_are_judged_too(expected: Expectation, said: list[str], mark: str) -> None:
    history = [Said(float(second), word) for second, word in enumerate(said, 1)]
    assert truth.judge("case", expected, history).mark == mark


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": "egress"}, "go together"),
        ({"level": 3, "state": "heard"}, "one of"),
        ({}, "one of"),
        ({"target": "egress", "verdict": "unknown"}, "its truth"),
        ({"level": 3, "after": Seconds(9)}, "later"),
    ],
)
def test_an_expectation_says_one_thing(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Expectation("s1", Seconds(9), **wrong)


def test_flapping_is_written_out() -> None:
    flapping = Event(Seconds(10), "s1", line="tel", flap=Flap(Seconds(2), Seconds(3), 2))
    found = [(float(event.at), str(event.state)) for event in events((flapping,))]
    assert found == [(10.0, "link_down"), (12.0, "up"), (15.0, "link_down"), (17.0, "up")]


@pytest.mark.parametrize(
    ("count", "loss", "problems"),
    [
        (WireCount(10_000, 0, 0), 0.0, 0),
        (WireCount(10_000, 1, 0), 0.0, 1),
        (WireCount(10_000, 0, 3), 0.0, 1),
        (WireCount(10_000, 210, 0), 0.02, 0),
        (WireCount(10_000, 300, 0), 0.02, 1),
        (WireCount(10_000, 100, 2), 0.02, 2),
    ],
)
def test_the_wire_is_judged(count: WireCount, loss: float, problems: int) -> None:
    assert len(judge_wire("s1/tel", "down", count, loss).problems) == problems


@pytest.mark.parametrize("path", sorted(scenario.SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_scenario_can_be_read(path: Path) -> None:
    assert scenario.load(path).expect


def test_half_of_the_scenarios_have_a_box_behind_a_gateway() -> None:
    told = [scenario.load(path) for path in scenario.SCENARIOS.glob("*.yaml")]
    boxes = [each for each in told if any(school.agent == "box" for school in each.county.schools)]
    known = [each for each in boxes if any(expected.word != "unknown" for expected in each.expect)]
    assert len(boxes) >= len(told) / 2
    assert len(known) >= len(boxes) / 2
