"""Which histograms the windows of a measurement keep, and how they are put together. Pure.

Two different questions, never mixed: ``X_histogram`` holds the 1 s rates as the agent counted them (how busy
was the line), ``X_means_histogram`` the means of 5 minutes (the 95th percentile that carriers bill), which is
made from an hour up. A mean of 5 minutes is the sum of its 1 s rates divided by how many there were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from config.histogram import bucket_of, decode
from config.measurements import Measurement

SUFFIX = "_histogram"
MEANS_SUFFIX = "_means_histogram"
RATES = "_bits_per_second_sum"
SAMPLES = "samples"


class Means(NamedTuple):
    """Where a histogram of 5-minute means comes from: the field of the rates' sum."""

    name: str
    sum_field: str


def rate_histograms(measurement: Measurement) -> list[str]:
    """The fields in which agents send histograms of rates."""
    return [
        name for name, field in measurement.fields.items() if field.type == "string" and name.endswith(SUFFIX)
    ]


def mean_histograms(measurement: Measurement) -> list[Means]:
    """The histograms of 5-minute means that windows from an hour up keep."""
    fields = measurement.fields
    found = (Means(name.removesuffix(SUFFIX) + MEANS_SUFFIX, name.removesuffix(SUFFIX) + RATES)
             for name in rate_histograms(measurement))  # fmt: skip
    return [means for means in found if means.sum_field in fields and SAMPLES in fields]


def histogram_names(measurement: Measurement) -> list[str]:
    """Every histogram that windows of a measurement may keep."""
    return [*rate_histograms(measurement), *(means.name for means in mean_histograms(measurement))]


def merged(histograms: Iterable[Mapping[int, int]]) -> Counter[int]:
    """All of them counted together."""
    total: Counter[int] = Counter()
    for each in histograms:
        for bucket, number in each.items():
            total[bucket] += number
    return total


def read(text: object) -> Counter[int]:
    """A stored point's histogram; empty for one that an agent wrote wrongly: it must not stop a window."""
    try:
        return decode(text) if isinstance(text, str) else Counter()
    except ValueError:
        return Counter()


def mean_bucket(rates_sum: float | None, samples: float | None) -> int | None:
    """The bucket of one 5-minute mean; None without samples."""
    if rates_sum is None or not samples or not rates_sum >= 0:
        return None
    return bucket_of(rates_sum / samples)
