"""Quantities with their units: what is read, what is refused, and in which words."""

from __future__ import annotations

import pytest

from config.units import format_duration, format_rate, format_size, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "bits_per_second"),
    [
        ("10M", 10_000_000),
        ("2.5G", 2_500_000_000),
        ("100 Mbit/s", 100_000_000),
        ("64k", 64_000),
        ("9600 bit/s", 9600),
        ("0.1M", 100_000),
    ],
)
def test_a_rate_is_read_in_decimal_bits_per_second(text: str, bits_per_second: int) -> None:
    assert parse_rate(text) == bits_per_second


@pytest.mark.parametrize(
    ("text", "seconds"), [("200ms", 0.2), ("60s", 60), ("3min", 180), ("1h", 3600), ("20d", 1_728_000)]
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "size"), [("512KiB", 524_288), ("64MiB", 67_108_864), ("1GB", 10**9)])
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["200 ms", "60 s", "7 min", "1 h", "20 d", "90061 s", "2500 ms", "0 s"])
def test_a_duration_is_told_in_the_greatest_whole_unit_and_read_again(text: str) -> None:
    seconds = parse_duration(text)
    told = format_duration(seconds)
    assert told == {"60 s": "1 min"}.get(text, text)
    assert parse_duration(told) == seconds


@pytest.mark.parametrize("text", ["512 KiB", "64 MiB", "3 GB", "1001 B", "50 MB", "0 B"])
def test_a_size_is_told_in_the_greatest_whole_unit_and_read_again(text: str) -> None:
    assert format_size(parse_size(text)) == text


@pytest.mark.parametrize(
    "text", ["10", "M", "-1M", "1e3M", "10 m", "nan M", "10MB", "1_0M", "", "10M\n", "１０M"]
)
def test_a_rate_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rate with its unit, like 10M, 2\.5G or 100 Mbit/s"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["5", "5m", "5 minutes", "inf s"])
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration with its unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("bits_per_second", "text"),
    [
        (360_000_000, "360 Mbit/s"),
        (2_500_000_000, "2.5 Gbit/s"),
        (999, "999 bit/s"),
        (95_654_321, "95.65 Mbit/s"),
        (0, "0 bit/s"),
    ],
)
def test_a_rate_is_written_with_four_digits(bits_per_second: float, text: str) -> None:
    assert format_rate(bits_per_second) == text
