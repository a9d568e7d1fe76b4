"""The verdicts room on a real registry, with a rule of its own in the judge's place."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from collector.registry import Registry
from collector.registry.tables import EvidenceRow
from collector.verdicts.records import Place, encode_verdict
from collector.verdicts.room import Judged, VerdictRoom
from config.calendar import SchoolCalendar
from config.evidence import Evidence, EvidenceKind
from config.histogram import count, encode
from config.judge import Answer, Reason, Verdict
from config.plan import Group, Plan, Target, TargetKind
from config.points import FieldValue, Point
from config.school import Line, School
from config.units import BitsPerSecond

CALENDAR = SchoolCalendar()
NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)
NEEDED = BitsPerSecond(60_000_000)
PLAN = Plan(
    id="sample",
    title="t",
    county="c",
    issuer="i",
    starts=date(2017, 1, 1),
    ends=date(2018, 12, 31),
    groups={"all": Group()},
    targets=(
        Target(
            id="egress",
            kind=TargetKind.EGRESS_PER_CLASS,
            who="all",
            deadline=date(2018, 12, 31),
            quotes=("words",),
            rate=NEEDED,
        ),
    ),
)


def met_by_a_peak(
    plan: Plan, school: School, evidence: Sequence[Evidence], now: datetime
) -> Iterable[Verdict]:
    """Met while a peak of the last 20 days reaches what is needed."""
    young = [e for e in evidence if now - e.at < timedelta(days=20)]
    reached = any((e.lower_bits_per_second or 0) >= NEEDED for e in young)
    for target in plan.targets:
        yield Verdict(
            plan=plan.id,
            school=school.id,
            target=target.id,
            kind=target.kind.value,
            answer=Answer.MET if reached else Answer.UNKNOWN,
            needed=NEEDED,
            evidence=tuple(young),
            beside=(),
            reasons=(),
            settles=None,
            quote=target.quote,
            deadline=target.deadline,
            due="overdue",
            at=now,
        )


class Clocks:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.wall = NOON
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, **span: float) -> None:
        self.wall += timedelta(**span)
        self.seconds += timedelta(**span).total_seconds()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    opened = Registry.open(url, refresh_seconds=0)
    opened.put_school(School(id="s1", lines=(Line(id="wan"),)))
    yield opened
    opened.close()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def room_on(registry: Registry, clocks: Clocks) -> VerdictRoom:
    return VerdictRoom(
        registry, {"sample": PLAN}, met_by_a_peak, CALENDAR, now=clocks.now, monotonic=clocks.monotonic
    )


def peak_point(at: datetime, bits_per_second: int = 80_000_000) -> Point:
    fields = {"rx_peak_bits_per_second": bits_per_second, "peak_seconds": 10.0, "refresh_seconds": 1.0}
    tags = {"interface": "eth0", "role": "line", "line": "wan"}
    return Point("interface", tags, fields, round(at.timestamp()) * 10**9)


PLACE = Place("s1", "sample", "egress")


def test_a_school_is_judged_once_and_again_when_evidence_comes(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    assert room.tick() == 1
    assert room.tick() == 0
    clocks.pass_by(minutes=1)
    room.on_points("s1", [peak_point(clocks.wall)])
    assert room.tick() == 1
    changes = room.records.transitions(*PLACE)
    assert [(t.was, t.answer, t.at) for t in changes] == [
        (None, Answer.UNKNOWN, NOON),
        (Answer.UNKNOWN, Answer.MET, NOON + timedelta(minutes=1)),
    ]
    assert changes[1].verdict.evidence[0].lower_bits_per_second == 80_000_000


def test_since_when_and_how_it_stood_on_a_day(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.tick()
    clocks.pass_by(days=1)
    room.on_points("s1", [peak_point(clocks.wall)])
    room.tick()
    met_since = clocks.wall
    clocks.pass_by(days=3)
    [judged] = room.of_school("s1")
    assert (judged.verdict.answer, judged.since, judged.verdict.at) == (Answer.MET, met_since, clocks.wall)
    for moment, answers in [
        (NOON - timedelta(seconds=1), []),
        (NOON, [Answer.UNKNOWN]),
        (met_since - timedelta(seconds=1), [Answer.UNKNOWN]),
        (met_since, [Answer.MET]),
        (clocks.wall, [Answer.MET]),
    ]:
        assert [j.verdict.answer for j in room.stood_at("sample", moment)] == answers
    assert room.stood_at("sample", clocks.wall, "s2") == []
    assert room.stood_at("other", clocks.wall) == []


def test_age_alone_ends_what_was_met(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall)])
    assert room.tick() == 1
    clocks.pass_by(days=21)
    assert room.tick() == 1
    [judged] = room.of_school("s1")
    assert (judged.verdict.answer, judged.since) == (Answer.UNKNOWN, clocks.wall)


def test_the_wall_clock_going_back_does_not_stop_the_judging(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall - timedelta(days=19, hours=23))])
    assert room.tick() == 1
    clocks.wall += timedelta(hours=12)
    assert room.tick() == 0
    clocks.seconds += 301
    assert room.tick() == 1


def test_evidence_and_standings_outlive_the_process(registry: Registry, clocks: Clocks) -> None:
    first = room_on(registry, clocks)
    first.on_points("s1", [peak_point(clocks.wall)])
    first.tick()
    since = clocks.wall
    clocks.pass_by(hours=5)
    again = room_on(registry, clocks)
    assert again.tick() == 0
    [judged] = again.of_school("s1")
    assert (judged.verdict.answer, judged.since) == (Answer.MET, since)


def test_late_points_count_with_their_own_time(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall - timedelta(days=30))])
    room.tick()
    [judged] = room.of_school("s1")
    assert judged.verdict.answer is Answer.UNKNOWN


def test_two_collectors_make_each_transition_once(registry: Registry, url: str, clocks: Clocks) -> None:
    other_registry = Registry.open(url, refresh_seconds=0)
    here, there = room_on(registry, clocks), room_on(other_registry, clocks)
    assert there.of_school("s1")  # it knows how nothing stood, as the first one did
    assert (here.tick(), there.tick()) == (1, 1)
    clocks.pass_by(seconds=10)
    here.on_points("s1", [peak_point(clocks.wall)])
    here.tick()
    there.tick()
    for room in (here, there):
        assert [t.answer for t in room.records.transitions(*PLACE)] == [Answer.UNKNOWN, Answer.MET]
        assert room.of_school("s1")[0].verdict.answer is Answer.MET
    other_registry.close()


def test_two_collectors_keep_the_greater_peak(registry: Registry, url: str, clocks: Clocks) -> None:
    other_registry = Registry.open(url, refresh_seconds=0)
    here, there = room_on(registry, clocks), room_on(other_registry, clocks)
    here.tick()
    there.tick()
    for room, rate in ((here, 90_000_000), (there, 70_000_000)):
        room.on_points("s1", [peak_point(clocks.wall, rate)])
        room.settle()
    kept = room_on(registry, clocks).of_school("s1")[0].verdict.evidence
    assert [e.lower_bits_per_second for e in kept] == [90_000_000]
    other_registry.close()


def test_a_changed_declaration_is_judged_at_once(registry: Registry, clocks: Clocks) -> None:
    judged: list[str] = []

    def judge(plan: Plan, school: School, evidence: Sequence[Evidence], now: datetime) -> Iterable[Verdict]:
        judged.append(school.name)
        return met_by_a_peak(plan, school, evidence, now)

    room = VerdictRoom(
        registry, {"sample": PLAN}, judge, CALENDAR, now=clocks.now, monotonic=clocks.monotonic
    )
    room.tick()
    registry.put_school(School(id="s1", name="renamed", lines=(Line(id="wan"),)))
    room.tick()
    room.tick()
    assert judged == ["", "renamed"]


def test_who_looks_often_gets_what_was_judged_until_something_bears_on_it(
    registry: Registry, clocks: Clocks
) -> None:
    room = room_on(registry, clocks)
    assert [each.verdict.at for each in room.lately("s1")] == [clocks.wall]  # nothing was judged yet
    room.tick()
    judged = room.lately("s1")
    clocks.pass_by(seconds=299)
    assert room.lately("s1") is judged
    clocks.pass_by(seconds=1)
    [again] = room.lately("s1")
    assert again == Judged(msgspec.structs.replace(judged[0].verdict, at=clocks.wall), NOON)
    room.tick()
    room.on_points("s1", [peak_point(clocks.wall)])
    assert room.lately("s1")[0].verdict.answer is Answer.MET
    room.tick()
    assert room.lately("s1")[0].verdict.answer is Answer.MET
    registry.put_school(School(id="s1", name="renamed", lines=(Line(id="wan"),)))
    clocks.pass_by(seconds=10)
    assert room.lately("s1")[0].verdict.at == clocks.wall
    assert room.lately("nobody") == ()


def test_points_of_nobody_and_points_that_prove_nothing_are_left(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.on_points("nobody", [peak_point(clocks.wall)])
    room.on_points("s1", [Point("ping", {"target": "x"}, {"sent": 1, "lost": 0}, 1)])
    assert room.records.evidence() == {}
    assert room.of_school("nobody") == []
    assert room.of_school("s1", "no-such-plan") == []


def test_what_could_not_be_written_is_kept_and_written_the_next_time(
    registry: Registry, clocks: Clocks
) -> None:
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall)])
    with registry.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE evidence RENAME TO gone")
    with pytest.raises(Exception, match=r"no such table|does not exist"):
        room.settle()
    room.on_points("s1", [peak_point(clocks.wall + timedelta(minutes=1))])
    with registry.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO evidence")
    room.settle()
    assert [len(kept) for kept in room.records.evidence().values()] == [1]


def test_old_evidence_is_deleted(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall)])
    room.settle()
    clocks.pass_by(days=181)
    room.tick()
    assert room.records.evidence() == {}
    assert room.of_school("s1")[0].verdict.evidence == ()


def test_a_step_too_small_to_write_changes_the_answer_at_the_next_tick(
    registry: Registry, clocks: Clocks
) -> None:
    """0.3 % more is not written down, but when it crosses what is needed it is, with the transition."""
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall, 59_900_000)])
    assert room.tick() == 1
    clocks.pass_by(seconds=10)
    room.on_points("s1", [peak_point(clocks.wall, 60_100_000)])
    assert room.tick() == 1
    changes = room.records.transitions(*PLACE)
    assert [(t.answer, t.at) for t in changes] == [(Answer.UNKNOWN, NOON), (Answer.MET, clocks.wall)]
    assert room_on(registry, clocks).tick() == 0  # another process finds the same


def test_evidence_that_came_late_is_deleted_by_the_time_it_was_measured(
    registry: Registry, clocks: Clocks
) -> None:
    room = room_on(registry, clocks)
    clocks.pass_by(days=10)
    room.on_points("s1", [peak_point(clocks.wall, 70_000_000)])
    room.on_points("s1", [peak_point(NOON, 90_000_000)])
    room.settle()
    clocks.pass_by(days=175)
    room.tick()
    kept = [each.lower_bits_per_second for found in room.records.evidence().values() for each in found]
    assert kept == [70_000_000]


def test_a_verdict_is_kept_as_it_was(registry: Registry, clocks: Clocks) -> None:
    room = room_on(registry, clocks)
    room.on_points("s1", [peak_point(clocks.wall)])
    room.tick()
    [kept] = room.records.transitions(*PLACE)
    [expected] = met_by_a_peak(PLAN, School(id="s1"), kept.verdict.evidence, clocks.wall)
    assert encode_verdict(kept.verdict) == encode_verdict(expected)


def test_a_plateau_is_evidence_and_found_again_when_its_points_come_again(
    registry: Registry, clocks: Clocks
) -> None:
    """The windows of a line and its pings come in batches of their own, as agents send them."""
    room = room_on(registry, clocks)
    calm = [each for minute in range(10) for each in windows(minute, 20_000_000 + minute * 2_000_000, 0.010)]
    flat = [each for minute in range(10, 15) for each in windows(minute, 90_000_000, 0.090)]
    with registry.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE evidence RENAME TO gone")
    with pytest.raises(Exception, match=r"no such table|does not exist"):
        room.on_points("s1", calm + flat)
    with registry.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO evidence")
    for point in calm:
        room.on_points("s1", [point])
    room.on_points("s1", flat)
    room.settle()
    kinds = [each.kind for found in room.records.evidence().values() for each in found]
    assert EvidenceKind.PLATEAU in kinds


def test_the_first_verdicts_of_a_county_are_one_line_of_the_log(
    registry: Registry, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    registry.put_schools(School(id=f"t{number}", lines=(Line(id="wan"),)) for number in range(120))
    room = room_on(registry, clocks)
    with caplog.at_level("INFO", "collector.verdicts.room"):
        assert room.tick() == 121
        room.on_points("t7", [peak_point(clocks.wall)])
        assert room.tick() == 1
    assert [record.getMessage() for record in caplog.records] == [
        "first verdicts schools=121 met=0 not_met=0 unknown=121",
        "verdict changed school=t7 plan=sample target=egress was=unknown is=met",
    ]


def test_a_school_that_the_judge_fails_at_is_unknown_and_costs_no_other(
    registry: Registry, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    broken: set[str] = set()

    def judge(plan: Plan, school: School, evidence: Sequence[Evidence], now: datetime) -> Iterable[Verdict]:
        if school.id in broken and evidence:
            raise ValueError("odd\ndata")
        return met_by_a_peak(plan, school, evidence, now)

    registry.put_school(School(id="s2", lines=(Line(id="wan"),)))
    room = VerdictRoom(
        registry, {"sample": PLAN}, judge, CALENDAR, now=clocks.now, monotonic=clocks.monotonic
    )
    room.on_points("s1", [peak_point(clocks.wall)])
    assert room.tick() == 2
    broken.add("s1")
    caplog.set_level(logging.INFO, "collector.failures")
    for _ in range(3):
        clocks.pass_by(minutes=10)
        room.on_points("s2", [peak_point(clocks.wall)])
        room.tick()
        assert room.failures.schools() == {"s1"}
    assert room.failures.total == 3
    [judged] = room.of_school("s1")
    assert (judged.verdict.answer, judged.verdict.reasons) == (Answer.UNKNOWN, (Reason("judge_failed"),))
    assert judged.since == NOON + timedelta(minutes=10), "its «met» ended when it was judged no more"
    assert room.records.standings()[Place("s2", "sample", "egress")].answer is Answer.MET
    broken.clear()
    assert [each.verdict.answer for each in room.of_school("s1")] == [Answer.MET]
    assert not room.failures.schools()
    [began, ended] = caplog.messages
    assert re.fullmatch(
        r"judge failed school=s1 plan=sample at=ValueError in test_room.py:\d+ reason=odd data", began
    )
    assert ended == "judge fails no longer school=s1 plan=sample"
    assert not any(each.exc_info for each in caplog.records)


def test_evidence_that_cannot_be_read_is_left_out_and_costs_nobody_else(
    registry: Registry, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    registry.put_school(School(id="s2", lines=(Line(id="wan"),)))
    newer = room_on(registry, clocks)
    for each in ("s1", "s2"):
        newer.on_points(each, [peak_point(clocks.wall)])
    newer.settle()
    of_tomorrow = sa.update(EvidenceRow).where(EvidenceRow.school_id == "s1").values(evidence='{"kind": "?"}')
    with registry.writing() as connection:
        connection.execute(of_tomorrow)
    older = room_on(registry, clocks)
    for _ in range(2):
        older.tick()
    answers = {place.school_id: each.answer for place, each in older.records.standings().items()}
    assert answers == {"s1": Answer.UNKNOWN, "s2": Answer.MET}
    [told] = [each for each in caplog.messages if "evidence" in each]
    assert told.startswith("evidence left out school=s1 reason=Invalid enum value '?'")


def windows(minute: int, bits_per_second: float, rtt: float) -> list[Point]:
    end_ns = int(NOON.timestamp() + 60 * minute) * 10**9
    line: dict[str, FieldValue] = {
        "window_seconds": 60.0, "samples": 60, "rx_bits_per_second_sum": 60.0 * bits_per_second,
        "rx_histogram": encode(count([bits_per_second] * 60)),
    }  # fmt: skip
    ping = {"sent": 60, "lost": 0, "rtt_median_seconds": rtt}
    return [
        Point("interface", {"interface": "eth0", "role": "line", "line": "wan"}, line, end_ns),
        Point("ping", {"target": "centre", "family": "ipv4"}, ping, end_ns),
    ]
