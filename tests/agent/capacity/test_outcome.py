"""What a test counted, as bits at the IP layer, and when a host or a line is too busy for one."""

from __future__ import annotations

import pytest

from agent.capacity import estimate
from agent.capacity.estimate import Mark
from agent.capacity.outcome import Options, Received, ip_marks
from agent.capacity.tcp import Framing


def test_a_lost_segment_holds_up_payload_and_no_rate() -> None:
    """Segments of 1,000 bytes come evenly; one in nine times the payload behind a gap is not yet counted."""
    steady = [Received(each * 0.05, 100_000 * each, 100 * each) for each in range(10)]
    behind = Received(0.5, 900_000 - 40_000, 1_000)
    marks = ip_marks([*steady, behind], Framing(header_bytes=40, payload_bytes=1_000))
    assert estimate.rates(marks) == pytest.approx([100 * 1_040 * 8 / 0.05] * 10)
    assert ip_marks([Received(0.0, 0, 0)], Framing(40, 1_000)) == [Mark(0.0, 0.0)]


def test_a_segment_that_came_twice_took_the_line_twice() -> None:
    """Late ones were sent again: 8 in a hundred came twice, from the first sample on."""
    received = [Received(each * 0.05, 92_000 * each, 100 * each) for each in range(11)]
    framed = Framing(header_bytes=40, payload_bytes=1_000)
    assert estimate.rates(ip_marks(received, framed, 80)) == pytest.approx([100 * 1_040 * 8 / 0.05] * 10)
    assert max(estimate.rates(ip_marks(received, framed, 500))) == pytest.approx(100 * 1_040 * 8 / 0.05)


def test_segments_that_a_virtual_machines_host_merged_are_counted_by_their_payload() -> None:
    """44 at a time at first, then 20, at one rate: 1 GbE is 975.3 Mbit/s at the IP layer."""
    framed, step = Framing(header_bytes=52, payload_bytes=1_448), 1_448 * 4_064
    received = [
        Received(each * 0.05, each * step, round(4_064 * (min(each, 6) / 44 + max(0, each - 6) / 20)))
        for each in range(20)
    ]
    assert estimate.rates(ip_marks(received, framed)) == pytest.approx([975.36e6] * 19, rel=1e-3)


@pytest.mark.parametrize(
    ("cpu_share", "users", "full", "why"),
    [
        (0.30, 80e6, 100_000_000, ""),
        (0.31, 0.0, None, "a core is 31% busy before the test"),
        (0.0, 81e6, 100_000_000, "users alone move 81 Mbit/s of 100 Mbit/s; the passive evidence decides"),
        (0.0, 81e6, None, ""),
    ],
)
def test_before_which_hosts_and_lines_are_too_busy(
    cpu_share: float, users: float, full: int | None, why: str
) -> None:
    assert Options().why_too_busy(cpu_share, users, full) == why
