"""A counter that its driver refreshes every 3 s, from samples to verdict: no false peak, no false met."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.network.counters import Counters
from agent.network.window import InterfaceTrack
from config.calendar import default_calendar
from config.evidence import EvidenceKind, evidence_of, moment_of
from config.judge import judge_plan
from config.plan import shipped_plans
from config.points import Point
from config.school import Line, School

SECOND_NS = 10**9
START_NS = 1_763_000_000 * SECOND_NS
MTU_BYTES = 1500
REFRESH_SECONDS = 3
SCHOOL = School("s1", classes=10, lines=(Line("l1"),))
NEEDED_BITS_PER_SECOND = 100_000_000
"""Ten classes at 10 Mbit/s each (shandan, 2018)."""


def carried(at_seconds: int, bits_per_second: int) -> Counters:
    """What the driver shows then: what was carried up to its last refresh."""
    refreshed_at = at_seconds // REFRESH_SECONDS * REFRESH_SECONDS
    packets = refreshed_at * bits_per_second // (8 * MTU_BYTES)
    return Counters(packets * MTU_BYTES, packets, 0, 0, 0, 0, 0, 0)


def windows(bits_per_second: int) -> list[Point]:
    """Ten minutes of an even rate, as the agent writes them."""
    track = InterfaceTrack(1.0)
    track.link_bits_per_second = 1_000_000_000
    found = []
    for second in range(1, 601):
        track.add(second * SECOND_NS, carried(second, bits_per_second))
        if second % 60 == 0:
            found.append(Point("interface", {"interface": "eth0", "line": "l1"}, track.take(),
                               START_NS + second * SECOND_NS))  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("share", "answer"), [(0.34, "unknown"), (0.9, "unknown"), (0.99, "unknown"), (1.2, "met")]
)
def test_an_even_rate_read_in_lumps_is_judged_by_what_was_carried(share: float, answer: str) -> None:
    rate = round(NEEDED_BITS_PER_SECOND * share)
    points = windows(rate)
    lumps = [point.fields["rx_bits_per_second_max"] for point in points]
    assert max(float(lump) for lump in lumps) >= 2.9 * rate  # what would be a false peak
    evidence = [each for point in points for each in evidence_of(point, SCHOOL)]
    peaks = [each.lower_bits_per_second for each in evidence if each.kind is EvidenceKind.PASSIVE_PEAK]
    assert peaks
    assert max(peak for peak in peaks if peak is not None) <= rate
    now = moment_of(points[-1]) + timedelta(minutes=1)
    verdicts = judge_plan(shipped_plans()["shandan"], SCHOOL, evidence, now, default_calendar())
    assert {each.target: each.answer.value for each in verdicts}["egress_all_2018"] == answer
