"""Quantities as people write them in settings: «10M», «60s», «64MiB»; read into integers and seconds.

Rates are decimal bits per second, sizes are bytes, durations are seconds. A bare number is refused where a
unit is needed: nobody has to guess what «100» meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NUMBER_AND_UNIT = re.compile(r"\A([0-9]{1,15}(?:\.[0-9]{1,6})?)\s?([A-Za-z/]+)\Z")

RATE_UNITS = {
    "bit/s": 1,
    "kbit/s": 10**3, "k": 10**3, "K": 10**3,
    "Mbit/s": 10**6, "M": 10**6,
    "Gbit/s": 10**9, "G": 10**9,
}  # fmt: skip
DURATION_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
SIZE_UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip


class BitsPerSecond(int):
    """A rate in bit/s."""


class Seconds(float):
    """A duration in seconds."""


class Bytes(int):
    """A size in bytes."""


def parse_rate(text: str) -> BitsPerSecond:
    """«10M», «2.5G», «100 Mbit/s» → bit/s. Raises ValueError with what is allowed."""
    return BitsPerSecond(
        round(_parsed(text, RATE_UNITS, "a rate with its unit, like 10M, 2.5G or 100 Mbit/s"))
    )


def parse_duration(text: str) -> Seconds:
    """«200ms», «60s», «3min», «1h», «20d» → seconds. Raises ValueError with what is allowed."""
    return Seconds(
        _parsed(text, DURATION_UNITS, "a duration with its unit, like 200ms, 60s, 3min, 1h or 20d")
    )


def parse_size(text: str) -> Bytes:
    """«64MiB», «1GB» → bytes. Raises ValueError with what is allowed."""
    return Bytes(round(_parsed(text, SIZE_UNITS, "a size with its unit, like 512KiB, 64MiB or 1GB")))


def format_rate(bits_per_second: float) -> str:
    """A rate for people, at most four significant digits: «360 Mbit/s»."""
    for unit, factor in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if abs(bits_per_second) >= factor:
            return f"{bits_per_second / factor:.4g} {unit}"
    return f"{bits_per_second:.4g} bit/s"


def format_duration(seconds: float) -> str:
    """A duration as settings have it, in the greatest unit of which it is a whole number: «90 d», «2.5 s»."""
    return _in_whole_units(seconds, DURATION_UNITS, "s")


def format_size(size_bytes: int) -> str:
    """A size as settings have it: «64 MiB», «50 MB», «1000001 B»."""
    return _in_whole_units(size_bytes, SIZE_UNITS, "B")


def _in_whole_units(value: float, units: Mapping[str, float], otherwise: str) -> str:
    for unit, factor in sorted(units.items(), key=lambda each: each[1], reverse=True):
        count = round(value / factor)
        if count and abs(count * factor - value) < factor * 1e-9:
            return f"{count} {unit}"
    return f"{value:g} {otherwise}"


def _parsed(text: str, units: dict[str, int] | dict[str, float], allowed: str) -> float:
    match = _NUMBER_AND_UNIT.match(text)
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is not {allowed}")
    return float(match[1]) * units[match[2]]
