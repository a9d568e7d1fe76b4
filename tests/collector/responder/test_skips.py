"""A gateway whose users fill the line skips its test and holds up nobody.

A real collector and, alone, a responder beyond a real line; an agent's probe at the gateway; users beside it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.registry import Registry
from collector.responder.ledger import Ledger
from config.school import Line, School
from tests.agent.capacity.in_namespace import Job
from tests.agent.capacity.shaped import ROOT, measured_in, python_in, two_ends

SCHOOL = School("s1", classes=1, lines=(Line(id="l1", interface="wan"),))
FAR_HOST, PORT, USERS = "10.99.0.2", 8080, 9009
SETTINGS = {"families": ["ipv4"], "busy_cpu": 1.0, "cpu_limit": 1.0, "tries": 2, "retry_pause": "100ms"}
RESPONDER = {
    "enabled": False, "search": "2s", "slots": {"in_lessons": True, "county_line": "20M", "share": 1.0},
    "ticket_valid": "600s",  # a slot that is not given back is held for longer than this test lasts
}  # fmt: skip


@contextmanager
def served(far: str, folder: Path) -> Iterator[tuple[Registry, str]]:
    """A collector there; its registry, and a token of the school."""
    file = folder / "collector.yaml"
    settings = {"data_directory": str(folder), "listen": {"host": FAR_HOST}, "responder": RESPONDER}
    file.write_text(json.dumps(settings))
    with (
        started(far, "serve", "--config", str(file)),
        started(far, "respond", "--data-directory", str(folder)),
        contextlib.closing(Registry.open(f"sqlite:///{folder}/registry.db")) as registry,
    ):
        registry.put_school(SCHOOL)
        yield registry, registry.add_agent("s1")


@contextmanager
def started(space: str, *words: str) -> Iterator[None]:
    """A command of the collector, from when it listens."""
    argv = python_in(space, "-c", "from collector.main import main; main()", *words)
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        assert any("port=" in line for line in process.stdout)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=15)


@contextmanager
def users(near: str, far: str, rate: int) -> Iterator[None]:
    """Terminals that take so much down the line."""
    traffic = ("-m", "tests.lab.traffic")
    outside = subprocess.Popen(python_in(far, *traffic, "serve", str(USERS)), cwd=ROOT)
    time.sleep(1)
    inside = subprocess.Popen(
        python_in(near, *traffic, "down", FAR_HOST, str(USERS), str(rate), "60"), cwd=ROOT
    )
    time.sleep(1)
    try:
        yield
    finally:
        for process in (inside, outside):
            process.kill()
            process.wait()


@pytest.mark.needs_root
@pytest.mark.needs("ethtool")
def test_a_full_line_is_a_skip_that_costs_nothing_and_holds_no_slot(tmp_path: Path) -> None:
    with two_ends() as (near, far), served(far, tmp_path) as (registry, token):
        ledger = Ledger(registry)
        ledger.order("s1", "l1", datetime.now(UTC), forced=False, tests=2)
        with users(near, far, 19_000_000):
            job = Job(f"http://{FAR_HOST}:{PORT}", SCHOOL, [SETTINGS], token=token)
            skipped, upward = measured_in(near, job)
        assert skipped.fields["stop_reason"] == "skipped"
        assert "the passive evidence decides" in str(skipped.fields["note"])
        assert (upward.tags["direction"], upward.fields["counts_for_line"]) == ("up", True)
        tests = ledger.tests_since("s1", datetime(2000, 1, 1, tzinfo=UTC))
        assert [(test.direction, test.bytes > 0) for test in tests] == [("down", False)] * 2 + [("up", True)]
        with ledger.deciding() as decision:
            assert decision.reserved(datetime.now(UTC)) == []
