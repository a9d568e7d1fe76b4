"""``xiaotong-collector verdicts`` over what happened in a term, in the county's registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collector.main import main
from collector.registry import Registry
from collector.settings import VerdictSettings
from collector.verdicts.opening import open_room
from config.clock import SystemClock
from config.points import Point
from config.school import ClassesOfYear, Contract, Fact, Line, School
from config.units import BitsPerSecond

M = 1_000_000
PLAN = """\
id: county
title: 规划
county: 某县
issuer: 教育局
starts: 2020-01-01
ends: 2099-12-31
groups: {学校: {}}
targets:
  - {id: egress, kind: egress_per_class, who: 学校, deadline: 2020-12-31, rate: 10M,
     share_percent: 100, quotes: [班均10M]}
  - {id: login, kind: declared, who: 学校, deadline: 2099-12-31, fact: real_name_login, quotes: [实名认证]}
"""
YEAR_AGO = datetime.now(UTC).replace(hour=4, minute=0, second=0, microsecond=0) - timedelta(days=300)


class Clock(SystemClock):
    """The wall clock of a day in the past."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def wall_ns(self) -> int:
        return round(self.moment.timestamp()) * 10**9


def day(number: int) -> date:
    return (YEAR_AGO + timedelta(days=number)).date()


def school(school_id: str) -> School:
    """10 classes, from day 40 on 40; a contract of 50M, from day 40 on of 1G."""
    contracts = (
        Contract("A1", down=BitsPerSecond(50 * M), starts=day(-999), ends=day(39)),
        Contract("A2", down=BitsPerSecond(1000 * M), starts=day(40)),
    )
    years = (ClassesOfYear(day(-999), 10), ClassesOfYear(day(40), 40))
    fact = Fact("real_name_login", True, "王老师", day(-999))
    return School(
        school_id,
        name="第一小学",
        classes_by_year=years,
        lines=(Line("wan", contracts=contracts),),
        facts=(fact,),
    )


def peak(rate: int, moment: datetime) -> Point:
    fields = {"rx_peak_bits_per_second": rate, "peak_seconds": 10.0, "refresh_seconds": 1.0}
    tags = {"interface": "eth0", "role": "line", "line": "wan"}
    return Point("interface", tags, fields, round(moment.timestamp()) * 10**9)


class County:
    """A registry in which things happened on days; the command line looks back at it."""

    def __init__(self, folder: Path) -> None:
        self.plan = folder / "plan.yaml"
        self.plan.write_text(PLAN, encoding="utf-8")
        self.config = folder / "collector.yaml"
        self.config.write_text(f"data_directory: {folder}/data\nverdicts: {{plans: [{self.plan}]}}\n")
        self.registry = Registry.open(f"sqlite:///{folder}/data/registry.db", refresh_seconds=0)

    def on_day(self, number: int, rates: dict[str, int]) -> None:
        """Each school's peak of the day, judged on that day by a collector of its own."""
        moment = YEAR_AGO + timedelta(days=number)
        clock = Clock(moment)
        room = open_room(self.registry, VerdictSettings(plans=(str(self.plan),)), clock)
        for school_id, rate in rates.items():
            room.on_points(school_id, [peak(rate, moment)])
        room.tick()

    def run(self, *arguments: str, language: str = "zh_CN.UTF-8", columns: int = 200) -> Result:
        environment = {"LANGUAGE": "", "LC_ALL": language, "COLUMNS": str(columns)}
        return CliRunner(env=environment).invoke(main, ["verdicts", *arguments, "--config", str(self.config)])

    def answers(self, number: int) -> dict[str, Any]:
        found = json.loads(self.run("--at", day(number).isoformat(), "--json").output)
        return {
            each["school"]: {one["target"]: one for one in each["verdicts"]} for each in found["schools"]
        } | {"county": found["county"]}


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    county = County(tmp_path_factory.mktemp("county"))
    county.registry.put_schools([school("s1"), school("s2")])
    county.on_day(0, {})
    county.on_day(1, {"s1": 100 * M, "s2": 60 * M})
    county.on_day(2, {"s2": 98 * M})
    county.on_day(41, {})
    county.on_day(42, {"s1": 390 * M})
    yield county
    county.registry.close()


@pytest.mark.parametrize(
    ("number", "first", "second", "shared"),
    [
        (0, "unknown", "unknown", "unknown"),
        (1, "met", "unknown", "unknown"),
        (2, "met", "met", "met"),
        (30, "met", "met", "met"),
        (41, "unknown", "unknown", "unknown"),
        (42, "met", "unknown", "unknown"),
    ],
)
def test_how_it_stood_at_the_end_of_a_day(
    county: County, number: int, first: str, second: str, shared: str
) -> None:
    found = county.answers(number)
    assert [found[each]["egress"]["verdict"] for each in ("s1", "s2")] == [first, second]
    assert [each["answer"] for each in found["county"]] == [shared]


def test_a_days_verdict_used_what_was_valid_then(county: County) -> None:
    before, after = county.answers(30)["s1"]["egress"], county.answers(42)["s1"]["egress"]
    assert (before["needed_bits_per_second"], after["needed_bits_per_second"]) == (100 * M, 400 * M)
    codes = [[reason["code"] for reason in each["reasons"]] for each in (before, after)]
    assert ["contract_below_target" in each for each in codes] == [True, False]
    assert after["evidence"][0]["lower_bits_per_second"] == 390 * M
    assert before["since"].startswith(day(1).isoformat())


def test_before_the_first_judgement_there_is_nothing(county: County) -> None:
    assert county.run("--at", day(-5).isoformat(), "--json").exit_code == 3
    assert county.answers(-5)["s1"] == {}


def test_days_to_come_and_what_is_no_day_are_refused(county: County) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    assert "is yet to come" in county.run("--at", tomorrow).output
    assert "is no day" in county.run("--at", "2026-02-30").output


def test_the_county_table_loses_nothing_at_eighty_columns(county: County) -> None:
    shown = county.run("--at", day(42).isoformat(), columns=80).output
    assert "…" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh_CN.UTF-8", "学校 目标 结论 起始 证据 达标 未知 涉及学校 规划期限已过 100"),
        ("en_US.UTF-8", "School Target Verdict Since met unknown Evidence passed 100"),
    ],
)
def test_the_county_table_speaks_both_languages(county: County, language: str, words: str) -> None:
    result = county.run("--at", day(42).isoformat(), language=language)
    assert result.exit_code == 3
    for word in words.split():
        assert word in result.output
    assert "班均10M" in result.output


def test_one_school_is_no_share_of_the_county(county: County) -> None:
    result = county.run("--school", "s1", "--at", day(42).isoformat(), "--json")
    assert json.loads(result.output)["county"] == []
    assert "第一小学" in county.run("--school", "s1").output


def test_what_is_declared_is_shown_and_never_met(county: County) -> None:
    login = county.answers(42)["s1"]["login"]
    assert (login["verdict"], login["due"]) == ("unknown", "due")
    assert login["beside"][0]["observed"]["declared_by"] == "王老师"
    assert county.answers(42)["s2"]["egress"]["due"] == "overdue"


def test_without_a_plan_nothing_is_judged_and_that_is_said(county: County, tmp_path: Path) -> None:
    county_file = tmp_path / "collector.yaml"
    county_file.write_text(f"data_directory: {tmp_path}/data\n")
    result = CliRunner().invoke(main, ["verdicts", "--config", str(county_file)])
    assert result.exit_code == 2
    assert "key verdicts.plans: names no plan, so nothing is judged; allowed: beilun" in result.output
