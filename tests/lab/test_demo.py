"""``make demo``: recorded for everybody, live as root; marked as what it is, and gone when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.lab import recorded
from tests.lab.netns import NAMES, PREFIX

ROOT = Path(__file__).parent.parent.parent
PORT = 18477
SCHOOLS = 6


def test_the_recording_is_of_six_schools_and_long_enough_to_see_them() -> None:
    recording = recorded.load()
    assert len(recording.schools) == SCHOOLS
    assert {school for school, _ in recording.points} == {school.id for school in recording.schools}
    assert recording.length_ns > 60e9


def test_the_recorded_county_is_shown_and_marked_on_every_page() -> None:
    with _demo("--recorded"):
        page = _get_within("/", 40)
        assert recorded.NOTICE in page
        assert recorded.NOTICE in _get_within("/schools/s1", 5)
        assert _answer_within("s3", "egress_all_2018", "not_met", 30)
        assert _answer_within("s1", "egress_all_2018", "met", 30)
        assert _answer_within("s5", "egress_all_2018", "unknown", 5)


def test_a_port_in_use_is_one_line() -> None:
    with _demo("--recorded"):
        _get_within("/health", 40)
        second = subprocess.run(
            _command("--recorded"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    assert second.returncode == 2
    assert second.stdout.count("\n") <= 2
    assert str(PORT) in second.stdout


@pytest.mark.lab
@pytest.mark.needs_root
def test_the_live_county_is_shown_on_loopback_and_leaves_nothing() -> None:
    lab = f"d{os.getpid() % 1000}"
    with _demo("--lab", lab):
        assert recorded.NOTICE not in _get_within("/", 60)
        schools = json.loads(_get_within("/api/v1/schools", 5))
        assert len(schools["schools"]) == SCHOOLS
        assert _answer_within("s3", "egress_all_2018", "not_met", 60)
        assert list(NAMES.glob(f"{PREFIX}-{lab}-*"))
    assert list(NAMES.glob(f"{PREFIX}-{lab}-*")) == []


def _command(*options: str) -> list[str]:
    return [sys.executable, "-m", "tests.lab", "demo", "--port", str(PORT), *options]


@contextmanager
def _demo(*options: str) -> Iterator[None]:
    process = subprocess.Popen(_command(*options), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _answer_within(school: str, target: str, answer: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        verdicts = json.loads(_get_within(f"/api/v1/schools/{school}/verdicts", 10))["verdicts"]
        if any(each["target"] == target and each["verdict"] == answer for each in verdicts):
            return True
        time.sleep(0.5)
    return False


def _get_within(path: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except (URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
