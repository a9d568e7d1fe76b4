"""When each probe runs: APScheduler for the timed ones, a thread for each watching one.

APScheduler keeps its times on the wall clock: after a step back of 12 h nothing would run for 12 h. So the
scheduler here moves the times of its jobs by every step it sees, before it looks which of them are due; it
sleeps on the monotonic clock, so a job comes when it would have come without the step.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from agent.runner import Job, Outcome, Reporter, Runner
from agent.settings import Hours, Mute, ScheduleSettings, aware
from config.clock import Clock

log = logging.getLogger(__name__)

STEP_SECONDS = 0.1
PAUSE_AFTER_NOTHING_SECONDS = 60.0


class Calendar(Protocol):
    """The part of ``config.calendar.SchoolCalendar`` that the schedule asks."""

    def in_school_hours(self, moment: datetime) -> bool:
        """True during lessons."""
        ...


class SteadyScheduler(BackgroundScheduler):  # type: ignore[misc]
    """A BackgroundScheduler whose jobs keep their distance when the wall clock steps."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(
            timezone=ZoneInfo("UTC"),
            executors={"default": DebugExecutor()},  # jobs only start a thread: no pool is needed
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._clock = clock
        self._offset_ns = self._wall_minus_monotonic_ns()

    def _process_jobs(self) -> float | None:
        self._follow_step()
        wait_seconds: float | None = super()._process_jobs()
        while self._follow_step():  # it came while they were looked at
            wait_seconds = super()._process_jobs()
        return wait_seconds

    def _follow_step(self) -> bool:
        """Move the jobs by a step of the wall clock since the last time; False when there was none."""
        offset_ns = self._wall_minus_monotonic_ns()
        step_seconds = (offset_ns - self._offset_ns) / 1e9
        if abs(step_seconds) <= STEP_SECONDS:
            return False
        self._offset_ns = offset_ns
        log.warning("wall clock stepped seconds=%.3f", step_seconds)
        now = datetime.fromtimestamp(self._clock.wall_ns() / 1e9, ZoneInfo("UTC"))
        for job in self.get_jobs():
            moved = job.next_run_time + timedelta(seconds=step_seconds)
            latest = now + job.trigger.interval  # one that was looked at after the step has moved already
            job.modify(next_run_time=min(moved, latest))
        return True

    def _wall_minus_monotonic_ns(self) -> int:
        return self._clock.wall_ns() - self._clock.monotonic_ns()


class Permission:
    """Says whether a probe may run now, and if not, why."""

    def __init__(
        self,
        settings: ScheduleSettings,
        hours: Mapping[str, Hours],
        calendar: Callable[[], Calendar],
    ) -> None:
        self._zone = ZoneInfo(settings.timezone)
        self._mutes = settings.mute
        self._hours = hours
        self._calendar = calendar

    def refusal(self, name: str, *, continuous: bool, wall_ns: int) -> str | None:
        """Why the probe may not run at that time; None when it may."""
        now = datetime.fromtimestamp(wall_ns / 1e9, self._zone)
        for mute in self._mutes:
            if self._covers(mute, name, continuous) and self._within(mute, now):
                until = aware(mute.end, self._zone).isoformat(timespec="minutes")
                return f"muted until {until}" + (f": {mute.why}" if mute.why else "")
        return self._out_of_hours(self._hours.get(name, "always"), now)

    def _out_of_hours(self, hours: Hours, now: datetime) -> str | None:
        if hours == "always":
            return None
        lessons = self._calendar().in_school_hours(now)
        if lessons and hours == "outside_school":
            return "waits for the end of lessons"
        return "waits for lessons" if not lessons and hours == "school" else None

    def _within(self, mute: Mute, now: datetime) -> bool:
        return aware(mute.start, self._zone) <= now < aware(mute.end, self._zone)

    @staticmethod
    def _covers(mute: Mute, name: str, continuous: bool) -> bool:
        return name in mute.probes if mute.probes else not continuous


class Schedule:
    """Starts runs when they are due. A run has a thread of its own, so none can hold up another."""

    def __init__(
        self,
        *,
        settings: ScheduleSettings,
        runner: Runner,
        reporter: Reporter,
        permission: Permission,
        clock: Clock,
        stop: threading.Event,
        random_between: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._reporter = reporter
        self._permission = permission
        self._clock = clock
        self._stop = stop
        self._random_between = random_between
        self._scheduler = SteadyScheduler(clock)
        self._launched: dict[str, threading.Thread] = {}
        self._watchers: list[threading.Thread] = []

    def add_timed(self, job: Job, every_seconds: float) -> None:
        """Run the job each ``every_seconds``, first after a random part of the pause after a start."""
        first = self._random_between(0.0, min(every_seconds, self._settings.start_pause))
        self._add(lambda: self._launch(job), job.name, every_seconds, first)

    def add_continuous(self, job: Job) -> None:
        """Run the job window after window in a thread of its own, from now on."""
        thread = threading.Thread(target=self._watch, args=(job,), name=f"probe-{job.name}", daemon=True)
        self._watchers.append(thread)
        thread.start()

    def add_pulse(self, action: Callable[[], None], name: str, every_seconds: float) -> None:
        """Call a short action each ``every_seconds``, first at once; it must not wait for anything."""
        self._add(action, name, every_seconds, 0.0)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def shutdown(self) -> None:
        """Start nothing more. Does not wait for runs under way: their threads end with the process."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def wait_for_watchers(self, seconds: float) -> None:
        """Let watching probes hand in the window that a stop cut short, at most so long in all."""
        deadline_ns = self._clock.monotonic_ns() + round(seconds * 1e9)
        for thread in self._watchers:
            thread.join(max(0.0, (deadline_ns - self._clock.monotonic_ns()) / 1e9))

    def _add(self, action: Callable[[], None], name: str, every_seconds: float, first_seconds: float) -> None:
        now = datetime.fromtimestamp(self._clock.wall_ns() / 1e9, ZoneInfo("UTC"))
        jitter = self._settings.jitter or None
        self._scheduler.add_job(
            action,
            IntervalTrigger(seconds=every_seconds, jitter=jitter, timezone=ZoneInfo("UTC")),
            id=name,
            next_run_time=now + timedelta(seconds=first_seconds),
        )

    def _launch(self, job: Job) -> None:
        last = self._launched.get(job.name)
        if last is not None and last.is_alive():
            log.warning("run skipped, the last one has not come back probe=%s", job.name)
            return
        run = threading.Thread(target=self._run_once, args=(job,), name=f"probe-{job.name}", daemon=True)
        self._launched[job.name] = run
        run.start()

    def _run_once(self, job: Job) -> Outcome:
        refusal = self._permission.refusal(job.name, continuous=job.continuous, wall_ns=self._clock.wall_ns())
        if refusal is None:
            outcome = self._runner.run(job)
        else:
            outcome = Outcome(job.name, self._clock.wall_ns(), 0.0, unknown=refusal)
        self._reporter.report(outcome, continuous=job.continuous)
        return outcome

    def _watch(self, job: Job) -> None:
        while not self._stop.is_set():
            outcome = self._run_once(job)
            if not outcome.points or outcome.duration_seconds < job.window_seconds / 10:
                self._stop.wait(min(job.window_seconds, PAUSE_AFTER_NOTHING_SECONDS))
