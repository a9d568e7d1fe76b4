"""Tells the collector that the agent lives, and when it is about to be away on purpose."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

import agent
from agent.credentials import INVITED_AGAIN
from agent.link import Link, LinkError
from agent.settings import HeartbeatSettings
from config.clock import Clock

log = logging.getLogger(__name__)

HEARTBEAT_PATH = "/api/v1/heartbeat"
REFUSED = frozenset({401, 403})

State = Literal["running", "restarting", "stopping"]


class Order(msgspec.Struct, frozen=True):
    """The version that the county wants here, and by which order. ``leave``: any but that one; ``urgent``: at
    once, in lessons too.
    """

    id: str
    version: str
    leave: bool = False
    urgent: bool = False


class Told(msgspec.Struct, frozen=True):
    """What the collector answers: the next beat, the revision of the county's configuration for this agent,
    whether it wants the token replaced, and the version it wants.
    """

    heartbeat_seconds: float
    config: str = ""
    rotate: bool = False
    upgrade: Order | None = None


Said = Mapping[str, str]


class Heartbeat:
    """Beats at the interval the collector asks for. Failures are quiet: the collector sees the silence."""

    def __init__(
        self,
        *,
        link: Link,
        settings: HeartbeatSettings,
        clock: Clock,
        boot_id: str,
        stop: threading.Event,
        proc: Path = Path("/proc"),
        said: Callable[[], Said | None] = lambda: None,
        software: Callable[[], Said | None] = lambda: None,
        on_told: Callable[[Told], None] = lambda _told: None,
    ) -> None:
        """``said`` is what is told of the county's configuration, ``software`` of its order to upgrade;
        ``on_told`` hears the answers, and must not wait for anything.
        """
        self._link = link
        self._settings = settings
        self._clock = clock
        self._boot_id = boot_id
        self._stop = stop
        self._proc = proc
        self._said = said
        self._software = software
        self._on_told = on_told
        self._every = float(settings.every)

    def run(self) -> None:
        """Beat until the agent stops."""
        while not self._stop.is_set():
            self._stop.wait(self.beat("running"))
        self._link.close()

    def last(self, state: State) -> None:
        """Send one and close the connection."""
        self.beat(state)
        self._link.close()

    def beat(self, state: State) -> float:
        """Send one; returns the seconds until the next."""
        body = {
            "boot_id": self._boot_id,
            "wall_ns": self._clock.wall_ns(),
            "monotonic_ns": self._clock.monotonic_ns(),
            "uptime_seconds": host_uptime_seconds(self._proc),
            "version": agent.__version__,
            "state": state,
            "config": self._said(),
            "software": self._software(),
        }
        try:
            answer = self._link.post(
                HEARTBEAT_PATH, msgspec.json.encode(body), {"Content-Type": "application/json"}
            )
            if answer.status == 200:
                self._hear(msgspec.json.decode(answer.body, type=Told))
            elif answer.status in REFUSED:
                log.error("heartbeat refused status=%d; %s", answer.status, INVITED_AGAIN)
                return max(self._every, float(self._settings.refused_pause))
        except (LinkError, msgspec.MsgspecError) as error:
            log.debug("heartbeat failed error=%s", error)
        return self._every

    def _hear(self, told: Told) -> None:
        self._every = min(max(told.heartbeat_seconds, self._settings.every_min), self._settings.every_max)
        self._on_told(told)


def host_uptime_seconds(proc: Path) -> float:
    """Seconds since the host booted (proc(5), /proc/uptime); 0.0 where the kernel does not say."""
    try:
        return float((proc / "uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
