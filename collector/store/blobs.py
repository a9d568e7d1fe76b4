"""Histograms as the embedded store keeps them, and the SQL functions that put them together."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from collector.store.histograms import mean_bucket, read

_decoder = msgspec.msgpack.Decoder(dict[int, int])


def encode_blob(counts: Mapping[int, int]) -> bytes:
    """Counts by bucket as bytes."""
    return msgspec.msgpack.encode(counts)


def decode_blob(blob: bytes) -> dict[int, int]:
    """The reverse of encode_blob. Raises msgspec.DecodeError."""
    return _decoder.decode(blob)


def merge_blobs(rows: Iterable[tuple[bytes]]) -> dict[int, int]:
    """Rows of one blob each, counted together."""
    total: dict[int, int] = {}
    for (blob,) in rows:
        for bucket, number in _decoder.decode(blob).items():
            total[bucket] = total.get(bucket, 0) + number
    return total


def add_aggregates(db: sqlite3.Connection) -> None:
    """The SQL functions merged_texts(text), merged_blobs(blob) and means(sum, samples), each gives a blob."""
    db.create_aggregate("merged_texts", 1, _Texts)  # type: ignore[arg-type]  # the stubs want an int
    db.create_aggregate("merged_blobs", 1, _Blobs)  # type: ignore[arg-type]
    db.create_aggregate("means", 2, _Means)  # type: ignore[arg-type]


class _Counting:
    """Counts of one group; NULL when nothing was counted."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def finalize(self) -> bytes | None:
        return encode_blob(self.counts) if self.counts else None


class _Texts(_Counting):
    def step(self, text: str | None) -> None:
        if text:
            self.counts.update(read(text))


class _Blobs(_Counting):
    def step(self, blob: bytes | None) -> None:
        if blob is not None:
            self.counts.update(decode_blob(blob))


class _Means(_Counting):
    def step(self, rates_sum: float | None, samples: float | None) -> None:
        bucket = mean_bucket(rates_sum, samples)
        if bucket is not None:
            self.counts[bucket] += 1
