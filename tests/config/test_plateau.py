"""Plateaus: when a flat line is one, when it is not, and that it is told once."""

from __future__ import annotations

import pytest

from config import histogram
from config.evidence import EvidenceKind
from config.plateau import SERIES_KEPT, PlateauWatch, is_flat, rate_window
from config.points import FieldValue, Point
from config.school import Line, School

MINUTE = 60 * 10**9
START = 1_700_000_000 * 10**9
SCHOOL = School(id="s", lines=(Line(id="a"), Line(id="b")))


def line(minute: int, rates: list[float], *, of: str = "a", prefix: str = "rx") -> Point:
    fields: dict[str, FieldValue] = {
        "window_seconds": 60.0, "samples": len(rates), f"{prefix}_bits_per_second_sum": sum(rates),
        f"{prefix}_histogram": histogram.encode(histogram.count(rates)),
    }  # fmt: skip
    return Point("interface", {"interface": "eth0", "line": of}, fields, START + minute * MINUTE)


def ping(
    minute: int, rtt: float | None = 0.010, lost: int = 0, *, of: str = "a", place: str = "centre"
) -> Point:
    told: dict[str, FieldValue] = {"rtt_median_seconds": rtt} if rtt is not None else {}
    fields = {"sent": 60, "lost": lost, "place": place, **told}
    return Point("ping", {"target": "t", "family": "ipv4", "line": of}, fields, START + minute * MINUTE + 1)


def minutes_of(lines: list[list[float]], pings: list[Point]) -> list[Point]:
    return [line(minute, rates) for minute, rates in enumerate(lines, start=10)] + pings


SLOW = [ping(minute, 0.08) for minute in range(10, 15)]


def flat(rate: float) -> list[float]:
    """60 s at a rate, a second of which is a pause."""
    return [rate * (1 + 0.01 * (n % 3 - 1)) for n in range(59)] + [0.0]


USUAL = [each for minute in range(10) for each in (line(minute, [1e6, 5e6, 3e7] * 20), ping(minute))]


def during(rate: float = 90e6, rtt: float | None = 0.080, lost: int = 0, minutes: int = 5) -> list[Point]:
    return [
        each
        for minute in range(10, 10 + minutes)
        for each in (line(minute, flat(rate)), ping(minute, rtt, lost))
    ]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (during(), True),
        (during(rtt=0.010, lost=6), True),  # loss rises
        (during(rtt=None, lost=40), True),
        (during(rtt=0.012), False),  # a busy line, and nobody suffers
        (during(rtt=0.010), False),
        (during(minutes=2), False),  # too short
        (during(rate=200_000.0), False),  # idle
        (minutes_of([[1e6, 9e7] * 30] * 5, SLOW), False),
        (minutes_of([flat(9e7 * (1 - n / 30)) for n in range(5)], SLOW), False),  # it falls
        ([*(line(minute, flat(9e7)) for minute in range(10, 20, 2)), *SLOW], False),  # every other minute
        (minutes_of([flat(9e7)] * 5, []), False),  # no ping, so not known
        (minutes_of([flat(9e7)] * 5, [ping(m, 0.08, of="b") for m in range(10, 15)]), False),
        (minutes_of([flat(9e7)] * 5, [ping(m, 0.08, place="next_hop") for m in range(10, 15)]), False),
    ],
)  # fmt: skip
def test_what_is_a_plateau(points: list[Point], expected: bool) -> None:
    found = PlateauWatch().add([*USUAL, *points], SCHOOL)
    assert [(one.kind, one.subject, one.direction) for one in found] == (
        [(EvidenceKind.PLATEAU, "a", "down")] if expected else []
    )


def test_it_carries_at_least_that_and_no_upper_bound() -> None:
    (found,) = PlateauWatch().add([*USUAL, *during()], SCHOOL)
    assert found.lower_bits_per_second == int(sum(flat(90e6)) / 60)
    assert found.upper_bits_per_second is None
    assert found.judges
    assert round(found.at.timestamp()) == START // 10**9 + 12 * 60  # as soon as it was one


def test_upwards() -> None:
    points = [each for m in range(10, 15) for each in (line(m, flat(2e7), prefix="tx"), ping(m, 0.2))]
    (found,) = PlateauWatch().add([*USUAL, *points], SCHOOL)
    assert (found.direction, found.subject) == ("up", "a")


def test_it_is_told_once_and_a_second_one_again() -> None:
    watch = PlateauWatch()
    told = [len(watch.add([point], SCHOOL)) for point in [*USUAL, *during(minutes=20)]]
    assert sum(told) == 1
    calm = [each for m in range(30, 40) for each in (line(m, [1e6, 5e6, 3e7] * 20), ping(m))]
    again = [each for m in range(40, 45) for each in (line(m, flat(9e7)), ping(m, 0.08))]
    assert sum(len(watch.add([point], SCHOOL)) for point in [*calm, *again]) == 1


def test_one_in_the_middle_of_an_hour_that_comes_at_once_is_found() -> None:
    calm = [line(minute, [20e6 + minute * 2e6] * 60) for minute in range(15, 40)]
    found = PlateauWatch().add([*USUAL, *calm, *during()], SCHOOL)
    assert [each.kind for each in found] == [EvidenceKind.PLATEAU]


def test_points_out_of_order_and_twice_tell_the_same() -> None:
    points = [*USUAL, *during()]
    (found,) = PlateauWatch().add([*reversed(points), *points], SCHOOL)
    assert found == PlateauWatch().add(points, SCHOOL)[0]


def test_a_ping_bound_to_no_line_speaks_of_the_only_one() -> None:
    unbound = {"target": "t", "family": "ipv4"}
    points = [
        Point(p.measurement, unbound if p.measurement == "ping" else p.tags, p.fields, p.time_ns)
        for p in [*USUAL, *during()]
    ]
    assert PlateauWatch().add(points, SCHOOL) == []
    assert len(PlateauWatch().add(points, School(id="s", lines=(Line(id="a"),)))) == 1


def test_a_line_polled_by_snmp_has_no_histogram() -> None:
    points = [
        Point(p.measurement, p.tags, {k: v for k, v in p.fields.items() if "histogram" not in k}, p.time_ns)
        for p in [*USUAL, *during()]
    ]
    assert len(PlateauWatch().add(points, SCHOOL)) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"window_seconds": 0.0}, {"window_seconds": -1e300}, {"window_seconds": 1e290}, {"samples": 0},
        {"rx_bits_per_second_sum": 1e300}, {"rx_bits_per_second_sum": -1e300},
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_is_none(told: dict[str, FieldValue]) -> None:
    usual = line(1, flat(9e7))
    odd = Point(usual.measurement, usual.tags, {**usual.fields, **told}, usual.time_ns)
    assert rate_window(usual, "rx")
    assert rate_window(odd, "rx") is None


def test_what_is_kept_is_bounded() -> None:
    watch = PlateauWatch()
    many = [
        Point("ping", {"target": str(n), "line": "a"}, {"sent": 1, "lost": 0}, START + n) for n in range(500)
    ]
    watch.add(many, SCHOOL)
    assert len(watch._pings) == SERIES_KEPT


@pytest.mark.parametrize("text", ["", "1", "x:y", "1:1 1:2"])
def test_a_histogram_that_cannot_be_read_is_not_flat(text: str) -> None:
    assert not is_flat(text)
