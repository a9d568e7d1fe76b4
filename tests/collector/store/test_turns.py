"""Two collectors with one InfluxDB: a window made of fewer points never stands in place of the other's.

The order that does harm is forced: one has read, the other keeps a point and makes windows, the first writes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeAlias

import pytest

from collector.batch import Batch, Series, batch_of
from collector.registry import Registry
from collector.settings import CollectorSettings, InfluxSettings, StoreSettings
from collector.store.influxdb import turns
from collector.store.influxdb.store import InfluxStore
from collector.store.influxdb.turns import Turns
from collector.store.influxdb.waiting import FEW_SCHOOLS
from collector.store.interface import NS, WINDOW_SECONDS, StoreUnavailable
from collector.store.opening import open_store
from tests.collector.postgres import Postgres
from tests.collector.running import wait_until
from tests.collector.store.engines import DAY, START, fold
from tests.collector.store.influxd import influxd, proxy

END_EVERY_TURN = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
WHO_WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
Opened: TypeAlias = Callable[..., InfluxStore]
Meanwhile: TypeAlias = Callable[[InfluxStore, int, Callable[[], object]], None]
_numbers = itertools.count()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one thread plays both collectors nobody ends a turn that the other waits for."""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.02)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with influxd(tmp_path_factory.mktemp("influxd")) as target, proxy(target) as before:
        yield before.port


@pytest.fixture(scope="module")
def registry(server: Postgres) -> Iterator[Registry]:
    with closing(Registry.open(server.database_of("turns").render_as_string())) as opened:
        yield opened
    server.drop_all()


@pytest.fixture
def opened(tmp_path: Path, port: int) -> Iterator[Opened]:
    """Opens the store of one more collector, in the same InfluxDB."""
    influx = InfluxSettings(f"http://127.0.0.1:{port}", bucket=f"turns{next(_numbers)}")
    with ExitStack() as stack:

        def opened(registry: Registry | None) -> InfluxStore:
            folder = tmp_path / str(next(_numbers))
            folder.mkdir()
            settings = CollectorSettings(str(folder), store=StoreSettings(engine="influxdb", influxdb=influx))
            store = stack.enter_context(closing(open_store(settings, registry=registry)))
            assert isinstance(store, InfluxStore)
            return store

        yield opened


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Does something once, when a store has read what its windows of one length are of, and not written."""

    def meanwhile(store: InfluxStore, seconds: int, call: Callable[[], object]) -> None:
        write = store.connection.write

        def late(bucket: str, lines: Iterable[str]) -> None:
            made = list(lines)
            if bucket == store.buckets.windows[seconds]:
                monkeypatch.setattr(store.connection, "write", write)
                call()
            write(bucket, made)

        monkeypatch.setattr(store.connection, "write", late)

    return meanwhile


def point(seconds: int, school: str = "s1") -> Batch:
    series = Series("interface", {"agent": "a1", "school": school, "interface": "eth0"})
    return batch_of(school, "a1", START, [series], [(0, START + seconds * NS, {"rx_bytes": 1})])


def take(store: InfluxStore, *batches: Batch) -> None:
    """Keep points and make the windows that wait."""
    store.write(batches)
    fold(store)


def kept(store: InfluxStore, school: str = "s1") -> list[int]:
    """Of how many points the window of each length is."""
    span = {"start_ns": START - DAY * NS, "end_ns": START + DAY * NS}
    return [
        window.fields["rx_bytes"].count
        for seconds in WINDOW_SECONDS
        for window in store.windows(seconds, school, "interface", **span)
    ]


@pytest.mark.needs("influxd")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seconds", WINDOW_SECONDS)
def test_who_has_read_writes_before_another_reads(
    opened: Opened, registry: Registry, meanwhile: Meanwhile, seconds: int
) -> None:
    slow, quick = opened(registry), opened(registry)
    meanwhile(slow, seconds, lambda: take(quick, point(60)))
    take(slow, point(0))
    fold(quick)
    fold(slow)
    assert kept(slow) == [2, 2, 2]


@pytest.mark.needs("influxd")
def test_who_lost_the_turn_makes_the_same_windows_again(
    opened: Opened, registry: Registry, meanwhile: Meanwhile
) -> None:
    """A machine that stood still for minutes writes what it read before."""
    slow, quick = opened(registry), opened(registry)

    def turn_is_over() -> None:
        with registry.writing() as connection:
            connection.exec_driver_sql(END_EVERY_TURN)
        take(quick, point(60))

    meanwhile(slow, WINDOW_SECONDS[0], turn_is_over)
    with pytest.raises(StoreUnavailable, match="no turn to make windows"):
        take(slow, point(0))
    assert kept(slow) == [1, 2, 2]
    fold(slow)
    assert kept(slow) == [2, 2, 2]


@pytest.mark.needs("influxd")
def test_windows_that_wait_at_another_collector_are_left_to_it(opened: Opened, meanwhile: Meanwhile) -> None:
    """Where many schools wait the points of all are read."""
    ours, theirs = opened(None), opened(None)
    theirs.write([point(0, "theirs")])
    meanwhile(ours, WINDOW_SECONDS[0], lambda: take(theirs, point(60, "theirs")))
    take(ours, *(point(0, f"s{number}") for number in range(FEW_SCHOOLS + 1)))
    assert kept(ours, "theirs") == [2, 2, 2]
    assert kept(ours, "s0") == [1, 1, 1]


@pytest.mark.usefixtures("impatient")
def test_a_turn_is_of_one_kind_of_work_and_ends(registry: Registry) -> None:
    line = Turns(registry)
    with line.take("300 interface") as ours, line.take("300 interface") as theirs:
        assert (ours, theirs) == (True, False)
        with line.take("300 ping") as other:
            assert other
    with line.take("300 interface") as again:
        assert again


def test_a_turn_is_waited_for_in_line(registry: Registry) -> None:
    """Who works off days of windows ends a turn and begins the next at once: the other gets it between."""
    line, got = Turns(registry), []

    def take() -> None:
        with line.take("300 interface") as theirs:
            got.append(theirs)

    waiting = threading.Thread(target=take)
    with line.take("300 interface") as ours:
        waiting.start()
        wait_until(lambda: waits(registry) or not waiting.is_alive())
        assert (ours, got) == (True, [])
    waiting.join()
    assert got == [True]


def waits(registry: Registry) -> bool:
    """Whether a collector waits for its turn."""
    with registry.reading() as connection:
        return bool(connection.exec_driver_sql(WHO_WAITS).scalar())


def test_where_there_is_one_collector_it_is_always_its_turn(tmp_path: Path) -> None:
    with closing(Registry.open(f"sqlite:///{tmp_path}/registry.db")) as alone:
        for line in (Turns(alone), Turns()):
            with line.take("300 interface") as ours, line.take("300 interface") as too:
                assert (ours, too) == (True, True)
