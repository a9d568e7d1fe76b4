"""What the collector tells Prometheus, and whom it tells."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.collector.running import running, settings_in

SAMPLE = re.compile(r'([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})? (-?[0-9.e+-]+|inf)')


def samples(text: str) -> dict[str, float]:
    """Every sample, its labels in its name; each line is read strictly."""
    found = {}
    for line in text.splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[match[1] + (match[2] or "")] = float(match[3])
    return found


def test_what_came_in_is_counted(tmp_path: Path) -> None:
    with running(settings_in(tmp_path)) as collector:
        now = time.time_ns()
        assert collector.push(f"ping,target=a,family=ipv4 sent=1i {now}\nping sent=1.5", 1).status == 204
        collector.settle()
        answered = collector.request("GET", "/metrics", agent=None)
        assert answered.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = samples(answered.body.decode())
        assert found["xiaotong_ingest_points_total"] == 1
        assert found['xiaotong_set_aside_points_total{reason="misfit"}'] == 1
        assert found["xiaotong_journal_waiting_bytes"] == 0
        assert found["xiaotong_store_writes_total"] == 1
        assert found["xiaotong_store_write_seconds_total"] > 0
        assert found['xiaotong_agent_series{agent="a1"}'] == 2
        assert found['xiaotong_agent_silent_seconds{agent="a1",school="s1"}'] < 60


def test_metrics_are_for_this_host_unless_the_settings_say_else(tmp_path: Path) -> None:
    passed_on = {"X-Forwarded-For": "192.0.2.1"}
    for who, status in (("loopback", 403), ("anyone", 200), ("off", 404)):
        with running(settings_in(tmp_path / who, listen={"metrics": who})) as collector:
            assert collector.request("GET", "/metrics", agent=None, headers=passed_on).status == status
