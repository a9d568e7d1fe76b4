"""Every target of every plan below, at and above its threshold; and the judge's worked cases."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from config.evidence import Evidence, EvidenceKind, Uplink
from config.judge import Answer, Verdict, judge, judge_plan, judge_plans, judge_share
from config.plan import shipped_plans
from config.school import ClassesOfYear, Contract, Fact, Line, School
from config.verdict import Settles
from tests.config.situations import (
    CALENDAR,
    NOW,
    G,
    M,
    access_points,
    before,
    failed,
    ipv6,
    passed,
    peak,
    port,
    school,
    search,
    target_of,
    terminal,
    trunk,
    uplink,
)  # fmt: skip

RURAL = school(9, "rural")
DISTRICT = school(None, level="district")
TWO_LINES = (Line("edu", kind="education"), Line("net"))
TWO = school(lines=TWO_LINES)
MET, NOT_MET, UNKNOWN = Answer.MET, Answer.NOT_MET, Answer.UNKNOWN

FACT = msgspec.structs.replace(
    school(), facts=(Fact("network_standard_a", True, "李主任", date(2026, 9, 1)),)
)

# plan, target, school, evidence, answer: below, at and above the threshold, and nothing known
TABLE: list[tuple[str, str, School, list[Evidence], Answer]] = [
    ("shandan", "egress_urban_2017", school(), [search(342 * M - 1)], NOT_MET),
    ("shandan", "egress_urban_2017", school(), [search(342 * M)], MET),
    ("shandan", "egress_urban_2017", school(), [search(342 * M + 1)], MET),
    ("shandan", "egress_urban_2017", school(), [peak(342 * M - 1)], UNKNOWN),
    ("shandan", "egress_urban_2017", school(), [port(1 * G)], UNKNOWN),
    ("shandan", "egress_urban_2017", school(), [port(100 * M)], NOT_MET),
    ("shandan", "egress_urban_2017", school(), [port(342 * M)], UNKNOWN),
    ("shandan", "egress_rural_2017", RURAL, [search(42_750_000 - 1)], NOT_MET),
    ("shandan", "egress_rural_2017", RURAL, [search(42_750_000)], MET),
    ("shandan", "egress_rural_2017", RURAL, [search(42_750_000 + 1)], MET),
    ("shandan", "egress_all_2018", RURAL, [search(85_500_000 - 1)], NOT_MET),
    ("shandan", "egress_all_2018", RURAL, [search(85_500_000)], MET),
    ("shandan", "egress_all_2018", RURAL, [search(85_500_000 + 1)], MET),
    ("shandan", "two_fibre_networks", TWO, [uplink("edu", "10.0.0.1"), uplink("net", "10.0.0.1")], NOT_MET),
    ("shandan", "two_fibre_networks", TWO, [uplink("edu", "10.0.0.1"), uplink("net", "10.0.1.1")], MET),
    ("shandan", "two_fibre_networks", TWO, [uplink("edu", "10.0.0.1"), uplink("net", None)], UNKNOWN),
    ("shandan", "coverage_urban_2017", school(), [access_points(94), terminal(G)], NOT_MET),
    ("shandan", "coverage_urban_2017", school(), [access_points(95), terminal(G)], MET),
    ("shandan", "coverage_urban_2017", school(), [access_points(96), terminal(G)], MET),
    ("shandan", "coverage_urban_2017", school(), [access_points(96)], UNKNOWN),
    ("shandan", "coverage_rural_2017", RURAL, [access_points(94)], NOT_MET),
    ("shandan", "coverage_rural_2017", RURAL, [access_points(95)], MET),
    ("shandan", "coverage_rural_2017", RURAL, [access_points(96)], MET),
    ("shandan", "coverage_rural_2017", RURAL, [terminal(G)], MET),
    ("shandan", "coverage_all_2018", RURAL, [access_points(94), terminal(G)], NOT_MET),
    ("shandan", "coverage_all_2018", RURAL, [access_points(95), terminal(G)], MET),
    ("shandan", "coverage_all_2018", RURAL, [access_points(96), terminal(G)], MET),
    ("beilun", "county_backbone", DISTRICT, [search(2375 * M - 1)], NOT_MET),
    ("beilun", "county_backbone", DISTRICT, [search(2375 * M)], MET),
    ("beilun", "county_backbone", DISTRICT, [search(2375 * M + 1)], MET),
    ("beilun", "campus_backbone", school(), [trunk(100 * M)], NOT_MET),
    ("beilun", "campus_backbone", school(), [trunk(1 * G)], MET),
    ("beilun", "campus_backbone", school(), [trunk(10 * G)], MET),
    ("beilun", "terminal_speed", school(), [terminal(10 * M), terminal(G, "floor/2")], NOT_MET),
    ("beilun", "terminal_speed", school(), [terminal(100 * M), terminal(G, "floor/2")], MET),
    ("beilun", "terminal_speed", school(), [terminal(1 * G)], MET),
    ("beilun", "wireless_coverage", school(), [access_points(94)], NOT_MET),
    ("beilun", "wireless_coverage", school(), [access_points(95)], MET),
    ("beilun", "wireless_coverage", school(), [access_points(96)], MET),
    ("beilun", "network_standard_a", FACT, [access_points(100)], UNKNOWN),
    ("xingqing", "uplink_port", school(), [port(100 * M)], NOT_MET),
    ("xingqing", "uplink_port", school(), [port(1 * G)], MET),
    ("xingqing", "uplink_port", school(), [port(10 * G)], MET),
    ("xingqing", "wireless_coverage", school(), [access_points(94)], NOT_MET),
    ("xingqing", "wireless_coverage", school(), [access_points(95)], MET),
    ("xingqing", "wireless_coverage", school(), [access_points(96)], MET),
    ("xingqing", "pilot_5g", school(), [access_points(96)], UNKNOWN),
    ("dongsheng", "wireless_coverage", school(), [access_points(94)], NOT_MET),
    ("dongsheng", "wireless_coverage", school(), [access_points(95)], MET),
    ("dongsheng", "wireless_coverage", school(), [access_points(96)], MET),
    ("dongsheng", "real_name_login", school(), [access_points(96)], UNKNOWN),
    ("changxing", "ten_gigabit_access", school(), [port(1 * G)], NOT_MET),
    ("changxing", "ten_gigabit_access", school(), [port(10 * G)], MET),
    ("changxing", "ten_gigabit_access", school(), [port(25 * G)], MET),
    ("changxing", "ten_gigabit_access", school(), [search(900 * M)], UNKNOWN),
    ("changxing", "ipv6", school(), [ipv6(0, 2)], NOT_MET),
    ("changxing", "ipv6", school(), [ipv6(3, 3)], MET),
    ("changxing", "ipv6", school(), [ipv6(4, 4)], MET),
    ("changxing", "ipv6", school(), [ipv6(1, 4)], UNKNOWN),
    ("changxing", "ipv6", school(), [ipv6(1, 3)], UNKNOWN),
    ("changxing", "wireless_coverage", school(), [access_points(94)], NOT_MET),
    ("changxing", "wireless_coverage", school(), [access_points(95)], MET),
    ("changxing", "wireless_coverage", school(), [access_points(96)], MET),
    ("changxing", "security_equipment", school(), [access_points(96)], UNKNOWN),
]
NAMES = [
    f"{plan}-{target}-{number}-{answer.value}" for number, (plan, target, *_, answer) in enumerate(TABLE)
]


def judged(
    plan_id: str, target_id: str, who: School, evidence: list[Evidence], now: datetime = NOW
) -> Verdict:
    plan, target = target_of(plan_id, target_id)
    return judge(target, who, evidence, now, CALENDAR, plan=plan)


def codes(verdict: Verdict) -> set[str]:
    return {reason.code for reason in verdict.reasons}


@pytest.mark.parametrize(("plan", "target", "who", "evidence", "answer"), TABLE, ids=NAMES)
def test_each_target_at_its_threshold(
    plan: str, target: str, who: School, evidence: list[Evidence], answer: Answer
) -> None:
    assert judged(plan, target, who, evidence).answer is answer


@pytest.mark.parametrize(("plan", "target", "who"), [row[:3] for row in TABLE])
def test_no_evidence_is_unknown_and_says_what_would_settle_it(plan: str, target: str, who: School) -> None:
    verdict = judged(plan, target, who, [])
    assert verdict.answer is UNKNOWN
    assert verdict.settles is not None or codes(verdict) == {"only_declared"}


def test_every_target_of_every_plan_has_a_row() -> None:
    shipped = {(plan.id, target.id) for plan in shipped_plans().values() for target in plan.targets}
    assert {(row[0], row[1]) for row in TABLE} == shipped


@pytest.mark.parametrize(
    ("target", "classes", "area", "needed"),
    [
        ("egress_urban_2017", 36, "urban", 360 * M),
        ("egress_all_2018", 36, "urban", 360 * M),
        ("egress_rural_2017", 9, "rural", 45 * M),
        ("egress_all_2018", 9, "rural", 90 * M),
    ],
)
def test_what_the_plans_own_numbers_need(target: str, classes: int, area: str, needed: int) -> None:
    who = msgspec.structs.replace(school(), classes=classes, area=area)
    verdicts = judge_plan(shipped_plans()["shandan"], who, [], NOW, CALENDAR)
    assert {verdict.target: verdict.needed for verdict in verdicts}[target] == needed


def test_classes_of_the_day_decide() -> None:
    years = (ClassesOfYear(date(2025, 9, 1), 9), ClassesOfYear(date(2026, 9, 1), 18))
    who = msgspec.structs.replace(school(None, "rural"), classes_by_year=years)
    assert judged("shandan", "egress_all_2018", who, []).needed == 180 * M
    last_year = datetime(2026, 3, 2, tzinfo=UTC)
    assert judged("shandan", "egress_all_2018", who, [], last_year).needed == 90 * M


def test_unknown_classes_are_said() -> None:
    verdict = judged("shandan", "egress_all_2018", school(None), [search(10 * G)])
    assert (verdict.answer, codes(verdict)) == (UNKNOWN, {"classes_unknown"})
    assert verdict.settles == Settles("declare_classes")


def test_an_unknown_egress_asks_for_a_verify_run() -> None:
    verdict = judged("shandan", "egress_all_2018", school(10), [port(1 * G)])
    assert verdict.settles == Settles("verify", "edu", "down", 95 * M, 37_500_000)


def test_lines_add_up_and_an_upper_end_needs_every_line() -> None:
    half = [search(171 * M), search(171 * M, line="net")]
    assert judged("shandan", "egress_urban_2017", TWO, half).answer is MET
    one_open = [search(170 * M), peak(1 * M, line="net")]
    verdict = judged("shandan", "egress_urban_2017", TWO, one_open)
    assert verdict.answer is UNKNOWN
    assert verdict.settles == Settles("verify", "net", "down", 172 * M, 67_894_737)
    both = [search(170 * M), search(171 * M, line="net")]
    assert judged("shandan", "egress_urban_2017", TWO, both).answer is NOT_MET


def test_newer_beats_older_both_ways() -> None:
    assert (
        judged("shandan", "egress_urban_2017", school(), [peak(400 * M, hours=30), search(200 * M)]).answer
        is NOT_MET
    )
    rose = [search(200 * M, hours=30), peak(400 * M)]
    assert judged("shandan", "egress_urban_2017", school(), rose).answer is MET


def test_contradictions_of_one_age_are_unknown_and_both_shown() -> None:
    pair = [peak(400 * M), search(200 * M)]
    verdict = judged("shandan", "egress_urban_2017", school(), pair)
    assert (verdict.answer, verdict.reasons[0].code) == (UNKNOWN, "contradiction")
    assert set(verdict.evidence) >= set(pair)


@pytest.mark.parametrize(
    ("runs", "answer"),
    [
        ([failed(342 * M)], UNKNOWN),
        ([failed(342 * M, hours=1), failed(342 * M, hours=1.1)], UNKNOWN),
        ([failed(342 * M, hours=1), failed(342 * M, hours=2)], NOT_MET),
        ([failed(342 * M, hours=1), passed(342 * M, hours=2), failed(342 * M, hours=3)], NOT_MET),
        ([passed(342 * M, hours=1), failed(342 * M, hours=2), failed(342 * M, hours=3)], MET),
        ([passed(342 * M, hours=5), failed(342 * M, hours=1)], MET),
        (
            [
                failed(342 * M, hours=1),
                passed(342 * M, hours=2),
                passed(342 * M, hours=3),
                failed(342 * M, hours=4),
            ],
            MET,
        ),
    ],
)
def test_a_failed_verify_needs_two_of_three_at_different_times(runs: list[Evidence], answer: Answer) -> None:
    assert judged("shandan", "egress_urban_2017", school(), runs).answer is answer


def test_a_single_failed_verify_is_told() -> None:
    verdict = judged("shandan", "egress_urban_2017", school(), [failed(342 * M)])
    assert "verify_failed_once" in codes(verdict)
    assert failed(342 * M) in verdict.beside


def test_evidence_ages_in_school_days_and_ports_in_an_hour() -> None:
    assert judged("shandan", "egress_urban_2017", school(), [peak(G, hours=28 * 24)]).answer is MET
    old = judged("shandan", "egress_urban_2017", school(), [peak(G, hours=29 * 24)])
    assert (old.answer, "expired" in codes(old)) == (UNKNOWN, True)
    assert judged("xingqing", "uplink_port", school(), [port(G, hours=1)]).answer is MET
    assert judged("xingqing", "uplink_port", school(), [port(G, hours=1.01)]).answer is UNKNOWN


def test_access_and_delivery_are_two_rows() -> None:
    plan = shipped_plans()["changxing"]
    rows = judge_plan(plan, school(), [port(10 * G), search(900 * M)], NOW, CALENDAR)
    access, delivered = rows[:2]
    assert (access.answer, access.counts) == (MET, True)
    assert (delivered.kind, delivered.answer, delivered.counts) == ("delivery", NOT_MET, False)


def test_only_lines_of_the_asked_kind_give_access() -> None:
    evidence = [port(10 * G, line="net"), port(1 * G)]
    assert judged("changxing", "ten_gigabit_access", TWO, evidence).answer is NOT_MET


def test_a_contract_is_a_finding_and_no_verdict() -> None:
    line = Line("edu", contracts=(Contract(down=100 * M, starts=date(2026, 1, 1)),))  # type: ignore[arg-type]
    verdict = judged("shandan", "egress_urban_2017", school(lines=(line,)), [])
    assert (verdict.answer, "contract_below_target" in codes(verdict)) == (UNKNOWN, True)
    assert [(each.kind, each.judges) for each in verdict.beside] == [(EvidenceKind.DECLARED, False)]


def test_a_declared_fact_is_shown_and_never_judges() -> None:
    verdict = judged("beilun", "network_standard_a", FACT, [])
    assert (verdict.answer, codes(verdict)) == (UNKNOWN, {"only_declared"})
    assert verdict.evidence == ()


def test_without_a_survey_nobody_knows_which_places_are_reached() -> None:
    who = msgspec.structs.replace(school(), surveys=())
    verdict = judged("beilun", "wireless_coverage", who, [access_points(100)])
    assert (verdict.answer, verdict.settles) == (UNKNOWN, Settles("declare_survey"))


def test_fibre_behind_a_copper_handoff_is_declared() -> None:
    lines = (Line("edu", medium="fibre"), Line("net", medium="fibre"))
    seen = [uplink("edu", "10.0.0.1", "copper"), uplink("net", "10.0.1.1")]
    verdict = judged("shandan", "two_fibre_networks", school(lines=lines), seen)
    assert (verdict.answer, codes(verdict)) == (MET, {"two_networks", "fibre_declared"})


def test_an_uplink_that_is_down_leaves_two_networks_open() -> None:
    seen = [uplink("edu", "10.0.0.1"), uplink("net", "10.0.1.1", up=False)]
    assert judged("shandan", "two_fibre_networks", TWO, seen).answer is UNKNOWN
    assert seen[1].observed == Uplink(False, "fibre", "10.0.1.1")


def test_what_never_judges_is_shown_beside() -> None:
    lan = msgspec.structs.replace(search(G), judges=False, note="the path left by no declared line")
    verdict = judged("shandan", "egress_urban_2017", school(), [lan])
    assert (verdict.answer, verdict.beside) == (UNKNOWN, (lan,))


def test_evidence_of_tomorrow_does_not_judge_today() -> None:
    assert judged("shandan", "egress_urban_2017", school(), [search(G, hours=-1)]).answer is UNKNOWN


def test_a_lapsed_plan_is_judged_only_when_chosen() -> None:
    plans = shipped_plans().values()
    arguments = (school(), [port(G)], NOW, CALENDAR)
    assert "xingqing" not in {each.plan for each in judge_plans(plans, *arguments)}
    chosen = [each for each in judge_plans(plans, *arguments, chosen=["xingqing"]) if each.plan == "xingqing"]
    assert {each.due for each in chosen} == {"lapsed"}


def test_a_deadline_makes_due_or_overdue() -> None:
    last_day = datetime(2025, 12, 31, 15, 59, tzinfo=UTC)
    assert judged("changxing", "ipv6", school(), [], last_day).due == "due"
    assert judged("changxing", "ipv6", school(), [], last_day.replace(minute=59, second=59)).due == "due"
    assert judged("changxing", "ipv6", school(), [], datetime(2025, 12, 31, 16, tzinfo=UTC)).due == "overdue"
    assert judged("changxing", "ipv6", school(), [ipv6(3, 3)]).due == "due"


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ((3, 0, 0), MET),
        ((2, 1, 0), NOT_MET),
        ((2, 0, 1), UNKNOWN),
        ((0, 0, 0), UNKNOWN),
        ((1, 1, 1), NOT_MET),
    ],
)
def test_a_share_is_judged_on_the_county(counts: tuple[int, int, int], answer: Answer) -> None:
    plan, target = target_of("changxing", "ipv6")
    kinds = zip(counts, ([ipv6(3, 3)], [ipv6(0, 0)], []), strict=True)
    verdicts = [judged("changxing", "ipv6", school(), items) for count, items in kinds for _ in range(count)]
    share = judge_share(plan, target, verdicts, NOW, CALENDAR)
    assert (share.answer, share.met, share.not_met, share.unknown) == (answer, *counts)


def test_only_what_the_plan_asks_of_a_school_is_judged() -> None:
    def asked(plan: str, who: School) -> set[str]:
        return {each.target for each in judge_plan(shipped_plans()[plan], who, [], NOW, CALENDAR)}

    assert asked("beilun", DISTRICT) == {"county_backbone"}
    assert "county_backbone" not in asked("beilun", school())
    assert asked("shandan", school(None, level="other_body")) == {"coverage_all_2018"}
    assert "egress_rural_2017" not in asked("shandan", school())
    assert asked("dongsheng", school(level="kindergarten")) == {"real_name_login"}
    assert "pilot_5g" not in asked("xingqing", school())


def test_what_browsers_got_is_shown_and_never_judges() -> None:
    """A sample of terminals is not every terminal, and a slow one may be slow by itself."""
    plan, target = target_of("beilun", "terminal_speed")
    for rate, reached in ((500 * M, 1), (20 * M, 0)):
        tests = [
            Evidence(
                EvidenceKind.TERMINAL_TEST,
                "terminal",
                before(1),
                "down",
                rate,
                judges=False,
                about="terminal",
            )
        ]
        alone = judge(target, school(), tests, NOW, CALENDAR, plan=plan)
        assert alone.answer is UNKNOWN
        with_ports = judge(target, school(), [*tests, terminal(100 * M)], NOW, CALENDAR, plan=plan)
        assert with_ports.answer is MET
        for verdict in (alone, with_ports):
            assert verdict.beside == (*tests,)
            told = next(reason for reason in verdict.reasons if reason.code == "terminals_tested")
            assert told.values == {"tests": 1, "reached": reached, "threshold": 95 * M}


def test_what_a_terminal_got_says_nothing_of_the_line() -> None:
    plan, target = target_of("shandan", "egress_urban_2017")
    test = Evidence(
        EvidenceKind.TERMINAL_TEST, "terminal", before(1), "down", 900 * M, judges=False, about="terminal"
    )
    verdict = judge(target, school(), [test], NOW, CALENDAR, plan=plan)
    assert verdict.answer is UNKNOWN
    assert test not in verdict.beside
