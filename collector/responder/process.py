"""The responder in a process of its own, so that tests never hold up ingest: ended with its parent, started
again when it ends before.
"""

from __future__ import annotations

import contextlib
import logging
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.capacity import tcp
from collector.responder.denied import Denied
from collector.responder.settings import ResponderSettings, sent
from collector.responder.ticket import CLOCK_SLACK_SECONDS, KEY_FILE, load_key

READY_SECONDS = 15.0
STOP_SECONDS = 3.0
FIRST_PAUSE_SECONDS = CLOCK_SLACK_SECONDS
"""Before it is started again: the new one then takes no ticket that the one before may have served."""
LONGEST_PAUSE_SECONDS = 60.0
"""The pause doubles up to that; after a run longer than that it is the first again."""
AWAY_SECONDS = 10
"""How soon to ask again while it is away."""
REPORT = re.compile(r"test ([0-9a-f]{32}) (?:begins|moved ([0-9]{1,18}))")
"""A line of its standard output about one test."""
_COMMAND = (sys.executable, "-c", "from collector.main import main; main()", "respond")

log = logging.getLogger(__name__)


class ResponderFailed(OSError):
    """The responder did not start; the text is its one line of why."""


class ResponderProcess:
    """Runs ``xiaotong-collector respond``; it ends when its standard input closes, also when we die."""

    def __init__(
        self,
        settings: ResponderSettings,
        data_directory: Path,
        report: Callable[[str, int | None], None] = lambda _test_id, _moved_bytes: None,
    ) -> None:
        """``report`` is called from a thread of its own: a test's id, and its bytes once it is over."""
        self._settings = settings
        self._key_directory = data_directory
        self._report = report
        self._child: subprocess.Popen[bytes] | None = None
        self._listening = False
        self._failure = ""
        self._lacking = ""
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="responder's watcher", daemon=True)

    def start(self) -> int:
        """Start it and wait until it listens; its port, which it keeps. Raises ResponderFailed.

        On a kernel that can serve no test it stays away: all else of the collector works there.
        """
        self._lacking = _lacking()
        if self._lacking:
            log.error("the responder cannot serve: %s", self._lacking)
            return self._settings.port
        load_key(self._key_directory / KEY_FILE)  # made here, so that both processes have the same
        port = self._launch()
        self._settings = msgspec.structs.replace(self._settings, port=port)
        self._watcher.start()
        return port

    @property
    def listening(self) -> bool:
        """Whether a test finds it."""
        return self._listening

    def away(self) -> Denied | None:
        """Why it gets no ticket now; None while a test finds it."""
        if self._lacking:
            return Denied(409, f"the responder cannot serve: {self._lacking}")
        if not self._listening:
            return Denied(503, "the responder is not listening; it is being started again", AWAY_SECONDS)
        return None

    def stop(self) -> None:
        """End it and its tests."""
        with self._starting:
            self._stopping.set()
        if self._child is None or not self._watcher.is_alive():
            return
        _let_end(self._child)
        self._watcher.join(STOP_SECONDS)
        self._child.kill()
        self._watcher.join()

    def _launch(self) -> int:
        child = self._begun()
        line = _first_line(child)
        if not line.startswith("listening "):
            _ended(child)
            raise ResponderFailed(line.removeprefix("error: ") or "the responder did not start")
        self._listening, self._failure = True, ""
        log.info("responder started pid=%d %s", child.pid, line)
        return int(line.rpartition("port=")[2])

    def _begun(self) -> subprocess.Popen[bytes]:
        """A new child, which has its settings; none once we are told to stop."""
        with self._starting:
            if self._stopping.is_set():
                raise ResponderFailed("the collector stops")
            child = self._child = subprocess.Popen(
                (*_COMMAND, "--settings-from-stdin", "--data-directory", str(self._key_directory)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C reaches the parent alone
            )
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # its first line says why
                child.stdin.write(sent(self._settings) + b"\n")
                child.stdin.flush()
        return child

    def _watch(self) -> None:
        """Hear it until it ends, and start it again, until we are told to stop."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            self._hear_out()
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if not self._stopping.wait(pause):
                self._launch_again()
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _hear_out(self) -> None:
        """Hear its reports, and pass its log on, until it ends."""
        if not self._listening:
            return  # it did not start
        assert self._child is not None
        assert self._child.stdout is not None
        for raw in self._child.stdout:
            self._hear(raw.decode("utf-8", "replace").rstrip())
        self._listening = False
        status = _ended(self._child)
        if not self._stopping.is_set():
            log.warning("responder ended status=%d; it gets no tickets until it listens again", status)

    def _hear(self, line: str) -> None:
        found = REPORT.fullmatch(line)
        if found is None:
            log.info("responder says %s", line)
            return
        try:
            self._report(found[1], int(found[2]) if found[2] else None)
        except Exception:  # who hears nothing more would not hear it end either
            log.exception("a report of the responder is lost line=%s", line)

    def _launch_again(self) -> None:
        """Each reason why it does not start is said once."""
        try:
            self._launch()
        except OSError as error:
            if str(error) != self._failure and not self._stopping.is_set():
                log.warning("responder does not start again error=%s", error)
            self._failure = str(error)


def _lacking() -> str:
    """What the kernel lacks that every test needs; empty where it has all."""
    try:
        with socket.socket() as sock:
            tcp.tcp_info(sock)
    except tcp.TooOldError as error:
        return str(error.strerror)
    return ""


def _first_line(child: subprocess.Popen[bytes]) -> str:
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], READY_SECONDS)[0]:
        return ""
    return child.stdout.readline().decode("utf-8", "replace").strip()


def _let_end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    with contextlib.suppress(OSError):  # it ended, and left what was written unread
        child.stdin.close()


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Its exit status, once it has ended, or was made to."""
    assert child.stdout is not None
    _let_end(child)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
    child.stdout.close()
    return child.wait()
