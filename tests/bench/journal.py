"""Prints how soon a collector has its journal again when it holds 1 GB that no store took.

Run: ``python -m tests.bench.journal``. 540,000 batches of 2 kB of 300 agents; then a whole collector, a
process from its start until it answers, the second time after it was killed; then the journal without the
saved sequence numbers, when every segment must be read.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collector.batch import Row, Series, batch_of, encode_batch
from collector.ingest.journal import Journal
from collector.ingest.sequences import BatchKey
from tests.collector.running import wait_until
from tests.collector.store.influxd import answers, free_port

BATCHES = 540_000
AGENTS = 300
AT_ONCE = 2000


def opened(folder: Path) -> Journal:
    return Journal(folder, max_bytes=2**31, segment_bytes=2**24, reserve_bytes=0)


def fill(journal: Journal) -> None:
    rows: list[Row] = [(0, time.time_ns() + n, {"sent": n, "lost": 0}) for n in range(160)]
    body = encode_batch(batch_of("s1", "a1", 0, [Series("ping", {"school": "s1", "agent": "a1"})], rows))
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


def measure_collector(folder: Path, words: str) -> None:
    """Ended by SIGKILL: the next one finds it as a crash leaves it."""
    port = free_port()
    file = folder / "collector.yaml"
    file.write_text(
        f"data_directory: {folder}\nlisten: {{port: {port}}}\njournal: {{max_bytes: 2GiB}}\n"
        "responder: {enabled: false}\n"
    )
    command = [
        sys.executable,
        "-c",
        "from collector.main import main; main()",
        "serve",
        "--config",
        str(file),
    ]
    begin = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port, "/health"), 120)
            seconds = time.perf_counter() - begin
            left = sum(path.stat().st_size for path in (folder / "journal").glob("*.journal"))
            print(f"{words:40} {left / 1e9:.2f} GB answers after {seconds:.2f} s")
        finally:
            process.kill()


def main() -> None:
    """Print a line for each case."""
    with tempfile.TemporaryDirectory() as inside:
        folder = Path(inside) / "journal"
        journal = opened(folder)
        fill(journal)
        journal.close()
        measure(folder, "as it was left")
        measure_collector(Path(inside), "a whole collector")
        measure_collector(Path(inside), "a whole collector, after kill -9")
        (folder / "seen").unlink()
        measure(folder, "without the saved sequence numbers")


if __name__ == "__main__":
    main()
