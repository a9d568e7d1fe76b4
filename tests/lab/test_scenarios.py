"""The lab's scenarios in their short form: a few of each kind."""

from __future__ import annotations

import pytest

from tests.lab import scenario
from tests.lab.play import play

MEASURES = pytest.mark.quiet
SHORT = (
    "passive_met",
    "idle_unknown",
    pytest.param("capacity_not_met", marks=MEASURES),
    "box_port",
    "box_passive_met",
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs_root,
    pytest.mark.needs("ip", "tc", "nft", "ethtool", "dnsmasq", "radvd", "snmpd"),
]


@pytest.mark.parametrize("name", SHORT)
def test_scenario_holds(name: str) -> None:
    played = play(name, scenario.load(scenario.find([name])[name]))
    assert played.problems == ()
    assert [outcome for outcome in played.outcomes if outcome.mark != "right"] == [], played.logs
