"""The runner: whatever a probe does, it is told and nothing else stalls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

import pytest

from agent.probe import NoData, ProbeFailed, Run
from agent.runner import Job, Outcome, Reporter, Runner, one_line, probe_point
from config.measurements import check
from config.points import Point
from tests.agent.clocks import HandClock

GOOD = Point("ping", {"target": "t"}, {"sent": 1}, 1)


class Does:
    def __init__(self, what: Callable[[Run], Iterable[Point]]) -> None:
        self._what = what

    def measure(self, run: Run) -> Iterable[Point]:
        return self._what(run)


def run(what: Callable[[Run], Iterable[Point]], clock: HandClock | None = None) -> Outcome:
    runner = Runner(clock or HandClock(), threading.Event())
    return runner.run(Job("p", Does(what), deadline_seconds=5))


def raising(error: Exception) -> Callable[[Run], Iterable[Point]]:
    def measure(_run: Run) -> Iterable[Point]:
        raise error

    return measure


def half(_run: Run) -> Iterable[Point]:
    yield GOOD
    raise KeyError("late")


@pytest.mark.parametrize(
    ("what", "points", "unknown", "error"),
    [
        (lambda _run: [GOOD], 1, None, None),
        (lambda _run: [], 0, None, None),
        (raising(NoData("needs\nCAP_NET_RAW")), 0, "needs CAP_NET_RAW", None),
        (raising(NoData()), 0, "no reason given", None),
        (raising(ProbeFailed("no answer")), 0, None, "no answer"),
        (raising(ZeroDivisionError("bug")), 0, None, "ZeroDivisionError: bug"),
        (half, 0, None, "KeyError: 'late'"),
        (
            lambda _run: [GOOD, Point("ping", {}, {"x": float("nan")}, 1)],
            1,
            None,
            "gave a point that cannot be written: nan is not a finite number",
        ),
    ],
)
def test_each_way_a_run_ends(
    what: Callable[[Run], Iterable[Point]], points: int, unknown: str | None, error: str | None
) -> None:
    outcome = run(what)
    assert (len(outcome.points), outcome.unknown, outcome.error) == (points, unknown, error)
    assert len(outcome.lines) == points
    assert outcome.success is (error is None)
    check(probe_point(outcome))


def test_duration_is_monotonic_and_a_step_of_the_wall_clock_is_not_in_it() -> None:
    clock = HandClock()

    def stepped(_run: Run) -> Iterable[Point]:
        clock.pass_seconds(2)
        clock.step_wall(-43200)
        return []

    assert run(stepped, clock).duration_seconds == 2.0


def test_a_bug_s_traceback_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner(HandClock(), threading.Event())
    job = Job("p", Does(raising(ValueError("x"))), deadline_seconds=1)
    with caplog.at_level(logging.ERROR):
        runner.run(job)
        runner.run(job)
    assert [record.exc_info is not None for record in caplog.records] == [True, False]


def test_a_run_past_its_deadline_is_told_while_it_hangs() -> None:
    clock, release, begun = HandClock(), threading.Event(), threading.Event()
    runner = Runner(clock, threading.Event())

    def hang(_run: Run) -> Iterable[Point]:
        begun.set()
        release.wait(10)
        return []

    thread = threading.Thread(target=runner.run, args=(Job("slow", Does(hang), deadline_seconds=5),))
    thread.start()
    assert begun.wait(5)
    assert runner.run(Job("other", Does(lambda _run: [GOOD]), deadline_seconds=5)).success
    assert runner.overdue() == []
    clock.pass_seconds(6)
    assert [(late.name, late.error) for late in runner.overdue()] == [
        ("slow", "has not come back 6 s after its start; its deadline is 5 s")
    ]
    release.set()
    thread.join(5)
    assert runner.overdue() == []


def test_a_watching_probe_is_told_of_once_a_minute_with_its_counts() -> None:
    clock = HandClock()
    lines: list[str] = []
    reporter = Reporter(lines.extend, clock, every_seconds=60)
    for number in range(13):
        error = "x" if number in (3, 12) else None
        reporter.report(Outcome("w", clock.wall_ns(), 1.0, error=error), continuous=True)
        clock.pass_seconds(10)
    told = [line.split(" ")[1] for line in lines]
    assert told == [
        "duration_seconds=1.0,failures=0i,runs=1i,success=true",
        "duration_seconds=1.0,failures=1i,runs=6i,success=true",
        'duration_seconds=1.0,error="x",failures=1i,runs=6i,success=false',
    ]


def test_a_timed_probe_is_told_of_each_run() -> None:
    lines: list[str] = []
    reporter = Reporter(lines.extend, HandClock(), every_seconds=60)
    for _ in range(3):
        reporter.report(Outcome("t", 1, 1.0), continuous=False)
    assert len(lines) == 3


def test_a_reason_is_one_printable_line() -> None:
    assert one_line("a\n\tb\x1b[31m") == "a b?[31m"
    assert len(one_line("x" * 1000)) == 300
