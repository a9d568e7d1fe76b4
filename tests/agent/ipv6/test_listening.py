"""The listener on a real link: a stranger is told of at once and once, its end is seen, nothing waits."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from agent.ipv6.listener import MOST_SENDERS
from agent.probe import Run, Site
from agent.probes.router_advertisements import Settings, build
from agent.runner import Outcome, Reporter
from agent.settings import SpoolSettings
from agent.spool import Spool
from config.clock import SystemClock
from config.measurements import check
from config.points import Point
from config.school import School
from config.settings import SettingsError, convert
from config.units import Seconds
from tests.agent.probes.netns import call_in, joined_pair
from tests.bench.router_advertisements import flood

A_SECOND = 2000
NEEDED_SECONDS = 5.0
MOST_SHARE = 0.4
"""Of a core; the bench says how little it is on a quiet machine."""


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_a_stranger_is_told_of_within_seconds_and_once() -> None:
    site = Site(School(id="s"), proc=Path("/proc/thread-self"))
    settings = Settings(lans=("near0",), window=Seconds(0.5), listen=Seconds(1))
    told: list[tuple[float, Point, bool]] = []

    def codes() -> list[object]:
        return [point.fields["code"] for _, point, _ in list(told) if point.measurement == "ipv6_check"]

    def listen() -> None:
        probe = build(settings, site)
        while time.monotonic() < end and codes()[-2:] != ["rogue", "none_rogue"]:
            run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=5, window_seconds=0.5)
            told.extend((time.monotonic(), point, run.urgent) for point in list(probe.measure(run)))

    with joined_pair() as (near, far):
        end = time.monotonic() + 20
        listener = threading.Thread(target=lambda: call_in(near, listen))
        listener.start()
        while time.monotonic() < end and "none_rogue" not in codes():
            time.sleep(0.05)
        begun = time.monotonic()
        call_in(far, lambda: flood(1.0, A_SECOND))
        listener.join()
    for _, point, _ in told:
        check(point)
    alarms = [each for each in told if each[1].fields.get("expected") is False]
    assert [each[1].tags for each in alarms] == [{"interface": "near0", "mac": "02:00:00:00:0b:ad"}]
    assert alarms[0][0] - begun < NEEDED_SECONDS
    assert alarms[0][2]
    assert codes() == ["listening", "none_rogue", "rogue", "none_rogue"]


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_ten_thousand_a_second_of_every_kind_are_one_alarm_and_little_work() -> None:
    """Options of length 0 raise none; 5,000 made-up MACs raise one, and 65 points at most."""
    site = Site(School(id="s"), proc=Path("/proc/thread-self"))
    told: list[Point] = []
    used: list[float] = []

    def listen() -> None:
        probe, before = build(Settings(lans=("near0",), window=Seconds(0.3)), site), time.thread_time()
        while not ended.is_set():
            run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=5, window_seconds=0.3)
            told.extend(probe.measure(run))
        used.append((time.thread_time() - before) / (time.monotonic() - begun))

    with joined_pair() as (near, far):
        begun, ended = time.monotonic(), threading.Event()
        listener = threading.Thread(target=lambda: call_in(near, listen))
        listener.start()
        call_in(far, lambda: flood(1.0, 10_000, "malformed"))
        call_in(far, lambda: flood(2.0, 10_000, "made up"))
        ended.set()
        listener.join()
    codes = [point.fields["code"] for point in told if point.measurement == "ipv6_check"]
    points = [point for point in told if point.measurement == "router_advertisement"]
    assert codes == ["listening", "rogue"]
    assert any(point.fields["malformed"] for point in points)
    assert 2 <= len(points) <= MOST_SENDERS + 1
    assert used[0] < MOST_SHARE


def test_urgent_points_do_not_wait_for_their_batch(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolSettings(), SystemClock(), "boot")
    try:
        reporter = Reporter(spool.add, SystemClock(), 60.0, spool.hasten)
        reporter.report(Outcome("a", 0, 0.0, lines=("a b=1i 1",)), continuous=True)
        assert spool.newest() is None
        reporter.report(Outcome("a", 0, 0.0, lines=("a b=1i 2",), urgent=True), continuous=True)
        batch = spool.newest()
        assert batch is not None
        assert batch.points >= 2
    finally:
        spool.close()


@pytest.mark.parametrize("settings", [{"window": "0s"}, {"listen": "0s"}, {"lan": "x"}])
def test_settings_that_cannot_be_used(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        convert(settings, Settings, "agent.yaml")
