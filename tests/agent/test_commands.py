"""The commands as a person or systemd calls them: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.agent.collector_double import CollectorDouble, Push, Reply, collector_double

CANARY = "canary-token-5f1c"
AGENT = (sys.executable, "-c", "from agent.main import main; main()")


@pytest.fixture
def collector() -> Iterator[CollectorDouble]:
    with collector_double() as double:
        yield double


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AGENT, *map(str, arguments)],
        capture_output=True, text=True, timeout=50, env={**os.environ, "LANG": "C.UTF-8"}, check=False,
    )  # fmt: skip


def written(directory: Path, url: str = "http://127.0.0.1:1", probes: str = "{}") -> Path:
    token = directory / "token"
    token.write_text(CANARY)
    token.chmod(0o600)
    file = directory / "agent.yaml"
    file.write_text(
        "school: {id: s, classes: 12}\n"
        f"collector: {{url: '{url}', token_file: token}}\n"
        "spool: {flush: 1s, hold: 500ms}\nschedule: {start_pause: 100ms}\nlog: {level: debug}\n"
        f"probes: {probes}\n"
    )
    return file


def test_config_check_says_ok_or_one_line(tmp_path: Path) -> None:
    file = written(tmp_path)
    good = call("config", "check", file)
    assert (good.stdout, good.returncode) == (f"{file}: ok\n", 0)
    (tmp_path / "token").chmod(0o644)
    bad = call("config", "check", file)
    assert bad.returncode == 2
    assert bad.stderr.startswith(f"error: {file}: key collector.token_file: ")
    assert bad.stderr.count("\n") == 1


def test_config_check_advises_a_target_outside(tmp_path: Path) -> None:
    """With the centre alone an outage of the centre looks like one of the school: said, and no error."""
    file = tmp_path / "agent.yaml"
    file.write_text("school: {id: s}\nprobes: {ping: {}}\n")
    alone = call("config", "check", file)
    assert alone.returncode == 0
    assert alone.stdout.splitlines()[1].startswith("note: probes.ping.targets: none lies outside")
    outside = "{name: gateway, host: default-gateway}, {name: outside, host: 198.51.100.1}"
    file.write_text(f"school: {{id: s}}\nprobes: {{ping: {{targets: [{outside}]}}}}\n")
    assert call("config", "check", file).stdout == f"{file}: ok\n"


def test_an_unknown_plan_names_those_there_are(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text() + "plan: beijing\n")
    result = call("config", "check", file)
    assert result.returncode == 2
    assert "key plan: beijing is no shipped plan; allowed: " in result.stderr
    assert "shandan" in result.stderr


def test_an_unknown_probe_is_one_line(tmp_path: Path) -> None:
    result = call("probe", "traceroute", "--config", written(tmp_path))
    assert result.returncode == 2
    assert "key probes.traceroute: is no probe; allowed here: " in result.stderr


def test_check_without_probes_is_unknown_and_needs_no_collector(tmp_path: Path) -> None:
    result = call("check", "--json", "--seconds", "1", "--config", written(tmp_path))
    assert result.returncode == 3, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer)[:4] == ["school", "plan", "verdicts", "probes"]
    assert (answer["school"], answer["plan"], answer["probes"]) == ("s", "shandan", [])
    assert {verdict["verdict"] for verdict in answer["verdicts"]} == {"unknown"}
    for verdict in answer["verdicts"]:
        assert list(verdict)[:4] == ["target", "verdict", "evidence", "quote"]
        assert verdict["settles"]
    assert not (tmp_path / "state").exists()


def test_check_prints_the_table_in_the_language_asked_for(tmp_path: Path) -> None:
    result = call("check", "--seconds", "1", "--lang", "en", "--config", written(tmp_path))
    assert result.returncode == 3, result.stderr
    assert "unknown" in result.stdout


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("number", "state"),
    [(signal.SIGTERM, "stopping"), (signal.SIGINT, "stopping"), (signal.SIGHUP, "restarting")],
)
def test_run_pushes_beats_and_stops_whole_in_time(
    tmp_path: Path, collector: CollectorDouble, number: signal.Signals, state: str
) -> None:
    def answered(push: Push) -> Reply:
        if push.path == "/api/v1/heartbeat":
            return Reply(200, body=b'{"heartbeat_seconds": 1}')
        return Reply()

    collector.answer = answered
    file = written(tmp_path, collector.url)
    process = subprocess.Popen([*AGENT, "run", "--config", str(file)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not collector.kept and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    asked = time.monotonic()
    process.send_signal(number)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 0, log
    assert time.monotonic() - asked < 5
    assert any(line.startswith("agent ") for line in collector.lines()), log
    beats = [msgspec.json.decode(p.body) for p in collector.pushes if p.path == "/api/v1/heartbeat"]
    assert [beat["state"] for beat in beats][-1] == state
    assert set(beats[0]) == {
        "boot_id",
        "wall_ns",
        "monotonic_ns",
        "uptime_seconds",
        "version",
        "state",
        "config",
        "software",
    }
    assert CANARY not in log


def test_two_agents_on_one_spool_is_one_line(tmp_path: Path, collector: CollectorDouble) -> None:
    file = written(tmp_path, collector.url)
    first = subprocess.Popen([*AGENT, "run", "--config", str(file)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not collector.pushes and time.monotonic() < deadline:
        time.sleep(0.05)
    second = call("run", "--config", file)
    first.terminate()
    assert first.wait(10) == 0
    assert second.returncode == 2
    assert second.stderr.endswith("cannot be used: database is locked; another agent uses it\n")
