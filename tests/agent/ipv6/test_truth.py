"""The truth table on real routers and a real collector; the whole of it by ``python -m tests.agent.ipv6``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.readiness import Levels
from tests.agent.ipv6 import network as networks
from tests.agent.ipv6.network import CASES, Network

TRIES = 3
"""Round trips are measured on cores that others use as well."""
SHORT = ["good", "noipv6", "life0", "rogue"]

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs_root,
    pytest.mark.needs("ip", "nft", "radvd", "dnsmasq", "snmpd", "ethtool"),
]


@pytest.fixture(scope="module")
def standing() -> Iterator[Network]:
    with networks.network(SHORT) as network:
        yield network


@pytest.mark.parametrize("name", SHORT)
def test_what_is_broken_is_named_and_what_rests_on_it_is_unknown(standing: Network, name: str) -> None:
    found = {}
    for _ in range(TRIES):
        found = standing.check(name)
        if networks.truth(found) == dict(CASES[name].expected):
            break
    assert networks.truth(found) == dict(CASES[name].expected)
    assert not CASES[name].code or CASES[name].code in {finding.code for finding in found.values()}
    expected = {"good": Levels(4, 4), "noipv6": Levels(0, 0), "life0": Levels(1, 1), "rogue": Levels(3, 3)}
    assert networks.levels(found) == expected[name]


def test_every_check_is_broken_at_least_once() -> None:
    broken = {number for case in CASES.values() for number, how in case.expected.items() if how == "fail"}
    assert broken == set(range(1, 16))
