"""The lab is what it claims to be, by tools that no one here wrote."""

from __future__ import annotations

import pytest

from tests.lab import calibrate
from tests.lab.netns import Lab

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.needs_root,
    pytest.mark.needs("ip", "tc", "nft", "ethtool", "dnsmasq", "radvd", "iperf3", "fping"),
]


def test_the_lab_against_iperf3_and_fping(capsys: pytest.CaptureFixture[str]) -> None:
    with Lab() as lab:
        rows = calibrate.calibrate(lab)
    with capsys.disabled():
        calibrate.show(rows)
    assert [row for row in rows if not row.right] == []
