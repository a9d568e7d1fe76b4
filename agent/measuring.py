"""The probes of one set of settings, from start to stop: what a new configuration replaces whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from agent.catalogue import PlannedProbe
from agent.probe import NoData, Probe, ProbeFailed, Run, Site
from agent.runner import Job, Outcome, Reporter, Runner
from agent.schedule import Calendar, Permission, Schedule
from agent.settings import Hours, LoadedSettings
from config.calendar import default_calendar
from config.clock import Clock
from config.points import Point


class Measuring:
    """Probes that run by one set of settings."""

    def __init__(
        self,
        loaded: LoadedSettings,
        site: Site,
        *,
        clock: Clock,
        reporter: Reporter,
        pulse: Callable[[], None],
    ) -> None:
        """Build every probe; nothing runs yet. Raises SettingsError for what cannot be built."""
        settings = loaded.settings
        self.loaded = loaded
        self._stop = threading.Event()
        self._runner = Runner(clock, self._stop)
        self._pulse = pulse
        self._schedule = Schedule(
            settings=settings.schedule,
            runner=self._runner,
            reporter=reporter,
            permission=Permission(settings.schedule, hours_of(loaded), CalendarOnce()),
            clock=clock,
            stop=self._stop,
        )
        self._jobs = [(each, job_of(each, site, settings.runner.deadline)) for each in loaded.probes]

    def start(self) -> None:
        """Start every probe and return."""
        for planned, job in self._jobs:
            if planned.continuous:
                self._schedule.add_continuous(job)
            else:
                self._schedule.add_timed(job, planned.every_seconds)
        self._schedule.add_pulse(self._pulse, "pulse", self.loaded.settings.runner.report_every)
        self._schedule.start()

    def stop(self) -> None:
        """Start nothing more, and tell what runs to come to an end."""
        self._schedule.shutdown()
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Let watching probes hand in the window that a stop cut short."""
        self._schedule.wait_for_watchers(seconds)

    def overdue(self) -> list[Outcome]:
        """A failure for each run that is past its deadline and has not come back."""
        return self._runner.overdue()

    @property
    def broken(self) -> Mapping[str, str]:
        """The probes that broke by a bug since the start, and how."""
        return dict(self._runner.broken)


def job_of(planned: PlannedProbe, site: Site, deadline_seconds: float) -> Job:
    """A planned probe, ready to run. One that cannot be built tells so at each run."""
    probe: Probe
    try:
        probe = planned.build(site)
    except (NoData, ProbeFailed) as reason:
        probe = _Unbuilt(reason)
    window = planned.window_seconds if planned.continuous else 0.0
    return Job(
        name=planned.name,
        probe=probe,
        deadline_seconds=window + deadline_seconds,
        window_seconds=planned.window_seconds,
        continuous=planned.continuous,
    )


def hours_of(loaded: LoadedSettings) -> dict[str, Hours]:
    """The hours of each probe: the schedule's, else those that the probe asks for itself (``HOURS``)."""
    asked: dict[str, Hours] = {
        planned.name: getattr(planned.module, "HOURS", "always") for planned in loaded.probes
    }
    return {**asked, **loaded.settings.schedule.hours}


class _Unbuilt:
    """Stands for a probe that said at once why it cannot measure here."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def measure(self, run: Run) -> list[Point]:  # noqa: ARG002
        raise self._reason


class CalendarOnce:
    """The calendar, read when it is first asked for."""

    def __init__(self) -> None:
        self._calendar: Calendar | None = None

    def __call__(self) -> Calendar:
        if self._calendar is None:
            self._calendar = default_calendar()
        return self._calendar
