"""The collector away and back: the real agent and the real collector as processes, no gap and nothing twice.

``OUTAGE_SECONDS`` in the environment makes it last longer, two minutes say.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "5"))
PATIENCE_SECONDS = 60.0
PROGRAMS = Path(sys.executable).parent
SCHOOL = "{id: s, classes: 12, lines: [{id: wan}]}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class School:
    """One agent and its collector, each a program of its own on loopback."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._write(
            "collector.yaml",
            f"data_directory: {folder}/data\nlisten: {{port: {self.port}}}\n"
            "access: {anonymous: display}\n"
            "responder: {enabled: false}\nstore: {fold_every: 200ms}\n",
        )
        self._write(
            "agent.yaml",
            f"school: {SCHOOL}\n"
            f"collector: {{url: 'http://127.0.0.1:{self.port}', token_file: token}}\n"
            "spool: {flush: 1s, hold: 500ms}\npush: {backlog_pause: 50ms, backoff_max: 5s}\n"
            "probes: {interfaces: {window: 1s}}\n",
        )
        self._write("schools.yaml", f"schools: [{SCHOOL}]\n")
        self._collector_does("schools", "import", f"{folder}/schools.yaml")
        self._collector_does("agents", "add", "s", "--token-file", f"{folder}/token")

    @contextlib.contextmanager
    def collector(self, end_by: signal.Signals) -> Iterator[None]:
        with self._running("xiaotong-collector", "serve", "collector.yaml", end_by):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                    break
                assert time.monotonic() < deadline, (self._folder / "serve.log").read_text()
                time.sleep(0.05)
            yield

    def agent(self) -> contextlib.AbstractContextManager[None]:
        return self._running("xiaotong-agent", "run", "agent.yaml", signal.SIGTERM)

    def points(self) -> list[tuple[float, dict[str, Any]]]:
        """Every raw point of the loopback: its time in seconds, and its fields."""
        query = "measurement=interface&interface=lo&resolution=raw&fields=window_seconds,samples,rx_bytes"
        url = f"http://127.0.0.1:{self.port}/api/v1/schools/s/series?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["series"]
        return [
            (datetime.fromisoformat(point["at"]).timestamp(), point["fields"])
            for series in found
            for point in series["points"]
        ]

    def wait_for_a_point_after(self, moment: float) -> float:
        """Seconds until a point was stored that was measured after that moment."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE_SECONDS:
            if any(at > moment for at, _ in self.points()):
                return time.monotonic() - began
            time.sleep(0.1)
        raise AssertionError((self._folder / "run.log").read_text()[-2000:])

    def wait_until_whole(self) -> list[tuple[float, dict[str, Any]]]:
        """The points, once no batch of the outage is on its way any more: else those of the deadline."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        points = self.points()
        while gaps(points) and time.monotonic() < deadline:
            time.sleep(0.2)
            points = self.points()
        return points

    def _collector_does(self, *words: str) -> None:
        command = [str(PROGRAMS / "xiaotong-collector"), *words, "--config", f"{self._folder}/collector.yaml"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    @contextlib.contextmanager
    def _running(self, program: str, verb: str, settings: str, end_by: signal.Signals) -> Iterator[None]:
        environment = {key: value for key, value in os.environ.items() if key != "PORT"}
        with (self._folder / f"{verb}.log").open("ab") as log:
            command = [str(PROGRAMS / program), verb, "--config", f"{self._folder}/{settings}"]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            try:
                yield
            finally:
                process.send_signal(end_by)
                process.wait(20)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")


def gaps(points: list[tuple[float, dict[str, Any]]]) -> list[float]:
    """How far each window is from beginning where the one before ended, seconds, where it is a third of it:
    more is a gap, less is time told twice.
    """
    times = sorted(points)
    between = [
        (after[0] - before[0]) - after[1]["window_seconds"] for before, after in itertools.pairwise(times)
    ]
    return [seconds for seconds in between if abs(seconds) > 1 / 3]


@pytest.mark.fault(9)
@pytest.mark.fault(13)
@pytest.mark.parametrize("end_by", [signal.SIGTERM, signal.SIGKILL])
def test_a_collector_away_and_back_leaves_no_gap_and_nothing_twice(
    tmp_path: Path, end_by: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    school = School(tmp_path)
    with school.agent():
        with school.collector(end_by):
            school.wait_for_a_point_after(time.time())
        left = time.time()
        time.sleep(OUTAGE_SECONDS)
        with school.collector(signal.SIGTERM):
            back = time.time()
            waited = school.wait_for_a_point_after(back)
            points = school.wait_until_whole()
    times = [at for at, _ in points]
    covered = sum(fields["window_seconds"] for _, fields in points)
    told = (
        f"{end_by.name}: away {back - left:.1f} s, live again after {waited:.1f} s; "
        f"{len(points)} points at {len(set(times))} times; "
        f"from first to last {max(times) - min(times):.2f} s, windows cover {covered:.2f} s"
    )
    with capsys.disabled():
        print(f"\n{told}")
    assert gaps(points) == []
    assert len(times) == len(set(times))
    assert min(times) < left < back < max(times)
    during = [at for at in times if left < at < back]
    assert len(during) >= (back - left) * 0.8 - 2
