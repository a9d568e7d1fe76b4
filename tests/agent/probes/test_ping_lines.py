"""Ping through each line of a school that has two, and beside fping on the same path."""

from __future__ import annotations

import contextlib
import math
import secrets
import statistics
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network.names import Names
from agent.probe import Run, Site
from agent.probes.ping import DEFAULT_GATEWAY, Ping, Settings, Target
from config.clock import SystemClock
from config.points import Point
from config.school import Line, School
from config.units import Seconds
from tests.agent.probes.netns import call_in, inside, ip, joined_pair

pytestmark = pytest.mark.quiet

FAR = "10.99.9.9"
LINES = (Line(id="tel", interface="near0"), Line(id="mob", interface="near1"))


def measure(
    namespace: str, settings: Settings, window: float, lines: tuple[Line, ...] = LINES
) -> list[Point]:
    site = Site(school=School(id="s", lines=lines), proc=Path("/proc/thread-self"))
    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=60, window_seconds=window)
    return call_in(namespace, lambda: list(Ping(settings, site, Names()).measure(run)))


@contextlib.contextmanager
def two_lines() -> Iterator[tuple[str, str]]:
    """A gateway with two uplinks to one far host, whose address lies beyond both."""
    mark = secrets.token_hex(3)
    near, far = f"xtn{mark}", f"xtf{mark}"
    try:
        for name in (near, far):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for n in (0, 1):
            ip(
                "link",
                "add",
                f"near{n}",
                "netns",
                near,
                "type",
                "veth",
                "peer",
                "name",
                f"far{n}",
                "netns",
                far,
            )
            for name, port, host in ((near, f"near{n}", 1), (far, f"far{n}", 2)):
                ip("-n", name, "addr", "add", f"10.99.{n}.{host}/24", "dev", port)
                ip("-n", name, "link", "set", port, "up")
            ip("-n", near, "route", "add", "default", "via", f"10.99.{n}.2", "metric", str(100 + n))
        ip("-n", far, "addr", "add", f"{FAR}/32", "dev", "lo")
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=10)


@pytest.mark.needs_root
@pytest.mark.needs("ip", "nft")
def test_each_line_is_asked_by_itself() -> None:
    targets = (
        Target(name="gateway", host=DEFAULT_GATEWAY, family="ipv4"),
        Target(name="web", host=FAR, family="ipv4"),
    )
    settings = Settings(targets=targets, probes=5, wait=Seconds(0.3))
    with two_lines() as (near, far):
        inside(
            far,
            "nft",
            "-f",
            "-",
            text='table inet t { chain c { type filter hook input priority 0; iifname "far1" drop; }; }',
        )
        found = measure(near, settings, 0.5)
    lost = {(p.tags["target"], p.tags.get("line")): (p.fields["sent"], p.fields["lost"]) for p in found}
    assert lost == {
        ("gateway", None): (5, 0), ("gateway", "tel"): (5, 0), ("gateway", "mob"): (5, 5),
        ("web", None): (5, 0), ("web", "tel"): (5, 0), ("web", "mob"): (5, 5),
    }  # fmt: skip
    places = {point.tags["target"]: point.fields["place"] for point in found}
    assert places == {"gateway": "next_hop", "web": "outside"}


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_a_school_of_one_line_asks_once() -> None:
    settings = Settings(
        targets=(Target(name="web", host="10.99.0.2", family="ipv4"),), probes=2, wait=Seconds(0.3)
    )
    with joined_pair() as (near, _):
        found = measure(near, settings, 0.3, (LINES[0],))
    assert [point.tags.get("line") for point in found] == [None]


@pytest.mark.needs_root
@pytest.mark.needs("ip", "nft", "fping")
def test_round_trips_and_loss_are_those_that_fping_sees_at_the_same_time() -> None:
    """Medians within 0.1 ms; the two losses within 4 standard deviations of their difference."""
    count, share = 250, 0.1
    rules = (
        "table inet t { chain c { type filter hook input priority 0; "
        f"icmp type echo-request numgen random mod 1000 < {round(share * 1000)} drop; }}; }};"
    )
    settings = Settings(
        targets=(Target(name="far", host="10.99.0.2", family="ipv4"),), probes=count, wait=Seconds(0.5)
    )
    with joined_pair() as (near, far):
        inside(far, "nft", "-f", "-", text=rules)
        command = [
            "ip",
            "netns",
            "exec",
            near,
            "fping",
            "-C",
            str(count),
            "-p",
            "10",
            "-t",
            "500",
            "-q",
            "10.99.0.2",
        ]
        beside = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        (point,) = measure(near, settings, count * 0.01, (LINES[0],))
        _, text = beside.communicate(timeout=30)
    trips = text.strip().splitlines()[-1].partition(" : ")[2].split()
    answered = [float(trip) / 1e3 for trip in trips if trip != "-"]
    fping_loss = 1 - len(answered) / count
    lost, sent = point.fields["lost"], point.fields["sent"]
    assert isinstance(lost, int)
    assert sent == count
    spread = math.sqrt(2 * share * (1 - share) / count)
    assert abs(lost / count - fping_loss) <= 4 * spread
    median = point.fields["rtt_median_seconds"]
    assert isinstance(median, float)
    ranked = sorted(answered) + [math.inf] * (count - len(answered))
    assert abs(median - ranked[math.ceil(count / 2) - 1]) <= 0.0001, statistics.median(answered)


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_windows_end_with_the_wall_clocks_windows() -> None:
    settings = Settings(
        window=Seconds(1),
        targets=(Target(name="web", host="10.99.0.2", family="ipv4"),),
        probes=2,
        wait=Seconds(0.3),
    )
    with joined_pair() as (near, _):
        (point,) = measure(near, settings, 1.0, (LINES[0],))
    assert min(point.time_ns % 10**9, 10**9 - point.time_ns % 10**9) < 5 * 10**6
    assert 0.4 < float(point.fields["window_seconds"]) < 1.6
