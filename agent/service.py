"""Puts the agent's rooms together: the only place that knows them all."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

import agent
from agent.central_state import CentralState
from agent.county import County
from agent.heartbeat import Heartbeat, State, Told
from agent.launcher import version_here
from agent.link import Link
from agent.measuring import CalendarOnce, Measuring
from agent.metrics import Metrics
from agent.probe import Site
from agent.push import Push
from agent.rotation import Rotation
from agent.runner import Reporter
from agent.schedule import Permission
from agent.settings import LoadedSettings, Secret
from agent.spool import Spool
from agent.upgrade import Upgrades
from agent.versions import Versions
from agent.vitals import Vitals
from config.clock import SystemClock, boot_id
from config.points import encode
from config.settings import SettingsError
from config.watchdog import Promises

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
        self._local = loaded
        self._credential = loaded.credential()
        self._clock = SystemClock()
        self._boot_id = boot_id(self._site_of(loaded).proc)
        self._stop = threading.Event()
        self.promises = Promises()
        """When the threads that must not hang will be back."""
        self._spool = opened_spool(loaded, self._clock, self._boot_id)
        self._reporter = Reporter(
            self._spool.add, self._clock, settings.runner.report_every, self._spool.hasten
        )
        site = self._site_of(loaded)
        self._vitals = Vitals(self._spool, self._clock, site.proc, self._boot_id, site.stands_on)
        self._county = County(
            local=loaded,
            state=CentralState(loaded.state_directory),
            boot_id=self._boot_id,
            link=self._link(settings.push.timeout),
            rotation=Rotation(self._credential, self._link_with),
            clock=self._clock,
            stop=self._stop,
            apply=self._swap,
            broken=lambda: self._measuring.broken,
        )
        self._calendar = CalendarOnce()
        self._upgrades = Upgrades(
            settings=settings.upgrade,
            versions=Versions(loaded.state_directory, settings.upgrade.keys),
            version=version_here(loaded.state_directory),
            packaged=agent.__version__,
            link=self._link(settings.push.timeout),
            clock=self._clock,
            stop=self._stop,
            refusal=self._no_time_to_upgrade,
        )
        self._swapping = threading.Lock()
        self._measuring = self._measuring_by(self._county.first())

    def start(self) -> None:
        """Start every thread and return."""
        threading.stack_size(STACK_BYTES)
        settings = self._local.settings
        push = Push(
            spool=self._spool,
            link=self._link(settings.push.timeout),
            settings=settings.push,
            clock=self._clock,
            boot_id=self._boot_id,
            stop=self._stop,
            promise=lambda seconds: self.promises.back_within("push", seconds),
        )
        heartbeat = self._heartbeat(settings.heartbeat.timeout)
        self._begin("spool", self._write_out)
        self._begin("push", push.run)
        self._begin("heartbeat", heartbeat.run)
        self._begin("county", self._county.run)
        self._begin("upgrade", self._upgrades.run)
        if settings.metrics.listen:
            metrics = Metrics(settings.metrics, self._vitals.point, self._reporter.totals)
            self._begin("metrics", lambda: metrics.run(self._stop))
        self._measuring.start()
        probes = ",".join(planned.name for planned in self._measuring.loaded.probes)
        log.info("agent started probes=%s", probes)

    def stop(self, state: State) -> None:
        """Stop within seconds: every point measured by now is on disk when this returns."""
        with self._swapping:
            self._stop.set()
            self._measuring.stop()
        self._county.wake()
        self._upgrades.wake()
        self._spool.wake()
        last = self._heartbeat(LAST_BEAT_SECONDS)
        farewell = threading.Thread(target=last.last, args=(state,), daemon=True)
        farewell.start()
        self._measuring.wait(LAST_WINDOW_SECONDS)
        self._spool.add([encode(self._vitals.point(ending=state))])
        self._spool.close()
        farewell.join(LAST_BEAT_SECONDS)
        log.info("agent stopped state=%s", state)

    def _swap(self, loaded: LoadedSettings) -> None:
        """Measure by other settings from now on, or raise SettingsError and go on as before."""
        following = self._measuring_by(loaded)
        with self._swapping:
            if self._stop.is_set():
                raise SettingsError("the agent stops")
            self._measuring.stop()
            self._measuring.wait(LAST_WINDOW_SECONDS)
            self._measuring = following
            following.start()

    def _measuring_by(self, loaded: LoadedSettings) -> Measuring:
        return Measuring(
            loaded, self._site_of(loaded), clock=self._clock, reporter=self._reporter, pulse=self._pulse
        )

    def _site_of(self, loaded: LoadedSettings) -> Site:
        return loaded.site(credential=self._credential.token)

    def _pulse(self) -> None:
        """Each ``runner.report_every``: the agent's own point, and runs that have not come back."""
        self._spool.add([encode(self._vitals.point())])
        for outcome in self._measuring.overdue():
            self._reporter.report(outcome, continuous=False)
        settings = self._measuring.loaded.settings
        self.promises.back_within("schedule", settings.runner.report_every + settings.schedule.jitter)

    def _write_out(self) -> None:
        self._spool.run(self._stop, lambda seconds: self.promises.back_within("spool", seconds))

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=self._kept_up, args=(name, work), name=name, daemon=True).start()

    def _kept_up(self, name: str, work: Callable[[], None]) -> None:
        """A bug in one thread is told, and does not end it for good."""
        while not self._stop.is_set():
            try:
                work()
            except Exception:
                log.exception("thread broke name=%s", name)
                self.promises.put_off(name, PAUSE_AFTER_BUG_SECONDS)
                self._stop.wait(PAUSE_AFTER_BUG_SECONDS)

    def _heartbeat(self, timeout_seconds: float) -> Heartbeat:
        return Heartbeat(
            link=self._link(timeout_seconds),
            settings=self._local.settings.heartbeat,
            clock=self._clock,
            boot_id=self._boot_id,
            stop=self._stop,
            proc=self._site_of(self._local).proc,
            said=self._county.said,
            software=self._upgrades.said,
            on_told=self._hear,
        )

    def _hear(self, told: Told) -> None:
        self._county.hear(told)
        self._upgrades.hear(told)

    def _no_time_to_upgrade(self) -> str | None:
        """Lessons, and what is muted."""
        schedule = self._measuring.loaded.settings.schedule
        permission = Permission(schedule, {"upgrade": "outside_school"}, self._calendar)
        return permission.refusal("upgrade", continuous=False, wall_ns=self._clock.wall_ns())

    def _link(self, timeout_seconds: float) -> Link:
        return self._link_with(self._credential.token, timeout_seconds)

    def _link_with(self, token: Callable[[], Secret], timeout_seconds: float | None = None) -> Link:
        collector = self._local.settings.collector
        seconds = timeout_seconds or self._local.settings.push.timeout
        return Link(collector.url if collector else "", token, seconds, self._local.ca_file)


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
