"""IPv6 as the kernel has it: a truth table, a host made of files, and a real kernel in a namespace."""

from __future__ import annotations

import ipaddress
import threading
import time
from pathlib import Path

import pytest

from agent.network.addresses import Address, parse_addresses
from agent.network.neighbours import FAILED, REACHABLE, Neighbour
from agent.network.routes import DefaultRoute
from agent.probe import NoData, Run, Site
from agent.probes import ipv6
from agent.probes.ipv6 import IPv6, Settings, State, judge
from config.clock import SystemClock
from config.measurements import check
from config.points import FieldValue, Point, encode
from config.school import Line, School
from config.settings import SettingsError, convert
from tests.agent.probes.fakes import FakeClock, FakeHost, FakeRun
from tests.agent.probes.netns import call_in, ip, joined_pair
from tests.conftest import Golden

HOP = "fe80::1"
ROUTE = DefaultRoute("ipv6", "wan", HOP, 1024)
GLOBAL = "2408:8000::5"


def address(text: str, flags: int = 0x80) -> Address:
    return Address("wan", ipaddress.IPv6Address(text), flags)


def hop(state: int) -> list[Neighbour]:
    return [Neighbour(7, ipaddress.IPv6Address(HOP), state)]


@pytest.mark.parametrize(
    ("addresses", "routes", "neighbours", "expected", "words"),
    [
        ([address(GLOBAL)], [ROUTE], hop(REACHABLE), (True, True, True), "in order"),
        ([address(GLOBAL)], [ROUTE], hop(FAILED), (True, True, False), "does not answer"),
        ([address(GLOBAL)], [ROUTE], [], (True, True, None), "not asked lately"),
        ([address(GLOBAL)], [ROUTE], None, (True, True, None), "cannot be read"),
        ([address(GLOBAL)], [DefaultRoute("ipv6", "wan", None, 1)], [], (True, True, None), "point to point"),
        ([address(GLOBAL)], [], None, (True, False, None), "no IPv6 default route"),
        ([address(GLOBAL, 0x40)], [], None, (None, False, None), "tentative"),
        ([address(GLOBAL, 0x08)], [], None, (False, False, None), "another host"),
        ([address("fd00::1"), address("fe80::5")], [], None, (False, False, None), "only fd00::1, fe80::5"),
        ([address("2002:102:304::1")], [], None, (False, False, None), "no global address"),
        ([address("2001:0:102::1")], [], None, (False, False, None), "no global address"),
        ([address("2001:da8::1")], [], None, (True, False, None), "no IPv6 default route"),
        ([], [], None, (False, False, None), "no IPv6 address"),
        (None, [], None, (False, False, None), "switched off"),
    ],
)
def test_truth_table(
    addresses: list[Address] | None,
    routes: list[DefaultRoute],
    neighbours: list[Neighbour] | None,
    expected: tuple[bool | None, ...],
    words: str,
) -> None:
    fields = judge(State("wan", addresses, routes, neighbours, 600))
    told: list[FieldValue | None] = [
        fields.get(name) for name in ("global_address", "default_route", "next_hop_answers")
    ]
    assert tuple(told) == expected
    assert words in str(fields["finding"])


def gateway(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path)
    (host.proc / "net/if_inet6").write_text(
        "24088000000000000000000000000005 07 40 00 80      wan\n"
        "fe800000000000000000000000000005 07 40 20 80      wan\n"
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fd000000000000000000000000000001 08 40 00 80   br-lan\n",
        encoding="ascii",
    )
    zero = "0" * 32
    (host.proc / "net/ipv6_route").write_text(
        f"{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000002 00000000 00000003 wan\n",
        encoding="ascii",
    )
    return host


def test_a_gateway_is_told_as_in_the_golden_file(tmp_path: Path, golden: Golden) -> None:
    host = gateway(tmp_path)
    site = Site(school=School(id="s", lines=(Line(id="a", interface="wan"),)), proc=host.proc, sys=host.sys)
    probe = IPv6(Settings(), site, lambda: hop(REACHABLE))
    points = probe.measure(FakeRun(FakeClock(), 60, lambda _: None))
    for point in points:
        check(point)
    golden(Path(__file__).with_name("golden") / "ipv6.lp", "".join(encode(each) + "\n" for each in points))


def test_a_host_without_ipv6_and_lines_has_no_data(tmp_path: Path) -> None:
    site = Site(school=School(id="s"), proc=tmp_path)
    with pytest.raises(NoData, match="no line's interface is known"):
        IPv6(Settings(), site, list).measure(FakeRun(FakeClock(), 60, lambda _: None))


def test_lines_of_another_shape_are_passed_over() -> None:
    assert parse_addresses("garbage\n\n00 01\n") == []


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_the_real_kernel_of_a_namespace() -> None:
    school = School(id="s", lines=(Line(id="a", interface="near0"),))
    site = Site(school=school, proc=Path("/proc/thread-self"))
    probe = ipv6.build(Settings(), site)

    def measure() -> list[Point]:
        run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=10, window_seconds=60)
        return list(probe.measure(run))

    with joined_pair() as (near, _):
        ip("-n", near, "addr", "add", "2408:8000::5/64", "dev", "near0", "nodad")
        ip("-n", near, "neigh", "replace", "fd99::2", "dev", "near0", "lladdr", "02:00:00:00:00:01")
        good = call_in(near, measure)[0]
        ip("-n", near, "-6", "route", "del", "default")
        ip("-n", near, "addr", "del", "2408:8000::5/64", "dev", "near0")
        bad = call_in(near, measure)[0]
    assert good.tags == {"interface": "near0", "line": "a"}
    assert {good.fields[name] for name in ("global_address", "default_route", "next_hop_answers")} == {True}
    assert (bad.fields["global_address"], bad.fields["default_route"]) == (False, False)
    assert time.time_ns() - good.time_ns < 60e9


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"every": "0s"}, "every is from 1s to 1d"), ({"recent": "2d"}, "recent is from 1s to 1d")],
)
def test_settings_that_cannot_be_used(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        convert(settings, Settings, "agent.yaml")
