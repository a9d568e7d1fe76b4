"""The fifteen checks as a table: what rests on what, levels, merging, and words for everything."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.ipv6
from config.calendar import default_calendar
from config.evidence import Ipv6Checks, evidence_of
from config.judge import judge
from config.plan import shipped_plans
from config.points import Point
from config.readiness import (
    BY_NUMBER,
    CHECKS,
    SUMMARY,
    Finding,
    Levels,
    Result,
    failed,
    levels_of,
    merge,
    numbers_of,
    passed,
    settle,
    summary_fields,
    unknown,
)
from config.readiness_words import FINDINGS, finding_fields, finding_of, finding_text, levels_text
from config.school import School
from config.verdict import Answer

NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
ALL = tuple(range(1, 16))


def test_there_are_fifteen_and_each_stands_after_what_it_rests_on() -> None:
    assert [check.number for check in CHECKS] == list(ALL)
    assert all(need < check.number for check in CHECKS for need in check.needs)
    assert {check.level for check in CHECKS} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("broken", "because"),
    [
        (1, {7: 1, 8: 1, 9: 1, 10: 1, 11: 1, 13: 1, 14: 1, 15: 1}),
        (3, {4: 3, 5: 3, 6: 3, 13: 3, 15: 3}),
        (4, {5: 4, 6: 4, 13: 4, 15: 4}),
        (5, {}),
        (7, {8: 7, 9: 7, 10: 7, 11: 7, 13: 7, 14: 7, 15: 7}),
        (8, {14: 8}),
        (10, {13: 10}),
        (12, {}),
    ],
)
def test_what_rests_on_a_failure_is_unknown_because_of_it(broken: int, because: dict[int, int]) -> None:
    found = [failed(n, "x") if n == broken else passed(n, "x") for n in ALL]
    settled = settle(found)
    assert {each.check: each.because for each in settled if each.because} == because
    assert all(each.result is Result.UNKNOWN for each in settled if each.because)
    assert settled[broken - 1].result is Result.FAIL


def test_an_unknown_check_makes_no_other_unknown() -> None:
    settled = settle([unknown(7, "no_targets"), passed(8, "resolved")])
    assert settled[7].result is Result.PASS
    assert settled[0].code == "not_checked"


@pytest.mark.parametrize(
    ("passes", "failures", "levels"),
    [
        ((), (), Levels(0, 4)),
        ((1, 2), (), Levels(1, 4)),
        ((1, 2), (3,), Levels(1, 1)),
        ((1, 2, 3, 4, 5, 6), (9,), Levels(2, 2)),
        ((3, 4, 5, 6), (), Levels(0, 4)),
        (range(1, 11), (12,), Levels(3, 3)),
        (ALL, (), Levels(4, 4)),
        ((), (2,), Levels(0, 0)),
    ],
)
def test_levels(passes: tuple[int, ...], failures: tuple[int, ...], levels: Levels) -> None:
    results = dict.fromkeys(passes, Result.PASS) | dict.fromkeys(failures, Result.FAIL)
    assert levels_of(results) == levels


@given(st.dictionaries(st.sampled_from(ALL), st.sampled_from(Result)))
def test_a_level_is_never_shown_above_what_is_allowed(results: dict[int, Result]) -> None:
    settled = settle(Finding(number, result, "x") for number, result in results.items())
    levels = levels_of({each.check: each.result for each in settled})
    assert 0 <= levels.at_least <= levels.at_most <= 4


def test_gateway_and_client_together_show_what_neither_can_alone() -> None:
    gateway, client = ((1, 2, 3, 4, 5, 7, 8, 9, 10), ()), ((4, 5, 6, 7, 8, 9, 10), ())
    assert levels_of(merge([gateway])) == Levels(1, 4)
    assert levels_of(merge([gateway, client])) == Levels(3, 4)
    assert merge([gateway, ((), (4,))])[4] is Result.FAIL
    assert merge([gateway, ((), (4,))])[5] is Result.UNKNOWN


@pytest.mark.parametrize(
    ("views", "answer"),
    [
        ([("1,2,3,4,5,6,7,8,9,10", "")], Answer.MET),
        ([("1,2,3,4,5,7,8,9,10", ""), ("6", "12")], Answer.MET),
        ([("1,2,3,4,5,7,8,9,10", "")], Answer.UNKNOWN),
        ([("1,2,3,4,5,6,7,8,9,10", ""), ("", "9")], Answer.NOT_MET),
        ([("", "1")], Answer.NOT_MET),
        ([("garbage,99,-1,²", "x")], Answer.UNKNOWN),
    ],
)
def test_the_target_is_judged_on_the_checks(views: list[tuple[str, str]], answer: Answer) -> None:
    school = School(id="s")
    evidence = [
        item
        for place, (yes, no) in zip(("gateway", "lan"), views, strict=False)
        for item in evidence_of(
            Point(
                SUMMARY,
                {"place": place, "source": "ipv6"},
                {"passed": yes, "failed": no},
                round(NOW.timestamp() * 1e9),
            ),
            school,
        )
    ]
    assert all(isinstance(item.observed, Ipv6Checks) for item in evidence)
    plan = shipped_plans()["changxing"]
    target = next(each for each in plan.targets if each.kind.value == "ipv6")
    assert judge(target, school, evidence, NOW, default_calendar()).answer is answer


def test_numbers_that_a_client_makes_up_are_left_out() -> None:
    assert numbers_of("1, 15,16,0,x,,²,-3") == (1, 15)


def test_a_finding_survives_its_point() -> None:
    finding = failed(5, "rdnss_short", lifetime=4, interval=4.0)
    assert finding_of(5, finding_fields(finding)) == finding
    assert summary_fields([finding, passed(1, "x")])["failed"] == "5"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"result": "met"},
        {"result": True, "values": "[1]"},
        {"result": "pass", "values": "{", "code": "rogue"},
        {"result": "fail", "values": '{"mac": {"a": 1}}', "code": "rogue"},
        {"result": "fail", "code": "of_another_version"},
    ],
)
def test_a_strange_point_is_no_error_and_never_a_pass_by_mistake(fields: dict[str, str]) -> None:
    finding = finding_of(12, fields)
    assert (finding.result is Result.PASS) == (fields.get("result") == "pass")
    assert finding_text(finding, "zh_CN")


def test_values_are_never_templates() -> None:
    finding = failed(14, "site_no_aaaa", site="{check.__class__}{0}")
    assert finding_text(finding, "en") == "{check.__class__}{0} has no AAAA record."


def test_every_code_that_the_agent_gives_has_words() -> None:
    folder = Path(agent.ipv6.__file__).parent
    files = [*folder.glob("*.py"), folder.parent / "probes/router_advertisements.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    codes = set(re.findall(r'(?:passed|failed|unknown)\(\s*\d+,\s*"(\w+)"', text))
    assert len(codes) > 50
    assert codes <= set(FINDINGS)


def test_levels_in_words() -> None:
    assert levels_text(Levels(3, 3), "en") == "Level 3: works end to end"
    assert "at most level 4" in levels_text(Levels(1, 4), "en")
    assert set(BY_NUMBER) == set(ALL)
