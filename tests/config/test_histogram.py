"""The fixed histogram: its error, its text, its sums."""

from __future__ import annotations

import functools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import histogram

RATES = st.lists(st.floats(min_value=1, max_value=1e12), min_size=1, max_size=300)


@given(RATES, st.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_within_the_stated_error(rates: list[float], share: float) -> None:
    exact = sorted(rates)[math.ceil(share * len(rates)) - 1]
    told = histogram.percentile(histogram.count(rates), share)
    assert told is not None
    assert abs(told - exact) <= 1.001 * histogram.RELATIVE_ERROR * exact
    assert histogram.RELATIVE_ERROR < 0.02


@given(RATES, RATES)
def test_windows_add_up_and_their_text_comes_back(first: list[float], second: list[float]) -> None:
    counts = histogram.count(first)
    counts.update(histogram.decode(histogram.encode(histogram.count(second))))
    assert counts == histogram.count(first + second)
    assert histogram.decode(histogram.encode(counts)) == counts


WINDOWS_OF_A_DAY = 288
RUNS = 6
"""Runs of equal 1 s rates in a window of 5 minutes, 50 s each."""


@pytest.fixture(scope="module")
def year() -> list[list[float]]:
    """A year of 5-minute windows of a school's line, as the rates of their runs: lessons, nights, bursts."""
    chance = random.Random(2026)
    windows = []
    for number in range(365 * WINDOWS_OF_A_DAY):
        lessons = 96 <= number % WINDOWS_OF_A_DAY < 204 and number // WINDOWS_OF_A_DAY % 7 < 5
        usual = 60_000_000 if lessons else 800_000
        rates = [chance.lognormvariate(math.log(usual), 0.8) for _ in range(RUNS)]
        windows.append([100_000_000.0 if chance.random() < 0.01 else rate for rate in rates])
    return windows


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_a_year_of_windows_tells_the_percentile_of_its_1_s_rates(
    year: list[list[float]], share: float
) -> None:
    """Each window is counted and written as the agent does; the exact one is that of all the rates."""
    total = year_total(year)
    ordered = sorted(rate for window in year for rate in window)
    exact = ordered[math.ceil(share * len(ordered) - 1e-6) - 1]
    told = histogram.percentile(total, share)
    assert told == pytest.approx(exact, rel=1.001 * histogram.RELATIVE_ERROR)
    mean_of_means = math.fsum(exact_share(window, share) for window in year) / len(year)
    assert share == 0.5 or abs(mean_of_means - exact) > 0.02 * exact  # averages of percentiles are none


@functools.cache
def _texts_of(rates: tuple[float, ...]) -> str:
    return histogram.encode({bucket: 50 * number for bucket, number in histogram.count(rates).items()})


def year_total(year: list[list[float]]) -> Counter[int]:
    """Day by day as the store does, every 30th day by the text that agents send."""
    total: Counter[int] = Counter()
    for day in range(365):
        windows = year[day * WINDOWS_OF_A_DAY : (day + 1) * WINDOWS_OF_A_DAY]
        if day % 30 == 0:
            for window in windows:
                total.update(histogram.decode(_texts_of(tuple(window))))
        else:
            counts = histogram.count(rate for window in windows for rate in window)
            total.update({bucket: 50 * number for bucket, number in counts.items()})
    return total


def exact_share(rates: list[float], share: float) -> float:
    return sorted(rates)[math.ceil(share * len(rates) - 1e-6) - 1]


def test_the_carriers_95th_is_exact_by_windows_and_within_2_percent_by_histogram(
    year: list[list[float]],
) -> None:
    """Months of 30 days: 8,640 means, the top 432 discarded, the next one billed."""
    means = [math.fsum(window) / RUNS for window in year]
    for month in range(12):
        of_month = means[month * 8640 : (month + 1) * 8640]
        exact = sorted(of_month, reverse=True)[432]
        assert histogram.billed_95th(of_month) == exact
        assert histogram.percentile(histogram.count(of_month), 0.95) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([], None),
        ([7.0], 7.0),
        ([float(n) for n in range(1, 21)], 19.0),
        ([float(n) for n in range(1, 101)], 95.0),
    ],
)
def test_the_carriers_rank(means: list[float], expected: float | None) -> None:
    assert histogram.billed_95th(means) == expected


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_rank_is_not_rounded_up_by_a_float(percent: int) -> None:
    counts = dict.fromkeys(range(1, 101), 1)
    assert histogram.percentile(counts, percent / 100) == histogram.value_of(percent)


def test_nothing_counted_has_no_percentile() -> None:
    assert histogram.percentile({}, 0.99) is None
    assert histogram.encode({}) == ""
    assert histogram.percentile({0: 5}, 0.5) == 0.0


@pytest.mark.parametrize(
    "text", ["1", "1:", ":1", "a:1", "1:-1", "1001:1", "1:1 1:2", "1:" + "9" * 16, "²:1"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        histogram.decode(text)


@pytest.mark.parametrize("rate", [-1.0, math.nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        histogram.bucket_of(rate)
