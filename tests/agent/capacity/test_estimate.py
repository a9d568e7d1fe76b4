"""The arithmetic of a test, on made counts."""

from __future__ import annotations

import itertools

import pytest

from agent.capacity import estimate
from agent.capacity.estimate import Circumstances, Convergence, Mark


def marks_of(rates: list[float], step: float = 0.05) -> list[Mark]:
    """Marks every 50 ms at those rates."""
    sums = itertools.accumulate((rate * step for rate in rates), initial=0.0)
    return [Mark(index * step, bits) for index, bits in enumerate(sums)]


def test_the_crucial_interval_leaves_out_slow_start_and_bursts() -> None:
    ramp = [1e6, 5e6, 2e7, 5e7, 8e7]
    steady = [99e6 + 1e5 * (index % 5) for index in range(30)]
    found = estimate.crucial_interval([*ramp, *steady, 3e8])
    assert found is not None
    assert found.low >= 98e6
    assert found.high <= 101e6
    assert found.mean == pytest.approx(99.2e6, rel=0.002)


def test_a_single_stray_sample_is_not_dense() -> None:
    for stray in (0.0, -4e7, 1.0):
        found = estimate.crucial_interval([stray, *[99e6 + 1e5 * (index % 5) for index in range(30)]])
        assert found is not None
        assert found.mean == pytest.approx(99.2e6, rel=0.002)


def test_no_samples_have_no_interval() -> None:
    assert estimate.crucial_interval([]) is None


def test_a_steady_line_converges_after_the_least_time_and_a_growing_one_does_not() -> None:
    steady = marks_of([99e6 + 2e5 * (index % 3) for index in range(60)])
    settled = Convergence(1.5)
    reached = [mark.seconds for end, mark in enumerate(steady) if settled.reached(steady[: end + 1])]
    assert reached[0] == pytest.approx(1.6, abs=0.21)
    growing = marks_of([1e6 * 1.05**index for index in range(60)])
    never = Convergence(1.5)
    assert not any(never.reached(growing[:end]) for end in range(1, 61))


def test_a_rate_that_comes_in_fits_and_starts_is_not_steady() -> None:
    """As 360 Mbit/s over a relay that others hold up: 285 settled on, 315 for a whole second."""
    fits = marks_of(([285e6] * 30 + [315e6] * 24 + [284e6] * 20) * 3)
    assert not estimate.is_steady(fits, 284.6e6)
    assert estimate.is_steady(marks_of([285e6, 288e6] * 50), 285e6)
    assert not estimate.is_steady(marks_of([100e6] * 18 + [0.0] * 2 + [100e6] * 18), 100e6)
    assert estimate.is_steady(
        marks_of([400e6] * 20 + [285e6] * 80), 285e6
    )  # a burst at first is no line's rate


def test_a_search_says_no_more_than_a_whole_second_carried() -> None:
    """What stood still for 50 ms comes in the next 200: 125 Mbit/s most of the time, 100 in the mean."""
    bursts = marks_of([125e6, 125e6, 125e6, 125e6, 0.0] * 12)
    interval = estimate.crucial_interval(estimate.rates(bursts))
    assert interval is not None
    assert interval.mean == pytest.approx(125e6)
    assert estimate.rate_of_search(bursts, interval, converged=True) == pytest.approx(100e6)


def test_a_search_that_did_not_settle_says_what_it_carried() -> None:
    held_back = marks_of([0.0] * 4 + ([0.0, 0.0, 0.0, 100e6] * 14))
    interval = estimate.crucial_interval(estimate.rates(held_back))
    assert interval is not None
    assert interval.mean == 0.0
    assert estimate.rate_of_search(held_back, interval, converged=False) == pytest.approx(25e6)
    assert estimate.rate_of_search([], None, converged=False) == 0.0


def test_maximum_1s_is_absent_in_a_shorter_run() -> None:
    assert estimate.maximum_1s(marks_of([1e6] * 19)) is None
    assert estimate.maximum_1s(marks_of([1e6] * 20 + [3e6] * 20)) == pytest.approx(3e6)


def test_the_last_two_thirds_forget_the_first() -> None:
    assert estimate.last_two_thirds(marks_of([0.0] * 20 + [9e6] * 40)) == pytest.approx(9e6)
    assert estimate.last_two_thirds([]) is None


@pytest.mark.parametrize("users", [0.0, 10e6, 30e6])
@pytest.mark.parametrize("refreshed", [1.0, 2.0])
@pytest.mark.parametrize("phase", [0.1, 0.45, 0.8])
def test_a_counter_that_is_refreshed_seldom_tells_users_within_a_doubt(
    users: float, refreshed: float, phase: float
) -> None:
    """A verify run of 4 s: what is certain is not too much, and with the doubt it is not too little."""
    own = [Mark(index * 0.05, index * 0.05 * 70e6) for index in range(81)]
    line = [
        Mark(mark.seconds, max(0.0, (mark.seconds - phase) // refreshed * refreshed + phase) * (70e6 + users))
        for mark in own
    ]
    assert estimate.is_seldom(line)
    certain, doubt = estimate.users_beside(estimate.steps_of(line), own, 4.0 * (70e6 + users), own[-1].bits)
    assert certain <= users <= certain + doubt + 1.0
    assert doubt <= 10e6 + users  # a fail within it is no fail; nothing else is lost


def test_a_counter_that_moves_at_each_reading_is_not_seldom() -> None:
    assert not estimate.is_seldom(marks_of([45e6] * 30))
    assert not estimate.is_seldom([Mark(0.0, 0.0)])
    assert estimate.even(0.0, marks_of([1e6] * 3)) == []


@pytest.mark.parametrize(
    ("added", "expected"),
    [(0.0, "A+"), (0.005, "A"), (0.03, "B"), (0.06, "C"), (0.2, "D"), (0.4, "F"), (9.0, "F")],
)
def test_grades(added: float, expected: str) -> None:
    assert estimate.grade(added) == expected


def test_delay_that_keeps_growing() -> None:
    flat = [(index * 0.1, 0.05) for index in range(40)]
    rising = [(index * 0.1, 0.01 + 0.05 * index * 0.1) for index in range(40)]
    assert not estimate.keeps_growing(flat, 4.0)
    assert estimate.keeps_growing(rising, 4.0)
    assert not estimate.keeps_growing([], 4.0)


CLEAN = {
    "host_cpu_share": 0.2, "far_cpu_share": 0.2, "far_line_share": 0.7, "congestion_control": "bbr",
    "retransmitted_share": 0.0, "window_limited_share": 0.0, "queue": False, "rate_bits_per_second": 1e8,
    "cap_bits_per_second": None, "cpu_limit": 0.85,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "nothing"),
        ({"host_cpu_share": 0.86}, "host_cpu"),
        ({"far_cpu_share": 0.86}, "far_end"),
        ({"host_cpu_share": None, "far_cpu_share": None}, "nothing"),
        ({"cap_bits_per_second": 100_000_000}, "rate_cap"),
        ({"cap_bits_per_second": 200_000_000}, "nothing"),
        ({"cap_bits_per_second": 100_000_000, "host_cpu_share": 1.0}, "rate_cap"),
        ({"far_line_share": 0.91}, "far_end"),
        ({"far_line_share": None}, "nothing"),
        ({"window_limited_share": 0.11}, "window"),
        ({"window_limited_share": 0.4, "queue": True}, "nothing"),
        ({"window_limited_share": 0.6, "queue": True}, "window"),
        ({"congestion_control": "reno", "retransmitted_share": 0.001}, "loss_under_reno"),
        ({"congestion_control": "cubic", "retransmitted_share": 0.001}, "loss_under_reno"),
        ({"congestion_control": "reno", "retransmitted_share": 0.001, "queue": True}, "nothing"),
        ({"congestion_control": "bbr", "retransmitted_share": 0.05}, "nothing"),
    ],
)
def test_what_limited_a_test(changes: dict[str, object], expected: str) -> None:
    assert estimate.limit_of(Circumstances(**(CLEAN | changes))) == expected  # type: ignore[arg-type]


def test_bounds() -> None:
    assert estimate.bound_of_search("nothing", converged=True) == "equal"
    assert estimate.bound_of_search("nothing", converged=False) == "lower"
    assert estimate.bound_of_search("host_cpu", converged=True) == "lower"
    assert estimate.bound_of_verify(passed=True, limited_by="host_cpu") == "lower"
    assert estimate.bound_of_verify(passed=False, limited_by="nothing") == "upper"
    assert estimate.bound_of_verify(passed=False, limited_by="loss_under_reno") == "lower"
