"""Keeps the verdicts up to date as time passes, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

TICK_SECONDS = 10.0


class Ticker:
    """Calls each of ``tasks`` every ``every_seconds``. One that fails is told in the log and called again."""

    def __init__(self, tasks: Sequence[Callable[[], object]], every_seconds: float = TICK_SECONDS) -> None:
        self._tasks = tasks
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="verdicts", daemon=True)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the task at hand. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            for task in self._tasks:
                try:
                    task()
                except Exception:
                    log.exception("verdicts fell behind task=%s", getattr(task, "__qualname__", task))
            if self._stop.wait(self._every_seconds):
                return
