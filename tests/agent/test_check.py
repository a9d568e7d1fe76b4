"""``check`` and ``probe`` as real commands on a host made of files: statuses, JSON, bar, golden points."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.probes.fakes import NET_DEV_HEAD, FakeHost
from tests.conftest import Golden

AGENT = (sys.executable, "-c", "from agent.main import main; main()")
GOLDEN = Path(__file__).with_name("golden")
LINE = "xtgold0"
"""No real interface has this name: what the kernel says of connectors is none of this."""
PLAN = """\
id: county
title: 县规划
county: 某县
issuer: 某县教育局
published: 2026-01-01
starts: 2026-01-01
ends: 2029-12-31
groups: {学校: {}}
targets:
  - {id: uplink_port, kind: uplink_port, who: 学校, deadline: 2027-12-31, rate: 1000M, quotes: [端口1000M]}
"""


def host_with_a_port_of(root: Path, megabits: int) -> FakeHost:
    host = FakeHost(root)
    host.interface("lo", index=1, kind=772, operstate="unknown", carrier="1")
    host.interface(LINE, index=2, hardware=True, speed=str(megabits), duplex="full")
    host.ipv4_default(LINE)
    host.net_dev({"lo": (0, 0, 0, 0), LINE: (0, 0, 0, 0)})
    return host


def settings_in(folder: Path, plan: str) -> Path:
    (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
    file = folder / "agent.yaml"
    file.write_text(
        "school: {id: s, classes: 12, area: rural, lines: [{id: wan}]}\n"
        f"{plan}\nkernel: {{proc: proc, sys: sys}}\nprobes: {{interfaces: {{}}}}\n",
        encoding="utf-8",
    )
    return file


def call(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AGENT, *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, timeout=50, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""},
        **{"stderr": subprocess.PIPE, **options},
    )  # fmt: skip


OWN, SHANDAN = "plan_file: plan.yaml", "plan: shandan"


@pytest.mark.parametrize(
    ("asked", "megabits", "verdict", "status"),
    [
        ((OWN, "uplink_port"), 1000, "met", 0),
        ((OWN, "uplink_port"), 100, "not_met", 1),
        ((SHANDAN, "egress_all_2018"), 10, "not_met", 1),
        ((SHANDAN, "egress_all_2018"), 1000, "unknown", 3),
    ],
)
def test_the_status_is_what_a_port_of_that_speed_shows(
    tmp_path: Path, asked: tuple[str, str], megabits: int, verdict: str, status: int
) -> None:
    plan, target = asked
    host_with_a_port_of(tmp_path, megabits)
    done = call("check", "--json", "--seconds", "1", "--config", settings_in(tmp_path, plan))
    assert done.returncode == status, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer)[:4] == ["school", "plan", "verdicts", "probes"]
    found = next(each for each in answer["verdicts"] if each["target"] == target)
    assert list(found)[:4] == ["target", "verdict", "evidence", "quote"]
    assert found["verdict"] == verdict
    shown = [each for each in found["evidence"] if each["kind"] == "port_speed"]
    assert shown[0]["upper_bits_per_second"] == megabits * 10**6
    assert shown[0]["lower_bits_per_second"] is None
    assert 0 <= shown[0]["age_seconds"] < 30
    assert list(shown[0])[:6] == [
        "kind", "lower_bits_per_second", "upper_bits_per_second", "at", "age_seconds", "note",
    ]  # fmt: skip
    assert list(answer["probes"][0])[:4] == ["name", "success", "duration_seconds", "error"]
    assert (answer["probes"][0]["name"], answer["probes"][0]["success"]) == ("interfaces", True)


def test_settings_that_cannot_be_used_are_status_2(tmp_path: Path) -> None:
    done = call("check", "--config", settings_in(tmp_path, "plan: beijing"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "key plan: beijing is no shipped plan" in done.stderr


def test_the_bar_is_on_standard_error_and_the_table_is_not(tmp_path: Path) -> None:
    host_with_a_port_of(tmp_path, 1000)
    ours, theirs = pty.openpty()
    try:
        done = call("check", "--seconds", "2", "--config", settings_in(tmp_path, OWN), stderr=theirs)
    finally:
        os.close(theirs)
    with contextlib.closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        bar = terminal.read(65536).decode("utf-8", "replace")
    assert done.returncode == 0
    assert re.search(r"1 probes?, 2 s", bar)
    assert "━" in bar
    assert "1000" in done.stdout.replace("1 Gbit/s", "1000")
    assert "met" in done.stdout
    assert "\x1b" not in done.stdout


@contextlib.contextmanager
def counted(host: FakeHost, rows: dict[str, tuple[int, int, int, int]]) -> Iterator[None]:
    """Counters that grow by ``rows`` at each reading: /proc/net/dev as a pipe, written for each reader."""
    file = host.proc / "net/dev"
    file.unlink()
    os.mkfifo(file)
    over = threading.Event()

    def feed() -> None:
        n = 0
        while not over.is_set():
            with file.open("w", encoding="ascii") as pipe:  # waits for a reader
                lines = [
                    f"{name}: {rx * n} {rx_packets * n} 0 0 0 0 0 0 {tx * n} {tx_packets * n} 0 0 0 0 0 0"
                    for name, (rx, rx_packets, tx, tx_packets) in rows.items()
                ]
                pipe.write(NET_DEV_HEAD + "\n".join(lines) + "\n")
            n += 1
            time.sleep(0.1)  # until the reader has closed its end

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        last = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # lets a feeder go that waits for a reader
        thread.join(5)
        os.close(last)


def test_the_probe_command_tells_what_the_golden_file_holds(tmp_path: Path, golden: Golden) -> None:
    """Times, and rates to one figure, are the run's own; all else is to the letter."""
    host = host_with_a_port_of(tmp_path, 1000)
    file = settings_in(tmp_path, SHANDAN)
    with counted(host, {"lo": (1000, 10, 1000, 10), LINE: (1_251_400, 100, 25_140, 10)}):
        done = call("probe", "interfaces", "--seconds", "3", "--config", file)
    assert done.returncode == 0, done.stderr
    golden(GOLDEN / "probe_interfaces.lp", timeless(done.stdout))


def timeless(text: str) -> str:
    """Without what the clock adds: a second that lasts 1.003 s is a rate that is 0.3 % lower."""
    text = re.sub(r" \d{19}$", " TIME", text, flags=re.MULTILINE)
    text = re.sub(r"in [\d.]+ s", "in SECONDS s", text)
    text = re.sub(r"(_histogram=)\"(?!0:)[\d: ]+\"", r'\1"NEAR"', text)
    return re.sub(r"(?<=[=])(\d+\.\d+)(?=[, ])", lambda found: magnitude(float(found[1])), text)


def magnitude(value: float) -> str:
    """Its power of ten, in steps that no golden figure is near: a busy machine's second lasts 1.1 s."""
    return f"1e{round(math.log10(value / 1.5))}" if value else "0"
