"""The responder in a process of its own, so that tests never hold up ingest, ended with its parent."""

from __future__ import annotations

import logging
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from collector.responder.settings import ResponderSettings, sent
from collector.responder.ticket import KEY_FILE, load_key

READY_SECONDS = 15.0
STOP_SECONDS = 3.0
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
        self._listener: threading.Thread | None = None

    def start(self) -> int:
        """Start it and wait until it listens; its port. Raises ResponderFailed."""
        load_key(self._key_directory / KEY_FILE)  # made here, so that both processes have the same
        self._child = subprocess.Popen(
            (*_COMMAND, "--settings-from-stdin", "--data-directory", str(self._key_directory)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches the parent alone
        )
        assert self._child.stdin is not None
        self._child.stdin.write(sent(self._settings) + b"\n")
        self._child.stdin.flush()
        line = self._first_line()
        if not line.startswith("listening "):
            self.stop()
            raise ResponderFailed(line.removeprefix("error: ") or "the responder did not start")
        self._listener = threading.Thread(target=self._listen, name="responder's reports", daemon=True)
        self._listener.start()
        log.info("responder started pid=%d %s", self._child.pid, line)
        return int(line.rpartition("port=")[2])

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    def stop(self) -> None:
        """End it and its tests."""
        if self._child is None:
            return
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._listener is not None:
            self._listener.join()
        self._child.stdout.close()

    def _listen(self) -> None:
        """Hear its reports, and pass its log on, until it ends."""
        assert self._child is not None
        assert self._child.stdout is not None
        for raw in self._child.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            found = REPORT.fullmatch(line)
            if found is None:
                log.info("responder says %s", line)
            else:
                self._report(found[1], int(found[2]) if found[2] else None)

    def _first_line(self) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], READY_SECONDS)[0]:
            return ""
        return self._child.stdout.readline().decode("utf-8", "replace").strip()
