"""How busy the host of one end was: the busiest core, or this process held back by its control group."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

CORE_COLUMNS_IDLE = (3, 4)
"""idle and iowait of a «cpuN» line in /proc/stat (proc(5)); steal is busy: it is not ours to use."""
THROTTLED_SHARE = 0.05
"""Held back by its control group for more than this part of the time, a process has all it may have."""


def parse_cores(text: str) -> dict[str, tuple[int, int]]:
    """Text of /proc/stat → (busy, total) ticks by core."""
    cores = {}
    for line in text.splitlines():
        name, *columns = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(column) for column in columns[:8]]
            idle = sum(ticks[column] for column in CORE_COLUMNS_IDLE)
            cores[name] = (sum(ticks) - idle, sum(ticks))
    return cores


def busiest_share(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> float | None:
    """The busiest core's busy part of the time between two readings; None when no tick has passed."""
    shares = [
        (after[core][0] - busy) / (after[core][1] - total)
        for core, (busy, total) in before.items()
        if core in after and after[core][1] > total
    ]
    return max(0.0, min(1.0, max(shares))) if shares else None


def parse_throttled(text: str) -> float:
    """Text of a control group's cpu.stat → seconds for which it was held back (cgroup v2, or v1 in ns)."""
    values = dict(line.split()[:2] for line in text.splitlines() if len(line.split()) >= 2)
    if "throttled_usec" in values:
        return int(values["throttled_usec"]) / 1e6
    return int(values.get("throttled_time", 0)) / 1e9


def cpu_groups(text: str) -> list[str]:
    """Text of /proc/self/cgroup → folders below /sys/fs/cgroup that can hold it back, parents too."""
    folders = []
    for line in text.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        roots = ("", "unified") if hierarchy == "0" else ("cpu",) if "cpu" in controllers.split(",") else ()
        parts = [part for part in path.split("/") if part]
        folders += [
            "/".join((root, *parts[:depth])).strip("/")
            for root in roots
            for depth in range(len(parts), 0, -1)
        ]
    return folders


class CpuMeter:
    """The busiest share of this host from when it was made until asked."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc = proc
        self._sys = sys
        self._at = time.monotonic()
        self._cores = self._read_cores()
        self._throttled = self._read_throttled()

    def share(self) -> float | None:
        """0 to 1; also 1 when our control group held us back; None when it cannot be read."""
        seconds = time.monotonic() - self._at
        if self._read_throttled() - self._throttled > THROTTLED_SHARE * seconds > 0:
            return 1.0
        return busiest_share(self._cores, self._read_cores())

    def _read_cores(self) -> dict[str, tuple[int, int]]:
        try:
            return parse_cores((self._proc / "stat").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return {}

    def _read_throttled(self) -> float:
        try:
            groups = cpu_groups((self._proc / "self/cgroup").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0.0
        return max((self._throttled_of(group) for group in groups), default=0.0)

    def _throttled_of(self, group: str) -> float:
        try:
            text = (self._sys / "fs/cgroup" / group / "cpu.stat").read_text(encoding="ascii")
            return parse_throttled(text)
        except (OSError, ValueError):
            return 0.0
