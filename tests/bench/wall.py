"""Prints what Chromium holds of a wall that is refreshed in place again and again; fails if it grows.

Run: ``python -m tests.bench.wall [refreshes]``; 2,000 is the default. A wall with something new every five
minutes has been refreshed 2,016 times after a week.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.collector.web.browser import Browser
from tests.collector.web.wall import grows, refreshed
from tests.collector.web.whole import hostile_site

ROUNDS = 10
SCHOOLS = 30


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
    assert not grows(found[0], found[-1]), "the wall grows"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
