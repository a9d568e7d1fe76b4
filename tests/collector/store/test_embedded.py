"""The embedded store, by the interface; the window figures are compared with plain arithmetic."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.batch import Batch, Row, Series, batch_of
from collector.store.embedded import EmbeddedStore
from collector.store.interface import NS, Aggregate, StoreUnavailable, UnknownField
from collector.store.upkeep import COARSE_ROUNDS, DELETE_ROWS, SWEEP_ROUNDS, Retention
from config.measurements import Field, Measurement
from config.points import FieldValue

DAY = 86400
START = 20_000 * DAY * NS
KEPT = Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
ETH0 = {"agent": "a1", "school": "s1", "interface": "eth0", "role": "line"}
ETH1 = ETH0 | {"interface": "eth1"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    opened = EmbeddedStore(tmp_path / "points.db", retention=KEPT, day_offset_seconds=8 * 3600)
    yield opened
    opened.close()


def batch(rows: list[Row], *series: Series, school: str = "s1") -> Batch:
    return batch_of(school, "a1", START, list(series) or [Series("interface", ETH0)], rows)


def fold(store: EmbeddedStore, rounds: int = COARSE_ROUNDS + 1, now_ns: int = START) -> None:
    for _ in range(rounds):
        while store.maintain(now_ns):
            pass


def one(values: dict[str, FieldValue], seconds: float = 0) -> Row:
    return (0, START + round(seconds * NS), values)


def test_sums_beyond_64_bits_do_not_stop_the_windows(store: EmbeddedStore) -> None:
    store.write([batch([one({"rx_bytes": 2**63 - 1}, t) for t in range(3)])])
    fold(store)
    (series,) = store.series(
        "s1",
        "interface",
        fields=["rx_bytes"],
        start_ns=START,
        end_ns=START + NS * 300,
        resolution_seconds=300,
    )
    assert series.windows[0].fields["rx_bytes"].sum == pytest.approx(3 * 2**63)


def test_the_peak_is_found_in_raw_points_and_in_what_windows_keep_of_older_ones(store: EmbeddedStore) -> None:
    store.write(
        [batch([one({"rx_peak_bits_per_second": 900}, 301), one({"rx_peak_bits_per_second": 5}, 9 * DAY)])]
    )
    rows: list[Row] = [(0, START + 7 * NS, {"rx_peak_bits_per_second": 1}), (0, START, {"rx_bytes": 4})]
    store.write([batch(rows, Series("interface", ETH1))])
    end_ns = START + 10 * DAY * NS
    fold(store)
    peaks = store.peaks("s1", "interface", "rx_peak_bits_per_second", start_ns=START, end_ns=end_ns)
    assert {peak.tags["interface"]: (peak.value, peak.at_ns) for peak in peaks} == {
        "eth0": (900, START + 301 * NS),
        "eth1": (1, START + 7 * NS),
    }  # fmt: skip
    fold(store, SWEEP_ROUNDS, now_ns=START + 9 * DAY * NS)
    (peak,) = store.peaks(
        "s1",
        "interface",
        "rx_peak_bits_per_second",
        tags={"interface": "eth0"},
        start_ns=START,
        end_ns=end_ns,
    )
    assert (peak.value, peak.at_ns) == (900, START + 300 * NS)
    assert store.peaks("s1", "interface", "tx_peak_bits_per_second", start_ns=START, end_ns=end_ns) == []


def test_retention_drops_what_is_old_and_keeps_the_rest(tmp_path: Path) -> None:
    kept = Retention(1 * DAY, 2 * DAY, 4 * DAY, 8 * DAY)
    store = EmbeddedStore(tmp_path / "points.db", retention=kept)
    rows = [one({"rx_bytes": hour}, hour * 3600) for hour in range(24 * 10)]
    store.write([batch(rows)])
    fold(store, COARSE_ROUNDS + 1, now_ns=START)
    fold(store, SWEEP_ROUNDS, now_ns=START + 10 * DAY * NS)

    def count(resolution: int) -> int:
        found = store.series(
            "s1", "interface", fields=["rx_bytes"], start_ns=0, end_ns=2**62, resolution_seconds=resolution
        )
        return sum(len(series.windows) for series in found)

    assert [count(resolution) for resolution in (1, 300, 3600, 86400)] == [24, 48, 96, 8]
    store.close()


def test_deleting_goes_by_small_steps(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "points.db", retention=Retention(DAY, DAY, DAY, DAY))
    store.write([batch([one({"rx_bytes": t}, t) for t in range(9000)])])
    steps = 0
    while store.maintain(START + 30 * DAY * NS):
        steps += 1
    assert steps >= 5
    assert store.points("s1", "interface", start_ns=0, end_ns=2**62) == []
    store.close()


def test_a_step_deletes_of_many_series_no_more_than_of_one(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "points.db", retention=Retention(DAY, DAY, DAY, DAY))
    rows: list[Row] = [(place, START + t * NS, {"rx_bytes": t}) for place in range(50) for t in range(100)]
    store.write([batch(rows, *(Series("interface", ETH0 | {"interface": f"e{n}"}) for n in range(50)))])
    left, more = len(rows), True
    with sqlite3.connect(tmp_path / "points.db") as seen:
        while more:
            more = store.maintain(START + 30 * DAY * NS)
            before, left = left, seen.execute("SELECT count(*) FROM raw_interface").fetchone()[0]
            assert before - left <= DELETE_ROWS
    seen.close()
    assert left == 0
    store.close()


def test_a_file_that_is_damaged_while_it_is_used_is_the_stores_fault_not_a_points(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    path = tmp_path / "points.db"
    store.write([batch([one({"rx_bytes": t}, t) for t in range(9000)])])
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'raw_interface'").fetchone()
        (page_bytes,) = other.execute("PRAGMA page_size").fetchone()
        other.execute("CREATE TABLE more (x)")  # so that the store reads its pages anew
    other.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    with pytest.raises(StoreUnavailable, match="malformed"):
        store.write([batch([one({"rx_bytes": 1}, 9001)])])
    with pytest.raises(StoreUnavailable, match="malformed"):
        store.points("s1", "interface", start_ns=0, end_ns=2**62)


def test_other_measurements_stand_apart(store: EmbeddedStore) -> None:
    store.write([batch([one({"usage": 0.5, "big": 2**64 - 1})], Series("cpu", {"host": "x"}, other=True))])
    store.write([batch([one({"rx_bytes": 1})], Series("interface", ETH0, other=True))])
    assert store.points("s1", "interface", start_ns=0, end_ns=2**62) == []
    assert store.distinct("s1", "interface") == []
    assert {each.measurement: each.fields for each in store.latest("s1")}["cpu"] == {
        "usage": 0.5,
        "big": 2**64 - 1,
    }


def test_unknown_names_are_refused_and_never_reach_sql(store: EmbeddedStore) -> None:
    for measurement, field in (
        ("nothing", "x"),
        ("interface", 'x"; DROP TABLE series; --'),
        ("interface", "duplex"),
    ):
        with pytest.raises(UnknownField):
            store.series("s1", measurement, fields=[field], start_ns=0, end_ns=1, resolution_seconds=300)
    with pytest.raises(UnknownField):
        store.peaks("s1", "interface", "nothing", start_ns=0, end_ns=1)


def test_everything_is_there_after_reopening_with_a_grown_schema(tmp_path: Path) -> None:
    small = {"m": Measurement("help", {}, {"a": Field("int", "help")})}
    grown = {"m": Measurement("help", {}, {"a": Field("int", "help"), "b": Field("float", "help")})}
    store = EmbeddedStore(tmp_path / "points.db", retention=KEPT, measurements=small)
    store.write([batch([one({"a": 1})], Series("m", {}))])
    store.close()
    store = EmbeddedStore(tmp_path / "points.db", retention=KEPT, measurements=grown)
    store.write([batch([one({"a": 2, "b": 0.5}, 1)], Series("m", {}))])
    fold(store)
    (points,) = store.points("s1", "m", start_ns=0, end_ns=2**62)
    assert [point.fields for point in points.points] == [{"a": 1}, {"a": 2, "b": 0.5}]
    (windows,) = store.series("s1", "m", fields=["a", "b"], start_ns=0, end_ns=2**62, resolution_seconds=3600)
    assert windows.windows[0].fields == {"a": Aggregate(2, 3, 1, 2), "b": Aggregate(1, 0.5, 0.5, 0.5)}
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.write([])
    store.close()


def test_a_write_that_fails_leaves_nothing_of_it(store: EmbeddedStore, tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        store.write([batch([one({"rx_bytes": 1})]), batch([one({"rx_bytes": 2**64}, 1)])])
    assert store.points("s1", "interface", start_ns=0, end_ns=2**62) == []
    store.write([batch([one({"rx_bytes": 1})])])
    assert len(store.points("s1", "interface", start_ns=0, end_ns=2**62)) == 1


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "points.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnavailable, match=r"points\.db"):
        EmbeddedStore(tmp_path / "points.db", retention=KEPT)


def test_another_process_sees_what_was_written(store: EmbeddedStore, tmp_path: Path) -> None:
    store.write([batch([one({"rx_bytes": 1})])])
    with sqlite3.connect(f"file:{tmp_path / 'points.db'}?mode=ro", uri=True) as other:
        assert other.execute("SELECT count(*) FROM raw_interface").fetchone() == (1,)
    other.close()


def test_the_latest_points_are_there_after_a_crash_and_older_than_the_points_kept(tmp_path: Path) -> None:
    path = tmp_path / "points.db"
    store = EmbeddedStore(path, retention=KEPT)
    store.write(
        [batch([one({"rx_bytes": 1})]), batch([one({"usage": 1.5})], Series("cpu", ETH0, other=True))]
    )
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):  # as kill -9 leaves it: nothing was saved in the table of latest points
        (tmp_path / f"copy.db{suffix}").write_bytes((tmp_path / f"points.db{suffix}").read_bytes())
    store.close()
    store = EmbeddedStore(copy, retention=KEPT)
    assert {each.measurement: each.fields for each in store.latest()} == {
        "interface": {"rx_bytes": 1},
        "cpu": {"usage": 1.5},
    }
    fold(store, SWEEP_ROUNDS + 1, now_ns=START + 8 * DAY * NS)
    store.close()
    store = EmbeddedStore(copy, retention=KEPT)
    assert store.points("s1", "interface", start_ns=0, end_ns=2**62) == []
    assert [each.fields for each in store.latest("s1", "interface")] == [{"rx_bytes": 1}]
    store.close()


def test_a_series_of_which_nothing_is_kept_is_gone(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "points.db", retention=Retention(DAY, DAY, DAY, DAY))
    store.write(
        [batch([one({"rx_bytes": 1})]), batch([one({"rx_bytes": 1}, 5 * DAY)], Series("interface", ETH1))]
    )
    fold(store, SWEEP_ROUNDS + 1, now_ns=START + 3 * DAY * NS)
    assert store.distinct("s1", "interface") == [ETH1]
    assert [each.tags for each in store.latest("s1")] == [ETH1]
    store.write([batch([one({"rx_bytes": 2}, 5 * DAY)])])
    assert store.distinct("s1", "interface") == [ETH0, ETH1]
    assert len(store.points("s1", "interface", tags=ETH0, start_ns=0, end_ns=2**62)) == 1
    store.close()
