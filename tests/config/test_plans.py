"""The plans' files: what is shipped, and one broken file for each rule with its exact message."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.plan import TargetKind, load_plan, shipped_plans
from config.settings import SettingsError

INVALID = sorted((Path(__file__).parent / "invalid" / "plans").glob("*.yaml"))

FIGURES = {
    ("shandan", "egress_urban_2017"): ("2017-12-31", 10_000_000),
    ("shandan", "egress_rural_2017"): ("2017-12-31", 5_000_000),
    ("shandan", "egress_all_2018"): ("2018-12-31", 10_000_000),
    ("beilun", "county_backbone"): ("2020-12-31", 2_500_000_000),
    ("beilun", "campus_backbone"): ("2020-12-31", 1_000_000_000),
    ("beilun", "terminal_speed"): ("2020-12-31", 100_000_000),
    ("xingqing", "uplink_port"): ("2020-07-31", 1_000_000_000),
    ("changxing", "ten_gigabit_access"): ("2025-12-31", 10_000_000_000),
}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_broken_file_has_one_line(path: Path) -> None:
    """Its message stands in its first line."""
    message = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    with pytest.raises(SettingsError) as caught:
        load_plan(path)
    assert str(caught.value) == f"{path}: {message}"


def test_the_five_plans_ask_for_their_figures() -> None:
    found = {
        (plan.id, target.id): (target.deadline.isoformat(), target.rate)
        for plan in shipped_plans().values()
        for target in plan.targets
        if target.rate is not None
    }
    assert found == FIGURES


def test_the_plans_say_who_when_and_in_which_words() -> None:
    plans = shipped_plans()
    assert sorted(plans) == ["beilun", "changxing", "dongsheng", "shandan", "xingqing"]
    assert {plan.id for plan in plans.values() if plan.status == "lapsed"} == {"xingqing"}
    assert plans["xingqing"].status_quote == "宣布失效"
    counts = {plan.id: len(plan.targets) for plan in plans.values()}
    assert counts == {"shandan": 7, "beilun": 5, "xingqing": 3, "dongsheng": 2, "changxing": 4}
    access = plans["changxing"].targets[0]
    assert (
        access.quote
        == "「实现全县所有中小学和幼儿园教育计算机专网万兆到校」「100%实现教育计算机专网万兆接入」"
    )


def test_every_kind_is_asked_for_by_a_plan() -> None:
    asked = {target.kind for plan in shipped_plans().values() for target in plan.targets}
    assert asked == set(TargetKind)
