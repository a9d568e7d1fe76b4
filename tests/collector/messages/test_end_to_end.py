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
from tests.collector.messages.sinks import (
    DINGTALK_SECRET,
    FEISHU_SECRET,
    TOKEN,
    WECOM_KEY,
    DingTalkRobot,
    FeishuRobot,
    WeComRobot,
    serving,
)
from tests.collector.messages.test_channels import secret_file
from tests.collector.messages.test_email import Certificates, Mailbox, mail_server
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


class Everyone:
    """Who is told: a mailbox with STARTTLS and the three robots."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.box, certificates = Mailbox(), Certificates(folder)
        self.robots = (DingTalkRobot(), WeComRobot(), FeishuRobot())
        port = stack.enter_context(mail_server(self.box, certificates, "starttls"))
        dingtalk, wecom, feishu = (stack.enter_context(serving(each)) for each in self.robots)
        self.channels = {
            "dingtalk": {"ding": {
                "url_file": secret_file(folder, "d", f"{dingtalk}/robot/send?access_token={TOKEN}"),
                "secret_file": secret_file(folder, "ds", DINGTALK_SECRET)}},
            "wecom": {"wecom": {"url_file": secret_file(folder, "w", f"{wecom}/?key={WECOM_KEY}")}},
            "feishu": {"fei": {
                "url_file": secret_file(folder, "f", f"{feishu}/hook"),
                "secret_file": secret_file(folder, "fs", FEISHU_SECRET)}},
            "email": {"mail": {
                "host": "127.0.0.1", "port": port, "sender": "x@county.example", "to": ["duty@x.example"],
                "user": "xiaotong", "password_file": secret_file(folder, "p", "mail-secret"),
                "ca_file": str(certificates.ca_file)}},
        }  # fmt: skip
        self.recipients = {f"to_{name}": {"channel": name} for name in ("ding", "wecom", "fei", "mail")}

    def wait_for(self, title: str, seconds: float) -> float:
        """Until all four have a message that begins so; gives how long it took."""
        began = time.monotonic()
        while not all(any(title in text for text in texts) for texts in self.texts()):
            assert time.monotonic() - began < seconds, f"waited in vain for {title}"
            time.sleep(0.05)
        return time.monotonic() - began

    def texts(self) -> list[list[str]]:
        mails = [f"{each['Subject']}\n{each.get_content()}" for each in self.box.taken]
        return [mails, *(each.taken for each in self.robots)]


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
            messages={"channels": everyone.channels, "recipients": everyone.recipients},
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
    assert everyone.wait_for("【紧急】第一小学：发现非法路由器（路由器 02:00:00:00:00:66）", 15) < 15

    tags = {"interface": "eth0", "role": "line", "line": "wan"}
    agents.push("a1", "interface", tags, operational=True, port_bits_per_second=100_000_000)
    assert everyone.wait_for("【警告】第一小学：未达标（county 上联端口）", 10) < 10

    agents.push(
        "a1", "capacity", SEARCH, ip_bits_per_second=80_000_000, bound="equal", stop_reason="converged",
        limited_by="nothing", counts_for_line=True, line_share=0.99, bytes=10**8, duration_seconds=10.0,
    )  # fmt: skip
    assert everyone.wait_for("未达标（shandan", 10) < 10

    agents.dead_lines.add("edu")
    agents.alive.remove("a1")
    silent = time.monotonic()
    wait_until(lambda: rooms.uptime.presence("s1")[0].state == "silent", 20)
    assert time.monotonic() - silent < 20
    everyone.wait_for("【紧急】第一小学：学校失联", 14)
    assert time.monotonic() - silent < 4 + 10, "the rule's own time and ten seconds"
    everyone.wait_for("【紧急】第二小学：线路中断（线路 edu 教育网）", 10)

    agents.alive.add("a1")
    everyone.wait_for("【已恢复】第一小学：学校失联", 15)
    keys = [message["X-Xiaotong-Key"] for message in everyone.box.taken]
    assert len(keys) == len(set(keys)), "each once"
    assert all("https://x.example/incidents/" in text for texts in everyone.texts() for text in texts)
