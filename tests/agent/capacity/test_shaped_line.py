"""Search and verify on a line whose rate the test itself has set."""

from __future__ import annotations

import pytest

from tests.agent.capacity.far_end import number
from tests.agent.capacity.shaped import shaped

pytestmark = pytest.mark.quiet

TRUTH = 100e6 * 1500 / 1514
"""tbf counts whole frames; the IP layer is without their 14 bytes."""
SHARED_MACHINE: dict[str, object] = {"cpu_limit": 1.0, "busy_cpu": 1.0}
SEARCH: dict[str, object] = SHARED_MACHINE | {"mode": "search"}


def verify(share: float) -> dict[str, object]:
    """A verify run that asks for that share of the line."""
    return SHARED_MACHINE | {"mode": "verify", "rate": f"{TRUTH * share / 0.95 / 1e6:.3f}M"}


@pytest.mark.needs_root
@pytest.mark.needs("ethtool")
@pytest.mark.needs("tc")
def test_search_and_verify_on_a_line_of_100_mbit_s() -> None:
    up: dict[str, object] = {"directions": ["up"]}
    with shaped("100mbit") as line:
        *searches, failed = line.measured("ipv4", [SEARCH, verify(1.05) | up])
    for point in searches:
        assert point.tags["line"] == "l1"
        assert point.fields["counts_for_line"] is True
        assert point.fields["bound"] == "equal"
        assert number(point, "ip_bits_per_second") == pytest.approx(TRUTH, rel=0.03)
        assert number(point, "bytes") <= 100e6 / 8 * 10 / 3
        assert number(point, "idle_rtt_seconds") < number(point, "loaded_rtt_seconds")
    assert (failed.fields["passed"], failed.fields["bound"]) == (False, "upper")
