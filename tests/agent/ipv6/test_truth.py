"""The truth table on real routers and a real collector; the whole of it by ``python -m tests.agent.ipv6``."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config.readiness import Levels
from tests.agent.ipv6 import network as networks
from tests.agent.ipv6.cases import CASES
from tests.agent.ipv6.network import Network, begun
from tests.lab import addresses

SHORT = {
    "good": Levels(4, 4), "noipv6": Levels(0, 0), "nodeleg": Levels(1, 1), "life0": Levels(1, 1),
    "rogue": Levels(3, 3),
}  # fmt: skip
MENDED = ["nodeleg", "life0", "rogue"]
NO_IPV6_SECONDS = 30.0
SHOWN_SECONDS = 15.0

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs_root,
    pytest.mark.needs("ip", "nft", "radvd", "dnsmasq", "snmpd", "ethtool", "kea-dhcp6", "dhclient", "curl"),
]


@pytest.fixture(scope="module")
def standing() -> Iterator[Network]:
    with networks.network(list(SHORT)) as network:
        yield network


@pytest.fixture(scope="module")
def pool(standing: Network) -> Iterator[ThreadPoolExecutor]:
    """Its threads last as long as the network: programs of the lab die with the thread that started them."""
    with ThreadPoolExecutor(len(standing.cases)) as made:
        yield made


def test_what_is_broken_is_named_what_rests_on_it_is_unknown_and_repair_is_seen(
    standing: Network, pool: ThreadPoolExecutor
) -> None:
    for name, found in zip(SHORT, pool.map(standing.check, SHORT), strict=True):
        assert (name, networks.truth(found)) == (name, dict(CASES[name].expected)), found
        assert not CASES[name].code or CASES[name].code in {finding.code for finding in found.values()}
        assert (name, networks.levels(found)) == (name, SHORT[name])
    assert standing.seconds["noipv6"] < NO_IPV6_SECONDS
    list(pool.map(standing.mend, MENDED))
    for name, found in zip(MENDED, pool.map(standing.check, MENDED), strict=True):
        assert (name, networks.truth(found)) == (name, {}), found


def test_a_rogue_router_is_on_the_countys_page_within_seconds(standing: Network, tmp_path: Path) -> None:
    """From its first advertisement to the collector's own API: MAC and prefix, and the page in words."""
    school = standing.county.schools["good"]
    file = standing.settings(school, CASES["good"], "gateway")
    agent = begun(school.gateway, "run", "--config", str(file))
    try:
        listening = wait_for(standing, lambda check: check["code"] in {"listening", "none_rogue"})
        mac = (school.terminals[0].run("cat", "/sys/class/net/eth0/address")).strip()
        since = time.monotonic()
        standing.start_rogue(school)
        alarm = wait_for(standing, lambda check: check["result"] == "fail")
        seconds = time.monotonic() - since
        page = standing.services.page("/ipv6").decode()
    finally:
        agent.terminate()
        agent.communicate(timeout=30)
    assert listening["result"] in {"unknown", "pass"}
    assert (alarm["values"]["mac"], alarm["values"]["prefix"]) == (mac, addresses.ROGUE_PREFIX)
    assert seconds < SHOWN_SECONDS
    assert mac in page
    print(f"from the first advertisement to the collector's API: {seconds:.1f} s")


def wait_for(standing: Network, holds: Any) -> dict[str, Any]:
    """Check 12 as the collector tells it, once it is so."""
    never, end = threading.Event(), time.monotonic() + 60
    told: dict[str, Any] = {}
    while time.monotonic() < end:
        checks = standing.services.get("/api/v1/ipv6")["schools"]["good"]["checks"]
        told = next(each for each in checks if each["check"] == 12)
        if holds(told):
            return told
        never.wait(0.2)
    raise AssertionError(f"the collector says {told}")


def test_every_check_is_broken_at_least_once() -> None:
    broken = {number for case in CASES.values() for number, how in case.expected.items() if how == "fail"}
    assert broken == set(range(1, 16))
