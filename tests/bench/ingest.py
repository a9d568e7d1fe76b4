"""Prints how fast points go in: medians of the rounds of each stage, for lines of five fields.

Run: ``python -m tests.bench.ingest [rounds]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from collector.batch import Batch, encode_batch
from collector.ingest.intake import Intake, Window
from collector.ingest.journal import Journal
from collector.ingest.line_protocol import read_lines
from collector.registry.registry import AgentIdentity
from collector.store.embedded import EmbeddedStore
from collector.store.upkeep import Retention
from config.measurements import Declared, schema
from tests.collector.running import running, settings_in

POINTS = 20_000
START_NS = time.time_ns() - 3600 * 10**9
DAY = 86400


def body(first: int, points: int) -> str:
    """Lines of five fields of eight interfaces."""
    return "\n".join(
        f"interface,interface=eth{n % 8},role=line rx_bytes={n * 1000}i,tx_bytes={n * 777}i,rx_packets={n}i,"
        f"rx_bits_per_second_max={n * 8.5},rx_bits_per_second_sum={n * 3.25} {START_NS + n * 10**5}"
        for n in range(first, first + points)
    )


def stages(folder: Path) -> Iterator[tuple[str, Callable[[int], object]]]:
    """Each stage takes its points and no more; the number is the round."""
    texts = [body(n * POINTS, POINTS) for n in range(20)]
    intake = Intake(Declared(schema()), 5000)
    identity = AgentIdentity("a1", "s1")
    window = Window(0, 2**62)

    def batch(n: int) -> Batch:
        return intake.batch(
            texts[n].encode(), identity, precision="ns", others=False, received_ns=START_NS, moved_ns=0,
            window=window
        )[0]  # fmt: skip

    batches = [batch(n) for n in range(len(texts))]
    bodies = [encode_batch(each) for each in batches]
    journal = Journal(folder / "journal", max_bytes=2**30, segment_bytes=2**24, reserve_bytes=0)
    store = EmbeddedStore(folder / "points.db", retention=Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY))
    yield "read lines", lambda n: sum(1 for _ in read_lines(texts[n]))
    yield "read, check, make a batch", batch
    yield "journal, synced", lambda n: journal.append(None, bodies[n]).result()
    yield "write to the store, synced", lambda n: store.write([batches[n]])
    with running(settings_in(folder / "whole")) as collector:

        def whole(n: int) -> None:
            collector.push(texts[n], n)
            collector.settle()

        yield "push to store over HTTP", whole
    journal.close()
    store.close()


def main(rounds: int = 5) -> None:
    """Print a line for each stage."""
    with tempfile.TemporaryDirectory() as folder:
        for name, stage in stages(Path(folder)):
            seconds = []
            for n in range(rounds):
                begin = time.perf_counter()
                stage(n)
                seconds.append(time.perf_counter() - begin)
            print(f"{name:30} {POINTS / statistics.median(seconds):12,.0f} points/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
