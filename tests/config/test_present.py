"""Verdicts in words: what was measured, how old it is, and what would settle an unknown."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from config import evidence as evidence_module
from config.evidence import (
    AccessPoints,
    Declared,
    Evidence,
    EvidenceKind,
    Ipv6Level,
    Observed,
    Uplink,
)
from config.present import age, evidence_text, reason_text, rows, settles_text, table
from config.reasons import REASONS, SENTENCES, SETTLES
from config.verdict import Answer, Reason, Settles, Verdict
from config.words import Language

CONFIG = Path(evidence_module.__file__).parent
JUDGE = ("judge", "rates", "networks", "case")
NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
PEAK = Evidence(
    kind=EvidenceKind.PASSIVE_PEAK,
    subject="wan",
    at=NOW - timedelta(minutes=3),
    direction="down",
    lower_bits_per_second=61_200_000,
)
VERDICT = Verdict(
    plan="shandan",
    school="sample",
    target="egress_2018",
    kind="egress_per_class",
    answer=Answer.MET,
    needed=120_000_000,
    evidence=(PEAK,),
    beside=(),
    reasons=(),
    settles=None,
    quote="「中小学(园)班均出口带宽不低于10兆」",
    deadline=date(2018, 12, 31),
    due="due",
    at=NOW,
)


def changed(**fields: object) -> Verdict:
    return msgspec.structs.replace(VERDICT, **fields)


@pytest.mark.parametrize(
    ("answer", "language", "expected"),
    [
        (Answer.MET, "zh_CN", ("met", "✓", "达标")),
        (Answer.NOT_MET, "zh_CN", ("not_met", "✗", "未达标")),
        (Answer.UNKNOWN, "zh_CN", ("unknown", "?", "未知")),
        (Answer.MET, "en", ("met", "✓", "met")),
        (Answer.NOT_MET, "en", ("not_met", "✗", "not met")),
        (Answer.UNKNOWN, "en", ("unknown", "?", "unknown")),
    ],
)
def test_an_answer_is_a_symbol_and_a_word(
    answer: Answer, language: Language, expected: tuple[str, ...]
) -> None:
    (row,) = rows([changed(answer=answer)], language, NOW)
    assert (row.verdict, row.symbol, row.word) == expected


def test_a_row_says_what_is_needed_by_which_evidence_and_how_old_it_is() -> None:
    (row,) = rows([VERDICT], "zh_CN", NOW)
    assert row.target == "班均出口带宽(2018-12-31 前)"
    assert row.needed == "不低于 120 Mbit/s"
    assert row.evidence == ("下行 ≥ 61.2 Mbit/s · 流量峰值 · wan · 3 分钟前",)
    assert row.quote == "「中小学(园)班均出口带宽不低于10兆」"
    (row,) = rows([VERDICT], "en", NOW)
    assert row.target == "Egress bandwidth for all classes (by 2018-12-31)"
    assert row.needed == "at least 120 Mbit/s"
    assert row.evidence == ("down ≥ 61.2 Mbit/s · traffic peak · wan · 3 min ago",)


def test_without_a_needed_rate_nothing_is_said_of_it() -> None:
    (row,) = rows([changed(needed=None, evidence=())], "en", NOW)
    assert (row.needed, row.evidence, row.notes) == ("", (), ())


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (-5, "just now", "刚刚"),
        (0, "just now", "刚刚"),
        (59.9, "59 s ago", "59 秒前"),
        (60, "1 min ago", "1 分钟前"),
        (7199, "1 h ago", "1 小时前"),
        (86400 * 20, "20 d ago", "20 天前"),
    ],
)
def test_ages(seconds: float, english: str, chinese: str) -> None:
    assert age(seconds, "en") == english
    assert age(seconds, "zh_CN") == chinese


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"upper_bits_per_second": 61_200_000}, "down = 61.2 Mbit/s"),
        ({"upper_bits_per_second": 70_000_000}, "down ≥ 61.2 Mbit/s, < 70 Mbit/s"),
        (
            {"kind": EvidenceKind.PORT_SPEED, "lower_bits_per_second": None, "upper_bits_per_second": 10**9,
             "direction": "both"},
            "≤ 1 Gbit/s · port speed",
        ),
        ({"kind": EvidenceKind.VERIFY_FAILED, "lower_bits_per_second": None, "upper_bits_per_second": 10**8},
         "down < 100 Mbit/s · verify test failed"),
        ({"lower_bits_per_second": None}, "traffic peak"),
        ({"lower_bits_per_second": 0, "upper_bits_per_second": 0}, "down = 0 bit/s"),
    ],
)  # fmt: skip
def test_bounds(fields: dict[str, object], expected: str) -> None:
    assert evidence_text(msgspec.structs.replace(PEAK, **fields), "en", NOW).startswith(expected)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (AccessPoints(online=3, installed=5), "5 个无线接入点中 3 个在线"),
        (Ipv6Level(at_least=1, at_most=2), "IPv6 就绪等级在 1 与 2 之间"),
        (Declared(what="5G", value="是", declared_by="王老师"), "5G: 是,由 王老师 申报"),
        (Declared(what="5G", value="是"), "5G: 是 "),
        (Uplink(up=True, port_type="fibre", next_hop="192.0.2.1"), "端口在用, 光口, 下一跳 192.0.2.1"),
        (Uplink(up=False), "端口断开"),
    ],
)
def test_what_is_no_rate(observed: Observed, expected: str) -> None:
    evidence = Evidence(kind=EvidenceKind.OBSERVED, subject="wan", at=NOW, observed=observed)
    assert evidence_text(evidence, "zh_CN", NOW).startswith(expected)


def test_evidence_that_did_not_judge_is_shown_as_such_with_its_note() -> None:
    loop = msgspec.structs.replace(PEAK, judges=False, note="path did not leave the host")
    (row,) = rows([changed(answer=Answer.UNKNOWN, evidence=(), beside=(loop,))], "en", NOW)
    assert row.evidence[0].startswith("did not judge: down ≥ 61.2 Mbit/s")
    assert row.evidence[0].endswith("path did not leave the host")


def test_a_code_without_words_is_shown_with_its_values() -> None:
    reason = Reason("something_new", {"rate": 10**7, "wait_seconds": 2.5, "why": "x{y}"})
    assert reason_text(reason, "en") == ("something new (rate 10 Mbit/s, wait_seconds 2.5, why x{y})")
    assert reason_text(Reason("bare_code"), "zh_CN") == "bare code"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"lower": 10**6, "upper": 10**9}, "已知在 1 Mbit/s 与 1 Gbit/s 之间;达到 114 Mbit/s 即算达标。"),
        ({"lower": 10**6}, "已知不低于 1 Mbit/s;达到 114 Mbit/s 即算达标。"),
        ({"upper": 10**9}, "已知不高于 1 Gbit/s;达到 114 Mbit/s 即算达标。"),
    ],
)
def test_one_end_or_both_may_be_known(values: dict[str, str | int | float], expected: str) -> None:
    assert reason_text(Reason("between", {**values, "threshold": 114_000_000}), "zh_CN") == expected


def test_places_of_a_survey_are_translated_one_by_one() -> None:
    values: dict[str, str | int | float] = {
        "places": "wired teaching, outdoors", "declared_by": "no", "declared_on": "2026-01-02",
    }  # fmt: skip
    text = reason_text(Reason("survey_lacks", values), "zh_CN")
    assert text == "2026-01-02 的覆盖勘查(no)未显示:教学区有线, 室外。"


def test_every_code_of_the_judge_has_words() -> None:
    """The codes stand in the sources of the judge."""
    sources = "".join((CONFIG / f"{name}.py").read_text(encoding="utf-8") for name in JUDGE)
    codes = set(re.findall(r'Reason\(\s*"(\w+)"', sources))
    assert len(codes) > 20
    assert codes <= set(REASONS)
    settles = set(re.findall(r'Settles\(\s*"(\w+)"', sources))
    assert settles == set(SETTLES)


def test_every_sentence_of_evidence_is_in_the_catalogue() -> None:
    sentences = {
        value for name, value in vars(evidence_module).items() if name.isupper() and isinstance(value, str)
    }
    assert sentences
    assert sentences <= set(SENTENCES)


def test_what_would_settle_names_line_rate_and_cost() -> None:
    settles = Settles("something_else", "wan", "down", 57_000_000, 21_375_000)
    assert settles_text(settles, "en") == "Would settle it: something else (wan, down, 57 Mbit/s, 21.4 MB)"
    assert settles_text(Settles("x"), "zh_CN") == "可作定论的办法:x"


def test_the_row_on_delivery_says_that_it_counts_nowhere() -> None:
    (row,) = rows([changed(kind="delivery", counts=False)], "en", NOW)
    assert (row.counts, row.target) == (False, "What the line delivers (by 2018-12-31)")
    assert row.notes == ("Shown, in no total.",)


@pytest.mark.parametrize(
    ("due", "expected"), [("overdue", "规划期限已过。"), ("lapsed", "该规划已宣布失效。")]
)
def test_a_date_that_has_passed_is_said(due: str, expected: str) -> None:
    (row,) = rows([changed(due=due)], "zh_CN", NOW)
    assert expected in row.notes


def test_the_table_reads_without_colour() -> None:
    out = io.StringIO()
    console = Console(file=out, width=180, color_system=None)
    console.print(table(rows([VERDICT, changed(answer=Answer.UNKNOWN, evidence=())], "zh_CN", NOW), "zh_CN"))
    text = out.getvalue()
    for expected in ("✓ 达标", "? 未知", "不低于 120 Mbit/s", "3 分钟前"):
        assert expected in text


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_nothing_is_lost_at_eighty_columns(language: Language) -> None:
    port = "core-switch-of-the-teaching-building/GigabitEthernet1/0/24"
    shown = rows([changed(beside=(msgspec.structs.replace(PEAK, subject=port),))], language, NOW)
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(table(shown, language))
    assert "…" not in out.getvalue()
    cells = [line.split("│")[1:-1] for line in out.getvalue().splitlines() if line.startswith("│")]
    columns = ["".join("".join(part).split()) for part in zip(*cells, strict=True)]
    (row,) = shown
    whole = (row.target, row.symbol + row.word, row.needed, "".join(row.evidence), "".join(row.notes))
    assert columns == ["".join(text.split()) for text in whole]


def test_text_of_a_school_is_no_markup_in_the_table() -> None:
    out = io.StringIO()
    evil = msgspec.structs.replace(PEAK, subject="[red]wan[/red]")
    Console(file=out, width=200).print(table(rows([changed(evidence=(evil,))], "en", NOW), "en"))
    assert "[red]wan[/red]" in out.getvalue()


def test_a_router_without_a_screen_never_loads_rich() -> None:
    code = "import sys, config.present; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
