"""Which interface is which line."""

from __future__ import annotations

import pytest

from agent.lines import match_lines, remember
from agent.network.routes import DefaultRoute, next_hops, parse_ipv4_routes, parse_ipv6_routes
from config.school import Line, School

V4 = DefaultRoute("ipv4", "eth0", "172.16.0.1", 100)
V6 = DefaultRoute("ipv6", "eth9", "fe80::1", 1024)


@pytest.mark.parametrize(
    ("lines", "routes", "expected"),
    [
        ([Line(id="a")], [V4, V6], {"eth0": "a"}),
        ([Line(id="a")], [V6], {"eth9": "a"}),
        ([Line(id="a")], [], {}),
        ([Line(id="a", interface="eth5")], [V4], {"eth5": "a"}),
        ([Line(id="a", interface="eth5"), Line(id="b")], [V4], {"eth5": "a", "eth0": "b"}),
        ([Line(id="a", interface="eth0"), Line(id="b")], [V4], {"eth0": "a"}),
        ([Line(id="a"), Line(id="b")], [V4], {}),
        ([], [V4], {}),
    ],
)
def test_match(lines: list[Line], routes: list[DefaultRoute], expected: dict[str, str]) -> None:
    assert match_lines(School(id="s", lines=tuple(lines)), routes) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"eth0": "a"}, {}, {"eth0": "a"}),
        ({"eth0": "a"}, {"eth1": "a"}, {"eth1": "a"}),
        ({"eth0": "a"}, {"eth0": "b"}, {"eth0": "b"}),
    ],
)
def test_remember(before: dict[str, str], now: dict[str, str], expected: dict[str, str]) -> None:
    assert remember(before, now) == expected


def test_ipv4_routes_by_metric() -> None:
    text = (
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth1 00000000 0100A8C0 0003 0 0 200 00000000 0 0 0\n"
        "eth0 00000000 010010AC 0003 0 0 100 00000000 0 0 0\n"
        "ppp0 00000000 00000000 0001 0 0 300 00000000 0 0 0\n"
        "eth2 00000000 010010AC 0203 0 0 1 00000000 0 0 0\n"
        "eth0 000010AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n"
    )
    assert parse_ipv4_routes(text) == [
        DefaultRoute("ipv4", "eth0", "172.16.0.1", 100),
        DefaultRoute("ipv4", "eth1", "192.168.0.1", 200),
        DefaultRoute("ipv4", "ppp0", None, 300),
    ]


def test_ipv6_routes_without_the_rejecting_one() -> None:
    zero = "0" * 32
    text = (
        f"{zero} 00 {zero} 00 fe80000000000000000000000000000a 00000400 00000002 00000000 00000003 eth0\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        f"fe80000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n"
    )
    assert parse_ipv6_routes(text) == [DefaultRoute("ipv6", "eth0", "fe80::a", 1024)]


def test_each_interface_has_the_router_of_its_own_default_route() -> None:
    routes = [
        DefaultRoute("ipv4", "wan", "192.0.2.1", 100),
        DefaultRoute("ipv4", "wan", "192.0.2.9", 200),
        DefaultRoute("ipv4", "edu", "198.51.100.1", 300),
        DefaultRoute("ipv4", "ppp0", None, 400),
        DefaultRoute("ipv6", "wan", "2001:db8::1", 1024),
        DefaultRoute("ipv6", "six", "fe80::1", 1024),
        DefaultRoute("ipv6", "six", "2001:db8:6::1", 2048),
        DefaultRoute("ipv6", "local", "fe80::1", 1024),
    ]
    assert next_hops(routes) == {"wan": "192.0.2.1", "edu": "198.51.100.1", "six": "2001:db8:6::1"}
