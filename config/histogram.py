"""The fixed histogram of 1 s rates: log-spaced buckets, the same everywhere and for ever, so they add up.

Bucket 0 holds every rate below 1 bit/s. Bucket n >= 1 holds rates from 1.04**(n-1) to below 1.04**n bit/s and
stands for the value between the two that is off by the same share from either end: a percentile read from the
buckets is within (1.04 - 1) / (1.04 + 1) = 1.97 % of the exact one. 1 Tbit/s is bucket 705. Written as text:
«bucket:count» pairs by rising bucket, one space between them: ``0:41 352:18 353:1``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = 1.04
RELATIVE_ERROR = (GROWTH - 1) / (GROWTH + 1)
LAST_BUCKET = 1000
MAX_TEXT_CHARACTERS = 32 * 1024

_LOG_GROWTH = math.log(GROWTH)
_ROUNDING = 1e-6
"""0.07 x 100 is 7.000000000000001 in floats, and its rank is 7."""


def bucket_of(bits_per_second: float) -> int:
    """The bucket that holds a rate. Raises ValueError for a rate that is negative or not a number."""
    if not bits_per_second >= 0:
        raise ValueError(f"{bits_per_second} is not a rate")
    if bits_per_second < 1:
        return 0
    return min(LAST_BUCKET, 1 + int(math.log(bits_per_second) / _LOG_GROWTH))


def value_of(bucket: int) -> float:
    """The rate in bit/s that a bucket stands for."""
    return 0.0 if bucket == 0 else GROWTH ** (bucket - 1) * 2 * GROWTH / (1 + GROWTH)


def count(rates: Iterable[float]) -> Counter[int]:
    """Rates in bit/s → how many lie in each bucket."""
    return Counter(bucket_of(rate) for rate in rates)


def encode(counts: Mapping[int, int]) -> str:
    """Buckets as text: ``0:41 352:18``; empty when there are none."""
    return " ".join(f"{bucket}:{counts[bucket]}" for bucket in sorted(counts) if counts[bucket])


def decode(text: str) -> Counter[int]:
    """Text → buckets. Raises ValueError for anything that ``encode()`` does not write."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"a histogram is at most {MAX_TEXT_CHARACTERS} characters long")
    counts: Counter[int] = Counter()
    for pair in text.split():
        bucket, number = _pair(pair)
        if bucket in counts:
            raise ValueError(f"bucket {bucket} is given twice")
        counts[bucket] = number
    return counts


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The rate in bit/s that a ``share`` (0 to 1) of all counted rates does not exceed (nearest rank).

    Within RELATIVE_ERROR of the exact percentile of the rates themselves. None when nothing was counted.
    """
    rank = max(1, math.ceil(share * sum(counts.values()) - _ROUNDING))
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return value_of(bucket)
    return None


def billed_95th(means: Iterable[float]) -> float | None:
    """The carriers' 95th percentile of 5-minute means: sorted, the top 5 % discarded, the next is the value.

    Exact; where only a histogram of the means is left, ``percentile(counts, 0.95)`` is the same rank within
    RELATIVE_ERROR. In and out are taken apart, and the larger is billed. None without means.
    """
    ordered = sorted(means)
    return ordered[len(ordered) - len(ordered) * 5 // 100 - 1] if ordered else None


def _pair(text: str) -> tuple[int, int]:
    bucket, colon, number = text.partition(":")
    if not (colon and bucket.isascii() and bucket.isdigit() and number.isascii() and number.isdigit()):
        raise ValueError(f"{text!r} is not «bucket:count»")
    if int(bucket) > LAST_BUCKET or len(number) > 15:
        raise ValueError(f"{text!r}: the bucket is at most {LAST_BUCKET}, the count below 10**15")
    return int(bucket), int(number)
