"""The schedule: steps of the wall clock, lessons, mutes, and probes that hang."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from apscheduler.schedulers import base

from agent.probe import Run
from agent.runner import Job, Outcome, Reporter, Runner
from agent.schedule import Permission, Schedule
from agent.settings import Hours, Mute, ScheduleSettings
from config.clock import SystemClock
from config.points import Point
from config.units import Seconds

HERE = ScheduleSettings()


class SteppedClock(SystemClock):
    """The host's clocks, the wall clock off by what a test says."""

    def __init__(self) -> None:
        self.offset_ns = 0
        self.on_look: Callable[[], None] = lambda: None

    def step(self, hours: int) -> None:
        self.offset_ns += hours * 3600 * 10**9

    def wall_ns(self) -> int:
        return super().wall_ns() + self.offset_ns


class Does:
    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what

    def measure(self, run: Run) -> Iterable[Point]:
        self._what()
        return []


class Lessons:
    def __init__(self, now: bool) -> None:
        self._now = now

    def in_school_hours(self, moment: datetime) -> bool:
        return self._now


def made(clock: SystemClock, lines: list[str], settings: ScheduleSettings = HERE) -> Schedule:
    stop = threading.Event()
    return Schedule(
        settings=settings,
        runner=Runner(clock, stop),
        reporter=Reporter(lines.extend, clock, 60),
        permission=Permission(settings, {}, lambda: Lessons(now=False)),
        clock=clock,
        stop=stop,
        random_between=lambda low, high: low,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    """A clock that apscheduler follows too."""
    stepped = SteppedClock()

    class SteppedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            stepped.on_look()
            return datetime.fromtimestamp(stepped.wall_ns() / 1e9, tz)

    monkeypatch.setattr(base, "datetime", SteppedDatetime)
    return stepped


@contextmanager
def noted_runs(clock: SteppedClock) -> Iterator[list[int]]:
    """The times of a job's runs, one each 0.3 s."""
    runs: list[int] = []
    schedule = made(clock, [])
    job = Job("p", Does(lambda: runs.append(clock.monotonic_ns())), deadline_seconds=5)
    schedule.add_timed(job, every_seconds=0.3)
    schedule.start()
    yield runs
    schedule.shutdown()


@pytest.mark.fault(8)
@pytest.mark.parametrize("hours", [-12, 12])
def test_jobs_keep_their_distance_when_the_wall_clock_steps(hours: int, clock: SteppedClock) -> None:
    with noted_runs(clock) as runs:
        wait_until(lambda: len(runs) >= 2)
        clock.step(hours)
        stepped_at = len(runs)
        wait_until(lambda: len(runs) >= stepped_at + 4)
    after = runs[stepped_at:]
    assert all(later - earlier > 0.1e9 for earlier, later in itertools.pairwise(after))


@pytest.mark.fault(8)
@pytest.mark.parametrize("hours", [-12, 12])
def test_a_step_while_the_schedule_looks_at_its_jobs_stalls_nothing(hours: int, clock: SteppedClock) -> None:
    """It comes between the look for a step and the look for jobs."""
    with noted_runs(clock) as runs:

        def step_once() -> None:
            if len(runs) == 2 and not clock.offset_ns:
                clock.step(hours)

        clock.on_look = step_once
        wait_until(lambda: clock.offset_ns != 0 and len(runs) >= 5)


def test_a_probe_that_hangs_stalls_nobody_and_is_not_started_twice() -> None:
    release, hung, others = threading.Event(), [], []
    schedule = made(SystemClock(), [])

    def hang() -> None:
        hung.append(1)
        release.wait(20)

    schedule.add_timed(Job("slow", Does(hang), deadline_seconds=5), every_seconds=0.1)
    schedule.add_timed(Job("quick", Does(lambda: others.append(1)), deadline_seconds=5), every_seconds=0.1)
    schedule.start()
    wait_until(lambda: len(others) >= 5)
    schedule.shutdown()
    assert len(hung) == 1
    release.set()


def test_the_first_run_comes_at_random_within_the_pause() -> None:
    asked: list[tuple[float, float]] = []

    def between(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    clock = SystemClock()
    schedule = made(clock, [], ScheduleSettings(start_pause=Seconds(60)))
    schedule._random_between = between
    schedule.add_timed(Job("p", Does(lambda: None), deadline_seconds=5), every_seconds=3600)
    schedule.add_timed(Job("q", Does(lambda: None), deadline_seconds=5), every_seconds=10)
    assert asked == [(0.0, 60), (0.0, 10)]


NOON = datetime(2027, 6, 7, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
EXAM = Mute(start=datetime(2027, 6, 7, 7), end=datetime(2027, 6, 9, 19), why="高考")  # noqa: DTZ001


@pytest.mark.parametrize(
    ("mute", "continuous", "after", "expected"),
    [
        (EXAM, False, timedelta(), "muted until 2027-06-09T19:00+08:00: 高考"),
        (EXAM, True, timedelta(), None),
        (EXAM, False, timedelta(days=3), None),
        (EXAM, False, timedelta(hours=-6), None),
        (
            Mute(start=EXAM.start, end=EXAM.end, probes=("p",)),
            True,
            timedelta(),
            "muted until 2027-06-09T19:00+08:00",
        ),
        (Mute(start=EXAM.start, end=EXAM.end, probes=("q",)), False, timedelta(), None),
    ],
)
def test_a_mute_silences_timed_probes_or_those_it_names(
    mute: Mute, continuous: bool, after: timedelta, expected: str | None
) -> None:
    permission = Permission(ScheduleSettings(mute=(mute,)), {}, lambda: Lessons(now=False))
    wall_ns = round((NOON + after).timestamp()) * 10**9
    assert permission.refusal("p", continuous=continuous, wall_ns=wall_ns) == expected


@pytest.mark.parametrize(
    ("hours", "lessons", "expected"),
    [
        ("always", True, None),
        ("school", True, None),
        ("school", False, "waits for lessons"),
        ("outside_school", True, "waits for the end of lessons"),
        ("outside_school", False, None),
    ],
)
def test_lessons(hours: Hours, lessons: bool, expected: str | None) -> None:
    permission = Permission(HERE, {"p": hours}, lambda: Lessons(now=lessons))
    assert permission.refusal("p", continuous=False, wall_ns=0) == expected


def test_a_muted_run_is_told_as_unknown_with_its_reason() -> None:
    clock, lines = SystemClock(), list[str]()
    now = datetime.now(UTC)
    mute = Mute(start=now - timedelta(hours=1), end=now + timedelta(hours=1), why="exam")
    schedule = made(clock, lines, ScheduleSettings(mute=(mute,)))
    outcome: Outcome = schedule._run_once(Job("p", Does(lambda: None), deadline_seconds=5))
    assert outcome.unknown is not None
    assert "success=true" in lines[0]
    assert 'unknown="muted until' in lines[0]


def test_a_job_due_again_before_its_thread_began_is_not_started_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A busy host may start the thread of a run long after the run was launched."""
    release, runs = threading.Event(), []
    schedule = made(SystemClock(), [])
    run_once = schedule._run_once
    monkeypatch.setattr(schedule, "_run_once", lambda job: release.wait(20) and run_once(job))
    job = Job("p", Does(lambda: runs.append(1)), deadline_seconds=5)
    for _ in range(3):
        schedule._launch(job)
    release.set()
    schedule._launched["p"].join(5)
    assert len(runs) == 1
    schedule._launch(job)
    schedule._launched["p"].join(5)
    assert len(runs) == 2
