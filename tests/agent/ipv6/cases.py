"""The ways in which the truth table breaks IPv6, each with what all fifteen checks must then say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from config.units import Seconds
from tests.lab import addresses
from tests.lab.description import Ipv6Fault, Line

OUTSIDE, CENTRE = addresses.OUTSIDE, addresses.CENTRE
NAMES, NAMES_WITHOUT_AAAA = addresses.OUTSIDE_HOSTS[1], addresses.OUTSIDE_HOSTS[0]
ONE_LINE = (Line(id="a", carrier="tel"),)
Expected = Mapping[int, Literal["fail"] | int]
Delegation = Literal["", "none", "offered", "used"]


class Case(msgspec.Struct, frozen=True):
    """One way to break IPv6. ``expected`` says what does not pass: «fail», or the check it is unknown for.

    ``drop`` is a rule for what the carrier's access node forwards, ``set_up`` changes the probe's settings,
    ``code`` is the finding that names the cause. ``delegation`` is what the carrier's DHCPv6 server does
    where the prefix is not static: has none to give, has one that the gateway leaves, gives one.
    """

    expected: Expected
    code: str = ""
    faults: tuple[Ipv6Fault, ...] = ()
    lines: tuple[Line, ...] = ONE_LINE
    drop: str = ""
    set_up: dict[str, Any] = {}
    quiet_rogue: bool = False
    ipv4_use: bool = False
    deaf_client: bool = False
    delegation: Delegation = ""


def beyond(number: int, *, but: tuple[int, ...] = ()) -> dict[int, Literal["fail"] | int]:
    """All that rests on reachability is unknown because of ``number``."""
    return {check: number for check in (7, 8, 9, 10, 11, 13, 14, 15) if check not in but and check != number}


def on_lan(number: int) -> dict[int, Literal["fail"] | int]:
    """All that a client's address and its use rest on is unknown because of ``number``."""
    return {check: number for check in (4, 5, 6, 13, 15) if check != number}


def site(name: str) -> dict[str, Any]:
    return {"platforms": [{"url": f"http://{name}.lab.test/", "inside": True}]}


CASES: dict[str, Case] = {
    "good": Case({}),
    "given": Case({}, faults=("no_lan_prefix",), delegation="used"),
    "noipv6": Case(
        {1: "fail", 2: "fail", 3: "fail", 4: 3, 5: 3, 6: 3, **beyond(1), 13: 3},
        "not_global", lines=(Line(id="a", carrier="tel", ipv6="off"),),
    ),
    "ula": Case({1: "fail", **beyond(1)}, "not_global", ("ula_only",)),
    "noroute": Case(
        {2: "fail", 4: "fail", 5: 4, 6: 4, **beyond(2), 13: 4}, "no_route", ("no_default_route",),
    ),
    "right": Case({2: "fail", **beyond(2)}, "no_route", ("no_default_route", "zero_router_lifetime")),
    "deadhop": Case({2: "fail", **beyond(2)}, "next_hop_silent", ("dead_next_hop",)),
    "noprefix": Case({3: "fail", **on_lan(3)}, "no_delegating_server", ("no_lan_prefix",)),
    "nodeleg": Case({3: "fail", **on_lan(3)}, "no_delegation", ("no_lan_prefix",), delegation="none"),
    "left": Case({3: "fail", **on_lan(3)}, "delegation_unused", ("no_lan_prefix",), delegation="offered"),
    "nora": Case({4: "fail", **on_lan(4)}, "no_advertisement", ("no_router_advertisement",)),
    "life0": Case({4: "fail", **on_lan(4)}, "lifetime_zero", ("zero_router_lifetime",)),
    "noauto": Case({4: "fail", **on_lan(4)}, "not_autonomous", ("no_autoconfiguration",)),
    "noclient": Case({6: "fail", 13: 6, 15: 6}, "no_client_address", deaf_client=True),
    "nordnss": Case({5: "fail"}, "no_dns", ("no_rdnss",)),
    "short": Case({5: "fail"}, "rdnss_short", ("short_rdnss_lifetime",)),
    "hole": Case({7: "fail", **beyond(7)}, "not_reached", ("blackhole",)),
    "noaaaa": Case({8: "fail", 14: 8}, "no_aaaa", set_up={"resolvers": [NAMES_WITHOUT_AAAA[1]]}),
    "toobig": Case({9: "fail", 10: "fail", 13: 10}, "too_big_lost", ("packet_too_big_dropped",)),
    "noecho": Case({10: "fail", 13: 10}, "echo_lost", drop="icmpv6 type { echo-request, echo-reply } drop"),
    "slow": Case(
        {11: "fail"}, "slower",
        lines=(Line(id="a", carrier="tel", ipv6="off"), Line(id="b", carrier="uni", delay=Seconds(0.01))),
    ),
    "rogue": Case({12: "fail"}, "rogue", quiet_rogue=True),
    "open": Case({13: "fail"}, "inbound_open", ("inbound_open",)),
    "v4site": Case({14: "fail"}, "site_no_aaaa", set_up=site("v4only")),
    "refused": Case({14: "fail"}, "site_refuses", set_up=site("refusing")),
    "unused": Case({15: "fail"}, "little_use", set_up={"use_floor_percent": 40.0}, ipv4_use=True),
}  # fmt: skip
"""Every check is broken at least once; what depends on the broken one is unknown because of it."""
