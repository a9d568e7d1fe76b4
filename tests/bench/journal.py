"""Prints how soon a collector has its journal again when it holds 1 GB that no store took.

Run: ``python -m tests.bench.journal``. 500,000 batches of 2 kB of 300 agents; then again without the saved
sequence numbers, when every segment must be read.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from collector.ingest.journal import Journal
from collector.ingest.sequences import BatchKey

BATCHES = 500_000
AGENTS = 300
AT_ONCE = 2000


def opened(folder: Path) -> Journal:
    return Journal(folder, max_bytes=2**31, segment_bytes=2**24, reserve_bytes=0)


def fill(journal: Journal) -> None:
    body = os.urandom(2000)
    for first in range(0, BATCHES, AT_ONCE):
        keys = (BatchKey(f"a{n % AGENTS}", "spool", n // AGENTS) for n in range(first, first + AT_ONCE))
        for done in [journal.append(key, body) for key in keys]:
            done.result()


def measure(folder: Path, words: str) -> None:
    begin = time.perf_counter()
    journal = opened(folder)
    seconds = time.perf_counter() - begin
    print(f"{words:40} {journal.waiting_bytes() / 1e9:.2f} GB ready after {seconds:.2f} s")
    journal.close()


def main() -> None:
    """Print a line for each case."""
    with tempfile.TemporaryDirectory() as inside:
        folder = Path(inside) / "journal"
        journal = opened(folder)
        fill(journal)
        journal.close()
        measure(folder, "as it was left")
        (folder / "seen").unlink()
        measure(folder, "without the saved sequence numbers")


if __name__ == "__main__":
    main()
