"""One suite over every engine: what a store promises, whichever it is."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.batch import Batch, Row, Series, batch_of
from collector.store.interface import NS, Aggregate, Store, StoredWindow, UnknownField
from config.histogram import bucket_of, decode, encode
from config.points import FieldValue
from tests.collector.store.engines import DAY, START, embedded, fold, in_influxdb
from tests.collector.store.influxd import influxd, proxy

ETH0 = {"agent": "a1", "school": "s1", "interface": "eth0", "role": "line"}
ETH1 = ETH0 | {"interface": "eth1"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def influx_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with influxd(tmp_path_factory.mktemp("influxd")) as target, proxy(target) as before:
        yield before.port


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.needs("influxd"))])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "embedded":
        with embedded(tmp_path) as opened:
            yield opened
    else:
        bucket = f"contract {next(_numbers)}"
        with in_influxdb(tmp_path, request.getfixturevalue("influx_port"), bucket) as other:
            yield other


def batch(rows: list[Row], *series: Series, school: str = "s1") -> Batch:
    return batch_of(school, "a1", START, list(series) or [Series("interface", ETH0)], rows)


def one(values: dict[str, FieldValue], seconds: float = 0) -> Row:
    return (0, START + round(seconds * NS), values)


def test_points_are_read_as_they_were_written_with_their_types(store: Store) -> None:
    fields: dict[str, FieldValue] = {
        "rx_bytes": 2**63 - 1, "window_seconds": 60.0, "operational": True, "duplex": "full",
        "alias": 'a "b" \\ c, d=e 校通',
    }  # fmt: skip
    store.write([batch([one(fields)])])
    (series,) = store.points("s1", "interface", start_ns=START, end_ns=START + 1)
    assert series.tags == ETH0
    assert series.points[0].fields == fields
    assert {type(value) for value in series.points[0].fields.values()} == {int, float, bool, str}
    assert store.points("s1", "interface", start_ns=START + 1, end_ns=START + 9) == []
    assert store.points("s2", "interface", start_ns=0, end_ns=2**62) == []


def test_tags_of_any_text_come_back_and_choose_their_series(store: Store) -> None:
    strange = ["a b,c=d", "it's", 'say "x"', "back\\slash", "第一小学", "x' OR '1'='1"]
    series = [Series("interface", ETH0 | {"interface": text}) for text in strange]
    rows: list[Row] = [(place, START, {"rx_bytes": place}) for place in range(len(series))]
    store.write([batch(rows, *series)])
    assert sorted(each["interface"] for each in store.distinct("s1", "interface")) == sorted(strange)
    for place, text in enumerate(strange):
        (found,) = store.points("s1", "interface", tags={"interface": text}, start_ns=0, end_ns=2**62)
        assert [point.fields for point in found.points] == [{"rx_bytes": place}]


@pytest.mark.fault(9)
def test_the_same_point_twice_is_one_and_its_fields_are_joined(store: Store) -> None:
    store.write([batch([one({"rx_bytes": 1, "tx_bytes": 2})])])
    store.write([batch([one({"rx_bytes": 1, "tx_bytes": 2})]), batch([one({"rx_packets": 3})])])
    (series,) = store.points("s1", "interface", start_ns=0, end_ns=2**62)
    assert [point.fields for point in series.points] == [{"rx_bytes": 1, "tx_bytes": 2, "rx_packets": 3}]
    assert store.latest("s1")[0].fields == {"rx_bytes": 1, "tx_bytes": 2, "rx_packets": 3}


def test_latest_is_by_the_points_time_whatever_the_order(store: Store) -> None:
    store.write([batch([one({"rx_bytes": 2}, 60), one({"rx_bytes": 1})])])
    store.write([batch([one({"rx_bytes": 0}, 30)])])
    others = [ETH0 | {"school": "s2"}, ETH1 | {"school": "s2"}]
    rows: list[Row] = [(0, START, {"rx_bytes": 9}), (1, START, {"rx_bytes": 8})]
    store.write([batch(rows, *(Series("interface", tags) for tags in others), school="s2")])
    latest = {(each.school_id, each.tags["interface"]): each for each in store.latest()}
    assert latest["s1", "eth0"].time_ns == START + 60 * NS
    assert latest["s1", "eth0"].fields == {"rx_bytes": 2}
    assert latest["s2", "eth0"].fields["rx_bytes"] == 9
    assert latest["s2", "eth1"].fields["rx_bytes"] == 8
    assert [each.school_id for each in store.latest("s1")] == ["s1"]
    assert store.latest("s1", "ping") == []
    assert store.schools() == ["s1", "s2"]


def test_windows_are_what_arithmetic_says_and_gaps_are_absent(store: Store) -> None:
    chance = random.Random(1)
    values = {t: chance.randrange(10**9) for t in sorted(chance.sample(range(0, 2 * DAY, 10), 200))}
    rows = [one({"rx_bytes": value}, t) for t, value in values.items()]
    chance.shuffle(rows)
    for some in (rows[:100], rows[100:], rows[:50]):  # the last are sent again
        store.write([batch(some)])
        fold(store)
    for resolution in (10, 300, 900, 3600, 7200, 86400):
        offset = 8 * 3600 if resolution == DAY else 0
        expected: dict[int, list[int]] = {}
        for t, value in values.items():
            at = START // NS + t
            expected.setdefault(((at + offset) // resolution * resolution - offset) * NS, []).append(value)
        (series,) = store.series(
            "s1", "interface", fields=["rx_bytes", "tx_bytes"], start_ns=START - DAY * NS,
            end_ns=START + 3 * DAY * NS, resolution_seconds=resolution,
        )  # fmt: skip
        assert {window.start_ns: window.fields for window in series.windows} == {
            start: {"rx_bytes": Aggregate(len(some), sum(some), min(some), max(some))}
            for start, some in expected.items()
        }
        assert [window.start_ns for window in series.windows] == sorted(expected)


def test_late_points_are_folded_in(store: Store) -> None:
    store.write([batch([one({"rx_bytes": 1}, 600)])])
    fold(store)
    store.write([batch([one({"rx_bytes": 5}, 601), one({"rx_bytes": 3}, 10)])])
    fold(store)
    for resolution, sums in ((300, [3, 6]), (3600, [9]), (86400, [9])):
        (series,) = store.series(
            "s1", "interface", fields=["rx_bytes"], start_ns=START - DAY * NS, end_ns=START + DAY * NS,
            resolution_seconds=resolution,
        )  # fmt: skip
        assert [window.fields["rx_bytes"].sum for window in series.windows] == sums


def test_yes_and_no_are_counted_in_windows(store: Store) -> None:
    store.write([batch([one({"operational": t != 2}, t) for t in range(4)])])
    fold(store)
    (series,) = store.series(
        "s1", "interface", fields=["operational"], start_ns=START, end_ns=START + DAY * NS,
        resolution_seconds=300,
    )  # fmt: skip
    assert series.windows[0].fields == {"operational": Aggregate(4, 3, 0, 1)}


def test_a_histogram_is_of_whole_days_and_of_the_hours_around_them(store: Store) -> None:
    midnight = START - 8 * 3600 * NS
    seen = {"samples": Aggregate(1, 1.0, 1.0, 1.0)}

    def kept(start_ns: int, bucket: int) -> StoredWindow:
        return StoredWindow(ETH0, start_ns, seen, {"rx_histogram": {bucket: 1}})

    hours = [kept(midnight + hour * 3600 * NS, 400) for hour in range(-24, 72)]
    days = [kept(midnight + day * DAY * NS, 500) for day in range(-1, 3)]
    store.put_windows(3600, "interface", hours)
    store.put_windows(DAY, "interface", days)
    for first, last, expected in (
        (-3, 51, {400: 3 + 3, 500: 2}),
        (0, 48, {500: 2}),
        (1, 23, {400: 22}),
        (-2, 24, {400: 2, 500: 1}),
        (24, 50, {500: 1, 400: 2}),
    ):
        start_ns, end_ns = (midnight + hour * 3600 * NS for hour in (first, last))
        (found,) = store.histograms("interface", "rx_histogram", start_ns=start_ns, end_ns=end_ns)
        assert (found.tags, found.counts) == (ETH0, expected)


def test_the_two_histograms_are_counted_apart_and_point_by_point_once(store: Store) -> None:
    rates = {minute: [10**6 * (1 + minute % 7), 10**6] for minute in range(120)}
    rows = [
        one(
            {
                "rx_histogram": encode(Counter(map(bucket_of, some))),
                "rx_bits_per_second_sum": float(sum(some)),
                "samples": len(some),
            },
            60 * minute,
        )
        for minute, some in rates.items()
    ]
    rows.append(one({"rx_histogram": "no histogram", "samples": 0}, 7205))
    store.write([batch(rows)])
    fold(store)
    store.write([batch(rows[:60])])  # sent again
    fold(store)
    every = Counter(bucket_of(rate) for some in rates.values() for rate in some)
    means = Counter(
        bucket_of(sum(sum(rates[minute]) for minute in range(first, first + 5)) / 10)
        for first in range(0, 120, 5)
    )
    day: dict[str, Any] = {"start_ns": START - 8 * 3600 * NS, "end_ns": START + 16 * 3600 * NS}
    for span in (day, {"start_ns": START, "end_ns": START + 2 * 3600 * NS}):
        (busy,) = store.histograms("interface", "rx_histogram", **span)
        (billed,) = store.histograms("interface", "rx_means_histogram", school_id="s1", tags=ETH0, **span)
        assert (busy.counts, billed.counts) == (every, means)
        assert busy.tags == ETH0
    assert store.histograms("interface", "tx_histogram", **day) == []
    assert store.histograms("interface", "rx_histogram", school_id="s2", **day) == []
    (window, *_) = store.windows(300, "s1", "interface", **day)
    assert window.histograms["rx_histogram"] == sum(
        (Counter(decode(str(row[2]["rx_histogram"]))) for row in rows[:5]), Counter()
    )


def test_the_peak_is_found_with_its_time(store: Store) -> None:
    store.write(
        [batch([one({"rx_peak_bits_per_second": 900}, 301), one({"rx_peak_bits_per_second": 5}, DAY)])]
    )
    rows: list[Row] = [(0, START + 7 * NS, {"rx_peak_bits_per_second": 1}), (0, START, {"rx_bytes": 4})]
    store.write([batch(rows, Series("interface", ETH1))])
    end_ns = START + 2 * DAY * NS
    fold(store)
    peaks = store.peaks("s1", "interface", "rx_peak_bits_per_second", start_ns=START, end_ns=end_ns)
    assert {peak.tags["interface"]: (peak.value, peak.at_ns) for peak in peaks} == {
        "eth0": (900, START + 301 * NS),
        "eth1": (1, START + 7 * NS),
    }
    assert store.peaks("s1", "interface", "tx_peak_bits_per_second", start_ns=START, end_ns=end_ns) == []


def test_windows_of_one_store_are_kept_by_another(store: Store, tmp_path: Path) -> None:
    rows = [one({"rx_bytes": t, "rx_histogram": "3:1 9:2", "samples": 3, "rx_bits_per_second_sum": 9.5}, t)
            for t in range(0, 7200, 60)]  # fmt: skip
    store.write([batch(rows)])
    fold(store)
    (tmp_path / "copy").mkdir()
    with embedded(tmp_path / "copy") as copy:
        for seconds in (300, 3600, 86400):
            made = store.windows(seconds, "s1", "interface", start_ns=START - DAY * NS, end_ns=2**62)
            assert made
            copy.put_windows(seconds, "interface", made)
            assert copy.windows(seconds, "s1", "interface", start_ns=0, end_ns=2**62) == made
            store.put_windows(seconds, "interface", made)
            assert store.windows(seconds, "s1", "interface", start_ns=START - DAY * NS, end_ns=2**62) == made


def test_other_measurements_stand_apart(store: Store) -> None:
    store.write(
        [batch([one({"usage": 0.5, "big": 7, "unsigned": 2**64 - 1})], Series("cpu", ETH0, other=True))]
    )
    store.write([batch([one({"rx_bytes": 1})], Series("interface", ETH0, other=True))])
    assert store.points("s1", "interface", start_ns=0, end_ns=2**62) == []
    assert store.distinct("s1", "interface") == []
    fields = {each.measurement: each.fields for each in store.latest("s1")}["cpu"]
    assert fields.pop("unsigned") == pytest.approx(2**64)
    assert fields == {"usage": 0.5, "big": 7}


def test_distinct_and_tags(store: Store) -> None:
    rows: list[Row] = [(0, START, {"rx_bytes": 1}), (1, START, {"rx_bytes": 2})]
    store.write([batch(rows, Series("interface", ETH0), Series("interface", ETH1))])
    assert store.distinct("s1", "interface") == [ETH0, ETH1]
    assert store.distinct("s1", "interface", {"interface": "eth1"}) == [ETH1]
    assert store.distinct("s1", "interface", {"interface": "eth1", "role": "lan"}) == []


def test_a_series_of_which_only_windows_are_kept_is_still_there(store: Store) -> None:
    closed = ETH0 | {"school": "closed for the summer"}
    seen = StoredWindow(closed, START, {"rx_bytes": Aggregate(1, 1.0, 1.0, 1.0)})
    store.write([batch([one({"rx_bytes": 1})])])
    store.put_windows(86400, "interface", [seen])
    assert store.schools() == ["closed for the summer", "s1"]
    assert store.distinct(closed["school"], "interface") == [closed]


@pytest.mark.parametrize("name", ["nothing", 'x"; DROP TABLE series; --', "duplex"])
def test_unknown_names_are_refused(store: Store, name: str) -> None:
    span: dict[str, Any] = {"start_ns": 0, "end_ns": 1}
    with pytest.raises(UnknownField):
        store.series("s1", "interface", fields=[name], resolution_seconds=300, **span)
    with pytest.raises(UnknownField):
        store.series("s1", name, fields=["rx_bytes"], resolution_seconds=300, **span)
    with pytest.raises(UnknownField):
        store.peaks("s1", "interface", name, **span)
    with pytest.raises(UnknownField):
        store.histograms("interface", name, **span)
