"""Runs the agent on a wall clock that is off by the seconds in a file, and keeps a list of all it measured.

``stepped_agent.py CLOCK RECORDED run …``: network namespaces have no wall clock of their own, so the process
is given one; its monotonic clock is true. Each line that is handed to the spool stands in RECORDED beside the
true time, written before the spool has it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.spool import Spool

_true_time_ns = time.time_ns


def step(file: Path) -> None:
    """From now on this process's wall clock is off by what the file holds."""
    time.time_ns = lambda: _true_time_ns() + round(float(file.read_text() or 0) * 1e9)


def record(file: Path) -> None:
    """From now on each line that is handed to the spool is written down too."""
    from agent.spool import Spool  # noqa: PLC0415

    add = Spool.add

    def noted(spool: Spool, lines: Sequence[str]) -> None:
        with file.open("a", encoding="utf-8") as book:
            book.writelines(f"{_true_time_ns()} {line}\n" for line in lines)
        add(spool, lines)

    Spool.add = noted  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    step(Path(sys.argv.pop(1)))
    record(Path(sys.argv.pop(1)))
    from agent.main import main

    main()
