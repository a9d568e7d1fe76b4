"""systemd's protocols over a real socket, and hanging loops that are told from living ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.watchdog import READY, Promises, Watchdog, notify, watchdog_seconds
from tests.agent.test_commands import AGENT, written
from tests.collector.running import running, settings_in, wait_until

COLLECTOR = (sys.executable, "-c", "from collector.main import main; main()")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(25)
        yield listening


def environment(manager: socket.socket, period_seconds: float) -> dict[str, str]:
    micros = str(round(period_seconds * 1e6))
    return {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": micros}


def test_a_message_reaches_the_manager(manager: socket.socket) -> None:
    assert notify(READY, {"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(100) == b"READY=1"


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0xiaotong-test-watchdog")
        assert notify(READY, {"NOTIFY_SOCKET": "@xiaotong-test-watchdog"})
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/no/such/socket"])
def test_nobody_to_tell_is_no_error(address: str) -> None:
    assert not notify(READY, {"NOTIFY_SOCKET": address})


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "90000000"}, 90.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_period_is_the_managers(given: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(given) == seconds


def test_who_does_not_come_back_is_late_after_the_grace() -> None:
    now = [100.0]
    promises = Promises(lambda: now[0])
    promises.back_within("push", 3600)
    promises.back_within("spool")
    promises.put_off("metrics", 1)
    now[0] = 130.0
    assert promises.late(30) == []
    now[0] = 131.0
    assert promises.late(30) == ["spool"]
    promises.put_off("spool", 60)
    assert promises.late(30) == []
    now[0] = 3731.0
    assert promises.late(30) == ["push", "spool"]


def test_a_broken_promise_starves_the_watchdog(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    now = [0.0]
    promises = Promises(lambda: now[0])
    watchdog = Watchdog(promises, 60.0)
    assert watchdog.every_seconds == 20.0
    promises.back_within("consumer")
    assert watchdog.feed()
    assert manager.recv(100) == b"WATCHDOG=1"
    now[0] = 61.0
    assert not watchdog.feed()
    assert "threads hang names=consumer" in caplog.text


def test_the_agent_is_ready_lives_and_takes_its_leave(manager: socket.socket, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*AGENT, "run", "--config", str(written(tmp_path))],
        env=environment(manager, 3), stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    finally:
        process.kill()
    told = manager.recv(100)
    while told == b"WATCHDOG=1":
        told = manager.recv(100)
    assert told == b"STOPPING=1"


HANGING = """
import threading
from agent.main import main
from agent.service import Service
start = Service.start
def hang(self):
    holder = threading.Thread(target=self._spool._lock.acquire)
    holder.start()
    holder.join()
    self.promises.back_within("spool")
    start(self)
Service.start = hang
main()
"""


def test_an_agent_whose_threads_hang_is_left_to_the_manager(manager: socket.socket, tmp_path: Path) -> None:
    """The main thread goes on, the spool's lock is never given back: signs of life must end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, "run", "--config", str(written(tmp_path))],
        env=environment(manager, 1.5), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        assert manager.recv(100) == b"READY=1"
        for line in process.stderr:
            if "watchdog not fed" in line:
                break
        assert "names=push,spool" in line or "names=spool" in line
        process.send_signal(signal.SIGABRT)  # as systemd does
        dump = process.communicate(timeout=20)[1]
    finally:
        process.kill()
    assert "Fatal Python error: Aborted" in dump
    assert "agent/spool.py" in dump


def test_the_collector_is_ready_lives_and_takes_its_leave(manager: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text(f"data_directory: {tmp_path / 'data'}\nlisten: {{port: 0}}\n")
    process = subprocess.Popen(
        [*COLLECTOR, "serve", "--config", str(file)], env=environment(manager, 3), stderr=subprocess.PIPE
    )
    try:
        assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    finally:
        process.kill()
    told = manager.recv(100)
    while told == b"WATCHDOG=1":
        told = manager.recv(100)
    assert told == b"STOPPING=1"


def test_a_consumer_whose_store_hangs_breaks_its_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    with running(settings_in(tmp_path / "data")) as collector:
        promises, write = collector.rooms.promises, collector.rooms.store.write
        wait_until(lambda: collector.rooms.consumer.counts.batches == 0 and not promises.late(1.0))
        monkeypatch.setattr(
            collector.rooms.store, "write", lambda batches: (released.wait(30), write(batches))
        )
        try:
            point = f"ping,target=gateway,family=ipv4 sent=1i {time.time_ns()}"
            assert collector.push(point, 1).status == 204
            wait_until(lambda: promises.late(1.0) == ["consumer"], 20)
        finally:
            released.set()
        wait_until(lambda: not promises.late(1.0), 20)
