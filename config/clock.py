"""The two clocks of a host, and who booted it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Both clocks: the wall clock dates a point, the monotonic one measures every interval."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC; may step."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed past, suspend included; never steps (CLOCK_BOOTTIME)."""
        ...


class SystemClock:
    """The clocks of this host."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id(proc: Path = Path("/proc")) -> str:
    """The kernel's random id of this boot (36 characters), the same until the next one."""
    return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
