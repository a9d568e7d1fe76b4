"""Every engine that the contract suite runs over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from collector.settings import InfluxSettings
from collector.store.embedded import EmbeddedStore
from collector.store.influxdb import store as influx
from collector.store.influxdb.secret import Secret
from collector.store.influxdb.store import InfluxStore
from collector.store.interface import NS, Store
from collector.store.upkeep import COARSE_ROUNDS, Retention

DAY = 86400
START = time.time_ns() // (DAY * NS) * DAY * NS - 3 * DAY * NS
"""Midnight UTC three days ago: InfluxDB refuses points older than its retention."""
KEPT = Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
ROUNDS = 1 + max(COARSE_ROUNDS, influx.ROUNDS)


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[EmbeddedStore]:
    """The embedded engine."""
    store = EmbeddedStore(folder / "points.db", retention=KEPT, day_offset_seconds=8 * 3600)
    with contextlib.closing(store):
        yield store


@contextlib.contextmanager
def in_influxdb(folder: Path, port: int, bucket: str = "xiaotong") -> Iterator[InfluxStore]:
    """The InfluxDB engine against a server."""
    settings = InfluxSettings(f"http://127.0.0.1:{port}", bucket=bucket)
    store = InfluxStore(
        settings, Secret(), folder / "windows.db", retention=KEPT, day_offset_seconds=8 * 3600
    )
    with contextlib.closing(store):
        yield store


def fold(store: Store, now_ns: int = START) -> None:
    """Let a store make every window that waits."""
    for _ in range(ROUNDS):
        while store.maintain(now_ns):
            pass
