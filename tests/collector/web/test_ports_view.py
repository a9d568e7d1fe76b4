"""IPv6's share of a port, as the page shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.store.interface import Latest
from collector.web.ports_view import ports
from config.points import FieldValue

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"rx_ip_bytes": 1000, "rx_ipv6_bytes": 250}, "25.0 %"),
        ({"rx_ip_bytes": 1000, "rx_ipv6_bytes": 0}, "0.0 %"),
        # nothing came in: no share of it, and no zero
        ({"rx_ip_bytes": 0, "rx_ipv6_bytes": 0}, "–"),
        ({"rx_ip_bytes": 1000}, "–"),
        ({"rx_ip_bytes": 1000, "ipv6_unknown": "flow_offload"}, "? unknown"),
    ],
)
def test_ipv6s_share_of_what_came_in(fields: dict[str, FieldValue], shown: str) -> None:
    tags = {"interface": "br0", "role": "lan"}
    (port,), count = ports([Latest("s1", "interface", tags, round(NOW.timestamp() * 1e9), fields)], "en", NOW)
    assert (port.ipv6, count) == (shown, 1)
