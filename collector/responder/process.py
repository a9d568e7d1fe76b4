"""The responder in a process of its own, so that tests never hold up ingest, ended with its parent."""

from __future__ import annotations

import logging
import select
import subprocess
import sys
from pathlib import Path

from collector.responder.settings import ResponderSettings, sent
from collector.responder.ticket import KEY_FILE, load_key

READY_SECONDS = 15.0
STOP_SECONDS = 3.0
_COMMAND = (sys.executable, "-c", "from collector.main import main; main()", "respond")

log = logging.getLogger(__name__)


class ResponderFailed(OSError):
    """The responder did not start; the text is its one line of why."""


class ResponderProcess:
    """Runs ``xiaotong-collector respond``; it ends when its standard input closes, also when we die."""

    def __init__(self, settings: ResponderSettings, data_directory: Path) -> None:
        self._settings = settings
        self._key_directory = data_directory
        self._child: subprocess.Popen[bytes] | None = None

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
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _first_line(self) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], READY_SECONDS)[0]:
            return ""
        return self._child.stdout.readline().decode("utf-8", "replace").strip()
