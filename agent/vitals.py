"""The agent's own ``agent`` point: what it uses, what waits, what was lost."""

from __future__ import annotations

from pathlib import Path

import psutil

import agent
from agent.heartbeat import host_uptime_seconds
from agent.spool import Spool
from config.clock import Clock
from config.points import FieldValue, Point

SELF_IO = Path("/proc/self/io")


class Vitals:
    """Reads the agent's own state."""

    def __init__(
        self, spool: Spool, clock: Clock, proc: Path, boot_id: str = "", stands_on: str = "gateway"
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._proc = proc
        self._about: dict[str, FieldValue] = {"stands_on": stands_on}
        if boot_id:
            self._about["boot_id"] = boot_id
        self._process = psutil.Process()
        self._started_ns = clock.monotonic_ns()

    def point(self, ending: str = "") -> Point:
        """The state now; ``ending`` in the last one of an agent that was told to end («restarting»)."""
        spool = self._spool.state()
        cpu = self._process.cpu_times()
        fields: dict[str, FieldValue] = {
            "version": agent.__version__,
            "uptime_seconds": (self._clock.monotonic_ns() - self._started_ns) / 1e9,
            "resident_bytes": self._process.memory_info().rss,
            "cpu_seconds": cpu.user + cpu.system,
            "spool_batches": spool.batches,
            "spool_bytes": spool.bytes,
            "spool_dropped_points": spool.dropped_points,
            "spool_damaged": spool.damaged,
            "host_uptime_seconds": host_uptime_seconds(self._proc),
        }
        fields |= self._about
        if ending:
            fields["ending"] = ending
        written = bytes_written()
        if written is not None:
            fields["bytes_written"] = written
        return Point("agent", {}, fields, self._clock.wall_ns())


def bytes_written(path: Path = SELF_IO) -> int | None:
    """Bytes this process had written to storage (``write_bytes`` of proc(5)); None where it is not told."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.partition(":")[2] for line in lines if line.startswith("write_bytes:")]
    return int(found[0]) if found else None
