"""An outage in the middle of a staged upgrade, by a clock on paper.

The collector and its port, the store of packages, and of each agent the heartbeat, the versions, the choice
of the launcher and what follows orders are the real ones. A line is cut where its agent opens a connection.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

import agent
from agent import launcher
from agent.heartbeat import Heartbeat
from agent.link import Link
from agent.settings import HeartbeatSettings, Secret, UpgradeSettings
from agent.upgrade import Upgrades
from agent.versions import Versions
from collector.access import audit
from collector.packages.rollouts import Rollout
from config.packages import python_minor
from tests.agent.clocks import HandClock
from tests.collector.running import Running, running, settings_in
from tests.config.test_packages import FILES, PUBLIC, packed

OLD, NEW = agent.__version__, "9.0"
MINUTE, HOUR = 60.0, 3600.0
STEP, COARSE_STEP = 10.0, 60.0
FINE = 15 * MINUTE
"""For longer than any limit of a trial time goes by in fine steps, then in coarse ones."""
SETTINGS = UpgradeSettings(keys=(PUBLIC,))


class Line(Link):
    """A school's line to the collector."""

    is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        self.close()

    def mend(self) -> None:
        self.is_cut = False

    def _opened(self) -> http.client.HTTPConnection:
        if self.is_cut:
            raise OSError("the line is cut")
        return super()._opened()


class Gate:
    """One agent, started again whenever it ends. The version named ``mute`` says nothing."""

    def __init__(self, folder: Path, url: str, token: str, clock: HandClock) -> None:
        self.clock = clock
        self.line = Line(url, Secret(token), 5.0)
        self.versions = Versions(folder, (PUBLIC,))
        self.mute = ""
        self.boot = "boot"
        self.tried: list[str] = []
        self.start()

    def start(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(launcher, "now_seconds", lambda: self.clock.monotonic_ns() / 1e9)
            patch.setattr(launcher, "boot_id", lambda: self.boot)
            kept = launcher.chosen(self.versions, float(SETTINGS.trial))
        if kept.trial is not None:
            self.tried.append(kept.trial.version)
        self.runs = kept.running or OLD
        self.ends = False
        self.upgrades = Upgrades(
            settings=SETTINGS, versions=self.versions, version=kept.running, packaged=OLD, link=self.line,
            clock=self.clock, stop=threading.Event(), refusal=lambda: None, restart=self.end,
            random_between=lambda low, high: (low + high) / 2,
        )  # fmt: skip
        self.upgrades._prune()  # as its thread does first: what was left is fetched anew
        self.heartbeat = Heartbeat(
            link=self.line, settings=HeartbeatSettings(), clock=self.clock, boot_id=self.boot,
            stop=threading.Event(), software=self.upgrades.said, on_told=self.upgrades.hear,
        )  # fmt: skip

    def end(self) -> None:
        self.ends = True

    def power_cut(self) -> None:
        self.boot += "+"
        self.start()

    @property
    def is_on_trial(self) -> bool:
        return self.versions.read().trial is not None

    def step(self) -> None:
        if self.runs != self.mute:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(agent, "__version__", self.runs)
                self.heartbeat.beat("running")
        self.upgrades.step()
        if self.ends:
            self.start()


class County:
    """A collector and two schools with an agent each: of a1, which goes first, and of b1."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.clock = HandClock()
        self.data.mkdir()
        (self.data / "packages.pub").write_text(f"{PUBLIC}\n")
        self.collector: Running | None = None
        self.port = 0
        self._stack = contextlib.ExitStack()
        tokens = self.serve()
        url = f"http://127.0.0.1:{self.port}"
        self.a1 = Gate(folder / "a1", url, tokens["a1"], self.clock)
        self.b1 = Gate(folder / "b1", url, tokens["b1"], self.clock)

    def serve(self) -> dict[str, str]:
        settings = settings_in(self.data, listen={"port": self.port})
        self.collector = self._stack.enter_context(running(settings, self.clock))
        self.port = self.collector.port
        self.room = self.collector.rooms.enrolment
        return self.collector.tokens

    def end(self) -> None:
        self._stack.close()
        self.collector = None

    def order(self) -> Rollout:
        needs = {"msgspec": metadata.version("msgspec")}
        content = packed(FILES, said={"version": NEW, "python": python_minor(), "libraries": needs})
        self.room.packages.add(io.BytesIO(content))
        by, now = audit.command_line(), self.room.now()
        return self.room.rollouts.start(NEW, ["a1"], by, now=now, settle_seconds=10 * MINUTE)

    @property
    def rollout(self) -> Rollout:
        found = self.room.rollouts.current()
        assert found is not None
        return found

    def follower(self, name: str = "a1") -> tuple[str, str]:
        return next((each.state, each.reason) for each in self.room.rollouts.followers() if each.id == name)

    def step(self, seconds: float = STEP) -> None:
        self.clock.pass_seconds(seconds)
        for gate in (self.a1, self.b1):
            gate.step()
        if self.collector is not None:
            self.collector.rooms.registry.flush_seen()
            self.room.tick()

    def go_on(self, seconds: float) -> None:
        for _ in range(round(min(seconds, FINE) / STEP)):
            self.step()
        for _ in range(round(max(0.0, seconds - FINE) / COARSE_STEP)):
            self.step(COARSE_STEP)

    def go_on_until(self, true: Callable[[], bool]) -> None:
        deadline = self.clock.monotonic_ns() + 2 * HOUR * 1e9
        while not true():
            assert self.clock.monotonic_ns() < deadline, (self.rollout, self.follower())
            self.step()


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    made = County(tmp_path)
    yield made
    made.a1.line.close()
    made.b1.line.close()
    made.end()


@contextlib.contextmanager
def collector_away(county: County) -> Iterator[None]:
    county.end()
    yield
    county.serve()


@contextlib.contextmanager
def county_cut_off(county: County) -> Iterator[None]:
    with one_school_cut_off(county):
        county.b1.line.cut()
        yield
        county.b1.line.mend()


@contextlib.contextmanager
def one_school_cut_off(county: County) -> Iterator[None]:
    county.a1.line.cut()
    yield
    county.a1.line.mend()


@contextlib.contextmanager
def power_and_line_cut(county: County) -> Iterator[None]:
    with one_school_cut_off(county):
        county.go_on(5 * MINUTE)
        county.a1.power_cut()
        yield


Outage = Callable[[County], contextlib.AbstractContextManager[None]]
OUTAGES = [collector_away, county_cut_off, one_school_cut_off, power_and_line_cut]


@pytest.mark.parametrize("seconds", [570, 580, 590, HOUR])
@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_in_a_trial_only_delays_the_order(county: County, outage: Outage, seconds: float) -> None:
    """It ends before the trial does, with it, just after it, and long after."""
    county.order()
    county.go_on_until(lambda: county.a1.is_on_trial)
    with outage(county):
        county.go_on(seconds)
    county.go_on_until(lambda: county.a1.runs == NEW and not county.a1.is_on_trial)
    assert county.rollout.state == "first"
    assert county.b1.tried == []
    county.go_on_until(lambda: county.rollout.state == "rest")
    county.go_on_until(lambda: county.b1.runs == NEW and not county.b1.is_on_trial)


def test_what_waits_for_its_second_trial_says_why(county: County) -> None:
    county.order()
    county.go_on_until(lambda: county.a1.is_on_trial)
    with collector_away(county):
        county.go_on(HOUR)
    county.go_on(MINUTE)
    why = f"{NEW}: the collector did not hear it within 600 s; it is tried once more"
    assert county.follower() == ("waiting", why)
    county.room.rollouts.stop(audit.command_line(), county.room.now())
    county.go_on(HOUR)
    assert county.follower() == ("later", "")
    assert county.a1.tried == [NEW]


@pytest.mark.parametrize("outage", [*OUTAGES, lambda _county: contextlib.nullcontext()])
def test_a_version_that_cannot_be_heard_stops_the_order_whatever_else_fails(
    county: County, outage: Outage
) -> None:
    county.a1.mute = NEW
    county.order()
    county.go_on_until(lambda: county.a1.is_on_trial)
    with outage(county):
        county.go_on(10 * MINUTE)
    county.go_on_until(lambda: county.rollout.state == "stopped")
    assert county.rollout.reason == f"a1 fell back: {NEW}: the collector did not hear it within 600 s, twice"
    county.go_on(HOUR)
    assert county.a1.runs == county.b1.runs == OLD
    assert set(county.a1.tried) == {NEW}
    assert county.b1.tried == []


@pytest.mark.parametrize("outage", OUTAGES)
def test_the_stage_waits_while_nobody_is_heard(county: County, outage: Outage) -> None:
    county.order()
    county.go_on_until(lambda: county.rollout.well_at is not None)
    with outage(county):
        county.go_on(HOUR)
    county.room.tick()
    assert county.rollout.state == "first"
    county.go_on_until(lambda: county.rollout.state == "rest")
