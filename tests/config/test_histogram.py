"""The fixed histogram: its error, its text, its sums."""

from __future__ import annotations

import math

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
