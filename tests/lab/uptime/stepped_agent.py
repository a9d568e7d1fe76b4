"""Runs the agent on a wall clock that is off by the seconds in a file: ``stepped_agent.py FILE run …``.

Network namespaces have no wall clock of their own, so the process is given one; its monotonic clock is true.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_true_time_ns = time.time_ns


def step(file: Path) -> None:
    """From now on this process's wall clock is off by what the file holds."""
    time.time_ns = lambda: _true_time_ns() + round(float(file.read_text() or 0) * 1e9)


if __name__ == "__main__":
    step(Path(sys.argv.pop(1)))
    from agent.main import main

    main()
