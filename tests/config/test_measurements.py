"""The schema of the measurements, and what fits it."""

from __future__ import annotations

import pytest

from config.measurements import Misfit, check, schema
from config.points import Point


def ping(tags: dict[str, str] | None = None, **fields: bool | int | float | str) -> Point:
    return Point("ping", {"target": "gateway", "family": "ipv4"} | (tags or {}), fields, 1)


def test_every_declared_name_is_plain_and_says_its_unit() -> None:
    for name, measurement in schema().items():
        for key, field in measurement.fields.items():
            assert f"{name}{key}".replace("_", "").isalnum()
            assert field.unit != "bit/s" or "bits_per_second" in key
            assert field.unit != "s" or "seconds" in key


@pytest.mark.parametrize(
    "point", [ping(sent=1), ping({"line": "l1", "school": "s", "agent": "a"}, rtt_min_seconds=0.5)]
)
def test_what_fits(point: Point) -> None:
    check(point)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (ping(), "needs at least one field"),
        (ping(sent=1.0), "field sent is float, declared int"),
        (ping(sent=True), "field sent is bool, declared int"),
        (ping(rtt_min_seconds=1), "field rtt_min_seconds is int, declared float"),
        (ping(sent=2**63), "64 signed bits"),
        (ping(colour="red"), "field colour is not declared"),
        (ping({"family": "ipx"}, sent=1), "tag family is 'ipx'; allowed: ipv4, ipv6"),
        (ping({"colour": "red"}, sent=1), "tag colour is not declared"),
        (Point("weather", {}, {"rain": 1}, 1), "measurement weather is not declared"),
    ],
)
def test_what_does_not_fit(point: Point, reason: str) -> None:
    with pytest.raises(Misfit, match=reason):
        check(point)
