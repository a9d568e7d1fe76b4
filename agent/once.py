"""Measures once, for a person who waits: every probe watches or runs a single time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from agent.catalogue import PlannedProbe
from agent.measuring import job_of
from agent.probe import Site
from agent.runner import Job, Outcome, Runner
from config.clock import Clock

Told = Callable[[Outcome], None]


def measure_once(
    probes: Sequence[PlannedProbe],
    site: Site,
    clock: Clock,
    *,
    window_seconds: float,
    deadline_seconds: float,
    told: Told = lambda _outcome: None,
) -> list[Outcome]:
    """Run each probe once and give what each gave, in the order of ``probes``; ``told`` hears of each.

    All run side by side but those that load the line (``LOADS_LINE``), which follow one by one: what is
    measured beside a capacity test is the test.
    """
    stop = threading.Event()
    runner = Runner(clock, stop)
    found: dict[str, Outcome] = {}

    def group(members: Sequence[PlannedProbe]) -> None:
        jobs = [_once(planned, site, window_seconds, deadline_seconds) for planned in members]
        for outcome in _side_by_side(jobs, runner, clock):
            found[outcome.name] = outcome
            told(outcome)

    group([planned for planned in probes if not loads_line(planned)])
    for planned in probes:
        if loads_line(planned):
            group([planned])
    stop.set()
    return [found[planned.name] for planned in probes]


def loads_line(planned: PlannedProbe) -> bool:
    """The probe says that it loads the line it measures."""
    return bool(getattr(planned.module, "LOADS_LINE", False))


def _once(planned: PlannedProbe, site: Site, window_seconds: float, deadline_seconds: float) -> Job:
    job = job_of(planned, site, deadline_seconds)
    if not planned.continuous:
        return job
    return Job(
        name=job.name,
        probe=job.probe,
        deadline_seconds=window_seconds + deadline_seconds,
        window_seconds=window_seconds,
        continuous=True,
    )


def _side_by_side(jobs: Sequence[Job], runner: Runner, clock: Clock) -> list[Outcome]:
    """Run jobs in threads of their own; one that is not back at its deadline is told as failed."""
    found: dict[str, Outcome] = {}
    started_ns = clock.monotonic_ns()
    threads = [
        (job, threading.Thread(target=lambda job=job: found.update({job.name: runner.run(job)}), daemon=True))
        for job in jobs
    ]
    for _, thread in threads:
        thread.start()
    for job, thread in threads:
        spent = (clock.monotonic_ns() - started_ns) / 1e9
        thread.join(max(0.0, job.deadline_seconds + 1.0 - spent))
    return [found.get(job.name) or _not_back(job, clock) for job in jobs]


def _not_back(job: Job, clock: Clock) -> Outcome:
    return Outcome(
        name=job.name,
        wall_ns=clock.wall_ns(),
        duration_seconds=job.deadline_seconds,
        error=f"did not come back within its deadline of {job.deadline_seconds:g} s",
    )
