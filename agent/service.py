"""Puts the agent's rooms together: the only place that knows them all."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

from agent.catalogue import PlannedProbe
from agent.heartbeat import Heartbeat, State
from agent.link import Link
from agent.probe import NoData, Probe, ProbeFailed, Run, Site
from agent.push import Push
from agent.runner import Job, Reporter, Runner
from agent.schedule import Calendar, Permission, Schedule
from agent.settings import Hours, LoadedSettings
from agent.spool import Spool
from agent.vitals import Vitals
from config.calendar import default_calendar
from config.clock import SystemClock, boot_id
from config.points import Point, encode
from config.settings import SettingsError

log = logging.getLogger(__name__)

LAST_BEAT_SECONDS = 1.5
LAST_WINDOW_SECONDS = 2.0
STACK_BYTES = 512 * 1024
PAUSE_AFTER_BUG_SECONDS = 60.0


class Service:
    """The running agent."""

    def __init__(self, loaded: LoadedSettings) -> None:
        """Raises SettingsError for what the settings cannot be run with."""
        settings = loaded.settings
        token = loaded.token()
        self._loaded = loaded
        self._token = token
        self._clock = SystemClock()
        self._site = loaded.site(token)
        self._boot_id = boot_id(self._site.proc)
        self._stop = threading.Event()
        self._spool = opened_spool(loaded, self._clock, self._boot_id)
        self._runner = Runner(self._clock, self._stop)
        self._reporter = Reporter(
            self._spool.add, self._clock, settings.runner.report_every, self._spool.hasten
        )
        self._vitals = Vitals(self._spool, self._clock, self._site.proc, self._boot_id, self._site.stands_on)
        self._schedule = Schedule(
            settings=settings.schedule,
            runner=self._runner,
            reporter=self._reporter,
            permission=Permission(settings.schedule, hours_of(loaded), _CalendarOnce()),
            clock=self._clock,
            stop=self._stop,
        )

    def start(self) -> None:
        """Start every thread and return."""
        threading.stack_size(STACK_BYTES)
        push = Push(
            spool=self._spool,
            link=self._link(self._loaded.settings.push.timeout),
            settings=self._loaded.settings.push,
            clock=self._clock,
            boot_id=self._boot_id,
            stop=self._stop,
        )
        heartbeat = self._heartbeat(self._loaded.settings.heartbeat.timeout)
        self._begin("spool", lambda: self._spool.run(self._stop))
        self._begin("push", push.run)
        self._begin("heartbeat", heartbeat.run)
        for planned in self._loaded.probes:
            self._add(planned)
        self._schedule.add_pulse(self._pulse, "pulse", self._loaded.settings.runner.report_every)
        self._schedule.start()
        log.info("agent started probes=%s", ",".join(planned.name for planned in self._loaded.probes))

    def stop(self, state: State) -> None:
        """Stop within seconds: every point measured by now is on disk when this returns."""
        self._schedule.shutdown()
        self._stop.set()
        self._spool.wake()
        last = self._heartbeat(LAST_BEAT_SECONDS)
        farewell = threading.Thread(target=last.beat, args=(state,), daemon=True)
        farewell.start()
        self._schedule.wait_for_watchers(LAST_WINDOW_SECONDS)
        self._spool.close()
        farewell.join(LAST_BEAT_SECONDS)
        log.info("agent stopped state=%s", state)

    def _add(self, planned: PlannedProbe) -> None:
        job = job_of(planned, self._site, self._loaded.settings.runner.deadline)
        if planned.continuous:
            self._schedule.add_continuous(job)
        else:
            self._schedule.add_timed(job, planned.every_seconds)

    def _pulse(self) -> None:
        """Each ``runner.report_every``: the agent's own point, and runs that have not come back."""
        self._spool.add([encode(self._vitals.point())])
        for outcome in self._runner.overdue():
            self._reporter.report(outcome, continuous=False)

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=self._kept_up, args=(name, work), name=name, daemon=True).start()

    def _kept_up(self, name: str, work: Callable[[], None]) -> None:
        """A bug in one thread is told, and does not end it for good."""
        while not self._stop.is_set():
            try:
                work()
            except Exception:
                log.exception("thread broke name=%s", name)
                self._stop.wait(PAUSE_AFTER_BUG_SECONDS)

    def _heartbeat(self, timeout_seconds: float) -> Heartbeat:
        return Heartbeat(
            link=self._link(timeout_seconds),
            settings=self._loaded.settings.heartbeat,
            clock=self._clock,
            boot_id=self._boot_id,
            stop=self._stop,
            proc=self._site.proc,
        )

    def _link(self, timeout_seconds: float) -> Link:
        return Link(self._site.collector_url or "", self._token, timeout_seconds, self._loaded.ca_file)


def opened_spool(loaded: LoadedSettings, clock: SystemClock, boot: str) -> Spool:
    """The spool in the state directory. Raises SettingsError when that cannot be used."""
    where = f"{loaded.file}: key state_directory: {loaded.state_directory}"
    try:
        return Spool(loaded.state_directory, loaded.settings.spool, clock, boot)
    except OSError as error:
        raise SettingsError(f"{where} cannot be used: {error.strerror}") from None
    except sqlite3.Error as error:
        hint = "; another agent uses it" if "locked" in str(error) else ""
        raise SettingsError(f"{where} cannot be used: {error}{hint}") from None


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


class _CalendarOnce:
    """The calendar, read when it is first asked for."""

    def __init__(self) -> None:
        self._calendar: Calendar | None = None

    def __call__(self) -> Calendar:
        if self._calendar is None:
            self._calendar = default_calendar()
        return self._calendar
