"""Tells systemd that the service is ready, and that it lives: sd_notify(3), sd_watchdog_enabled(3).

Loops promise to come round again. Who feeds the watchdog looks at their promises first, so a loop that hangs
ends the process though a timer would have gone on.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
FEEDS_PER_PERIOD = 3


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send one message of sd_notify(3) to who started us. False when nobody there wants to hear."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(address)
            out.send(state.encode())
    except OSError as error:
        log.warning("service manager not told state=%s error=%s", state, error)
        return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Within which a sign of life is wanted of this process; None when nobody waits for one."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) > 0 else None


class Promises:
    """Who said to be back within what time. Safe between threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}

    def back_within(self, name: str, seconds: float = 0.0) -> None:
        """``name`` goes on, and will say so again within ``seconds`` and the grace of ``late``."""
        with self._lock:
            self._due[name] = self._monotonic() + seconds

    def put_off(self, name: str, seconds: float) -> None:
        """``name`` is seen to be away for so long; one that never promised still promises nothing."""
        with self._lock:
            if name in self._due:
                self._due[name] = self._monotonic() + seconds

    def late(self, grace_seconds: float) -> list[str]:
        """Those who should have been back ``grace_seconds`` ago."""
        now = self._monotonic()
        with self._lock:
            return sorted(name for name, due in self._due.items() if now > due + grace_seconds)


class Watchdog:
    """Feeds systemd's watchdog while every promise is kept. Its period is also the grace of a promise."""

    def __init__(self, promises: Promises, period_seconds: float | None) -> None:
        self._promises = promises
        self._period = period_seconds
        self.every_seconds = period_seconds / FEEDS_PER_PERIOD if period_seconds else None
        """How often ``feed`` wants to be called; None when nobody waits for it."""

    def feed(self) -> bool:
        """One sign of life, unless a loop hangs: then none, and the log says which."""
        late = self._promises.late(self._period or 0.0)
        if late:
            log.critical("watchdog not fed, threads hang names=%s", ",".join(late))
            return False
        return notify(ALIVE)
