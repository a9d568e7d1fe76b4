"""From fault to message received: a real collector fed over HTTP, a real mail server, three robots.

Conditions on points are timed as the product times them. Silence and lines that are down take minutes: here
their rules and minutes are shorter, and the time from the rule's own moment to the receiver is what is held
to. What the shipped minutes give stands in ``tests/collector/incidents`` on a moved clock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.rooms import Rooms
from config.points import Point, encode
from config.school import Line, School
from config.units import Seconds
from tests.collector.messages.everyone import Everyone
from tests.collector.running import Running, running, settings_in, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

NS = 10**9
PLAN = """\
id: county
title: 县规划
county: 某县
issuer: 教育局
starts: 2026-01-01
ends: 2030-12-31
groups:
  学校: {}
targets:
  - {id: port, kind: uplink_port, who: 学校, deadline: 2026-01-01, rate: 1G, quotes: [千兆到校]}
"""
RULES = """\
quiet_hours: []
rules:
  school_silent: {for: 4s, clear: 1s}
  line_down: {for: 3s, gather: 0s, clear: 1s}
"""
SCHOOLS = [
    School("s1", "第一小学", classes=10, area="urban", lines=(Line("wan", carrier="电信"),)),
    School("s2", "第二小学", lines=(Line("wan", carrier="移动"), Line("edu", carrier="教育网"))),
]

SEARCH = {
    "line": "wan", "responder": "county", "direction": "down", "family": "ipv4", "mode": "search",
    "method": "tcp",
}  # fmt: skip


class Agents:
    """Two schools' agents: heartbeats and pings each half second, and points."""

    def __init__(self, collector: Running) -> None:
        self.collector = collector
        self.alive = {"a1", "b1"}
        self.dead_lines: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def __enter__(self) -> Agents:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def push(self, agent: str, measurement: str, tags: dict[str, str], **fields: Any) -> None:
        point = encode(Point(measurement, tags, fields, time.time_ns()))
        assert self.collector.write(point, agent=agent).status == 204

    def _ping(self, line: str) -> None:
        """A window of half a second of the school with two lines."""
        tags = {"target": "web", "family": "ipv4", "line": line}
        lost = 5 if line in self.dead_lines else 0
        self.push("b1", "ping", tags, sent=5, lost=lost, place="outside", window_seconds=0.5)

    def _beat(self) -> None:
        while not self._end.wait(0.5):
            for line in ("wan", "edu"):
                self._ping(line)
            for agent in sorted(self.alive):
                beat = (
                    f'{{"boot_id":"b","wall_ns":{time.time_ns()},"monotonic_ns":{time.monotonic_ns()},'
                    '"uptime_seconds":100.0,"version":"1","state":"running"}'
                )
                self.collector.request("POST", "/api/v1/heartbeat", beat, agent=agent)


def wait_for(everyone: Everyone, title: str, seconds: float) -> float:
    """Until all of them have a message that begins so; gives how long it took."""
    began = time.monotonic()
    wait_until(lambda: any(title in each for each in everyone.told().values()), seconds)
    return time.monotonic() - began


@pytest.fixture
def county(tmp_path: Path) -> Iterator[tuple[Everyone, Agents, Rooms]]:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "rules.yaml").write_text(RULES)
    with contextlib.ExitStack() as stack:
        everyone = Everyone(tmp_path, stack)
        settings = settings_in(
            tmp_path / "data",
            verdicts={"plans": [str(tmp_path / "plan.yaml"), "shandan"]},
            uptime={"silent_after": 3, "call_after": 4, "settle": 0},
            incidents={"rules": str(tmp_path / "rules.yaml"), "settle": 0.1},
            messages=everyone.settings,
        )
        settings = msgspec.structs.replace(settings, heartbeat=Seconds(1), public_url="https://x.example")
        collector = stack.enter_context(running(settings))
        collector.rooms.registry.put_schools(SCHOOLS)
        agents = stack.enter_context(Agents(collector))
        yield everyone, agents, collector.rooms


@pytest.mark.lab
def test_four_faults_reach_all_who_are_to_hear_of_them(county: tuple[Everyone, Agents, Rooms]) -> None:
    everyone, agents, rooms = county
    wait_until(lambda: len(rooms.liveness.all()) == 2)

    agents.push(
        "a1", "router_advertisement", {"interface": "br-lan", "mac": "02:00:00:00:00:66"}, expected=False
    )
    assert wait_for(everyone, "【紧急】第一小学：发现非法路由器（路由器 02:00:00:00:00:66）", 15) < 15

    tags = {"interface": "eth0", "role": "line", "line": "wan"}
    agents.push("a1", "interface", tags, operational=True, port_bits_per_second=100_000_000)
    assert wait_for(everyone, "【警告】第一小学：未达标（上联端口，2026-01-01 前）", 10) < 10

    agents.push(
        "a1", "capacity", SEARCH, ip_bits_per_second=80_000_000, bound="equal", stop_reason="converged",
        limited_by="nothing", counts_for_line=True, line_share=0.99, bytes=10**8, duration_seconds=10.0,
    )  # fmt: skip
    assert wait_for(everyone, "未达标（班均出口带宽", 10) < 10

    agents.dead_lines.add("edu")
    agents.alive.remove("a1")
    silent = time.monotonic()
    wait_until(lambda: rooms.uptime.presence("s1")[0].state == "silent", 20)
    assert time.monotonic() - silent < 20
    wait_for(everyone, "【紧急】第一小学：学校失联", 14)
    assert time.monotonic() - silent < 4 + 10, "the rule's own time and ten seconds"
    wait_for(everyone, "【紧急】第二小学：线路中断（线路 edu 教育网）", 10)

    agents.alive.add("a1")
    wait_for(everyone, "【已恢复】第一小学：学校失联", 15)
    for letters in everyone.received().values():
        keys = [each.key for each in letters]
        assert len(keys) == len(set(keys)), "each once"
        assert all("https://x.example/incidents/" in each.text for each in letters)
