"""Copies in memory: nobody is given a copy that is still being read for the first time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import Connection

from collector.registry import Registry
from collector.registry.copies import Copy


def test_who_asks_while_the_first_reading_is_under_way_waits_for_it(tmp_path: Path) -> None:
    registry = Registry.open(f"sqlite:///{tmp_path / 'registry.sqlite'}")
    reading, go_on = threading.Event(), threading.Event()

    def read(_: Connection) -> Mapping[str, int]:
        reading.set()
        go_on.wait(10)
        return {"s": 1}

    copy = Copy("schools", registry._reader, read, refresh_seconds=60)
    given: list[Mapping[str, int]] = []
    threads = [threading.Thread(target=lambda: given.append(copy.get())) for _ in range(2)]
    threads[0].start()
    assert reading.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert given == []
    go_on.set()
    for thread in threads:
        thread.join(10)
    registry.close()
    assert given == [{"s": 1}, {"s": 1}]
