"""Keeps the verdicts up to date as time passes, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

TICK_SECONDS = 10.0
REST = 3.0
"""A round is followed by a pause of at least so many times the processor's time that it took: with more
schools than a machine carries at the usual pace rounds come later, and what comes in is still taken.
"""


class Ticker:
    """Calls each of ``tasks`` every ``every_seconds``, less often where they take long. One that fails is
    told in the log and called again.
    """

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
            began = time.thread_time()
            for task in self._tasks:
                try:
                    task()
                except Exception:
                    log.exception("verdicts fell behind task=%s", getattr(task, "__qualname__", task))
            if self._stop.wait(max(self._every_seconds, REST * (time.thread_time() - began))):
                return
