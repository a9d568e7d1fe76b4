"""Prints what Chromium holds of a wall that is refreshed in place again and again; fails if it grows.

Run: ``python -m tests.bench.wall [refreshes]``; 2,000 is the default. A wall with something new every five
minutes has been refreshed 2,016 times after a week.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.collector.web.browser import Browser
from tests.collector.web.wall import Held, refreshed
from tests.collector.web.whole import hostile_site

ROUNDS = 10
SCHOOLS = 30
MOST_GROWTH = 0.10
"""Of nodes and heap, against the first round: the county itself changes meanwhile."""


def main(refreshes: int = 2000) -> None:
    """Print a line a round; fails when nodes, listeners or the heap grow after the first round."""
    with (
        tempfile.TemporaryDirectory() as name,
        hostile_site(Path(name), SCHOOLS, "") as site,
        Browser() as browser,
        browser.tab(1920, 1080) as tab,
    ):
        tab.open(f"http://127.0.0.1:{site.port}/wall")
        found = []
        for held in refreshed(tab, ROUNDS, refreshes // ROUNDS):
            found.append(held)
            print(f"{held.refreshes:6} refreshes: {held.nodes} nodes, {held.listeners} listeners, "
                  f"heap {held.heap_bytes / 1e6:.2f} MB", flush=True)  # fmt: skip
    assert not _grows(found[0], found[-1]), "the wall grows"


def _grows(first: Held, last: Held) -> bool:
    return (
        last.nodes > first.nodes * (1 + MOST_GROWTH)
        or last.listeners > first.listeners
        or last.heap_bytes > first.heap_bytes * (1 + MOST_GROWTH)
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
