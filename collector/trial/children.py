"""The processes that a trial runs, and their bounded logs."""

from __future__ import annotations

import logging
import logging.handlers
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

LOG_BYTES = 1024 * 1024
LOG_TAIL_LINES = 10
STOP_SECONDS = 4.0
_ENDS_WITH_US = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG (prctl(2)) outlives exec: a child is told to stop even when we are killed."""


class Child:
    """One process beside us; what it says goes to a log file that never exceeds ``LOG_BYTES``."""

    def __init__(self, name: str, command: Sequence[str], log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._tail: deque[str] = deque(maxlen=LOG_TAIL_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _ENDS_WITH_US, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches us alone, so that we decide the order in which all stop
        )
        self._reader = threading.Thread(target=self._keep_log, name=f"log of {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_lines(self) -> list[str]:
        """The end of its log, once it has ended."""
        self._reader.join(timeout=1.0)
        return list(self._tail)

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process.poll() is None:
            self._process.terminate()

    def reap(self, deadline: float) -> None:
        """Wait until ``deadline`` (time.monotonic()), then kill it."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=1.0)

    def _keep_log(self) -> None:
        log = logging.handlers.RotatingFileHandler(self.log_file, maxBytes=LOG_BYTES, backupCount=1)
        log.setFormatter(logging.Formatter("%(message)s"))
        try:
            for line in _lines(self._process.stdout):
                self._tail.append(line)
                log.handle(logging.makeLogRecord({"msg": line}))
        finally:
            log.close()
            if self._process.stdout is not None:
                self._process.stdout.close()


class Children:
    """The processes of a trial, stopped together when the block ends."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], log_file: Path) -> Child:
        """Start one more."""
        child = Child(name, command, log_file)
        self._children.append(child)
        return child

    def dead(self) -> Child | None:
        """The first that has ended, None while all run."""
        return next((child for child in self._children if child.exit_status() is not None), None)

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stop(self._children)


def _stop(children: Iterable[Child]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        child.terminate()
    for child in children:
        child.reap(deadline)


def _lines(stream: IO[bytes] | None) -> Iterable[str]:
    """Decoded lines, none longer than 64 KiB."""
    while stream is not None and (line := stream.readline(65536)):
        yield line.decode("utf-8", "replace").rstrip("\n")
