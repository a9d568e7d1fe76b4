"""The one shape of verdicts as JSON."""

from __future__ import annotations

import msgspec

from config.judge import judge_plan
from config.plan import shipped_plans
from config.report import ProbeReport, SchoolReport, as_text, verdict_report, verdicts_of
from config.verdict import Answer
from tests.config.situations import (
    CALENDAR,
    NOW,
    M,
    access_points,
    before,
    failed,
    ipv6,
    peak,
    port,
    school,
    search,
    terminal,
    trunk,
    uplink,
)  # fmt: skip

EVIDENCE = [
    peak(50 * M), search(400 * M, hours=20), failed(390 * M), port(1000 * M), trunk(1000 * M),
    terminal(100 * M), access_points(99), ipv6(1, 4), uplink("edu", "192.0.2.1"),
]  # fmt: skip


def report_under(plan_id: str) -> SchoolReport:
    verdicts = judge_plan(shipped_plans()[plan_id], school(), EVIDENCE, NOW, CALENDAR)
    probes = [ProbeReport("ipv6", True, 0.1, None, "needs CAP_NET_RAW")]
    shown = [verdict_report(verdict, NOW, before(1)) for verdict in verdicts]
    return SchoolReport("s1", plan_id, shown, probes, "第一小学", NOW)


def test_it_has_the_keys_that_the_command_promises() -> None:
    found = msgspec.json.decode(as_text(report_under("shandan")))
    assert list(found)[:4] == ["school", "plan", "verdicts", "probes"]
    assert list(found["probes"][0])[:4] == ["name", "success", "duration_seconds", "error"]
    verdict = found["verdicts"][0]
    assert list(verdict)[:4] == ["target", "verdict", "evidence", "quote"]
    assert verdict["verdict"] == "met"
    assert list(verdict["evidence"][0])[:6] == [
        "kind", "lower_bits_per_second", "upper_bits_per_second", "at", "age_seconds", "note",
    ]  # fmt: skip
    assert verdict["evidence"][0]["age_seconds"] == 20 * 3600
    assert verdict["quote"].startswith("「2017年全面建成城区学校")


def test_what_was_judged_can_be_read_back_for_every_plan() -> None:
    for plan in shipped_plans().values():
        judged = judge_plan(plan, school(), EVIDENCE, NOW, CALENDAR)
        report = msgspec.json.decode(as_text(report_under(plan.id)), type=SchoolReport)
        assert verdicts_of(report) == judged


def test_what_did_not_decide_stands_beside() -> None:
    """A single failed verify run is shown and decides nothing."""
    verdict = report_under("shandan").verdicts[0]
    assert verdict.verdict == Answer.MET.value
    assert [each.kind for each in verdict.evidence] == ["search"]
    assert "verify_failed" in {each.kind for each in verdict.beside}
