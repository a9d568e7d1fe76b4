"""The interfaces probe on a host made of files, and on this one's loopback."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import msgspec
import pytest

from agent.network.ethtool import connector
from agent.network.ports import PORT_TYPES, parse_connector, parse_duplex, parse_operational, parse_speed
from agent.probe import NoData, Run, Site
from agent.probes import interfaces
from agent.probes.interfaces import Interfaces, Settings
from config.clock import SystemClock
from config.measurements import check
from config.points import Point, encode
from config.school import Line, School
from config.settings import SettingsError, convert
from config.units import Seconds
from tests.agent.probes.fakes import FakeClock, FakeHost, FakeRun
from tests.conftest import Golden

GOLDEN = Path(__file__).with_name("golden")
RATES = {
    "lo": 1_000, "eth0": 1_000_000, "eth1": 2_000_000, "eth2": 0, "eth3": 0, "eth0.100": 500_000,
    "bond0": 2_000_000, "br-lan": 3_000_000, "ppp0": 125_000, "tun0": 4_000, "ifb0": 9_000_000,
    "veth0a1b2c3": 9,
}  # fmt: skip
CONNECTORS = {"eth0": 0, "eth1": 3, "eth2": 5, "eth3": 0xEF}


def make_host(root: Path) -> FakeHost:
    """A gateway: PPPoE uplink and a VLAN on eth0, a bond of eth1 and eth2, a bridge, a tunnel."""
    host = FakeHost(root)
    host.interface("lo", index=1, kind=772, operstate="unknown", carrier="1")
    host.interface("eth0", index=2, hardware=True, speed="1000", duplex="full")
    host.interface("eth1", index=3, hardware=True, speed="10000", duplex="full")
    host.interface("eth2", index=4, hardware=True, operstate="down", speed="-1", duplex="unknown")
    host.interface("eth3", index=5, hardware=True, operstate="down")
    host.interface("eth0.100", index=6, lower=("eth0",), speed="1000", duplex="full", uevent="DEVTYPE=vlan")
    host.interface("bond0", index=7, lower=("eth1", "eth2"), speed="10000", uevent="DEVTYPE=bond")
    host.interface("br-lan", index=8, lower=("eth3",), speed="1000", uevent="DEVTYPE=bridge")
    host.interface("ppp0", index=9, kind=512, operstate="unknown", carrier="1", uevent="DEVTYPE=ppp")
    host.interface(
        "tun0", index=10, kind=65534, operstate="unknown", carrier="1", speed="10", tun_flags="0x1"
    )
    host.ipv4_default("ppp0", "eth0.100")
    host.pppoe("eth0")
    tick(host, 0)
    return host


def tick(host: FakeHost, seconds: float) -> None:
    """What the kernel's counters say after so many seconds; a packet is 1,000 octets."""
    rows = {}
    for name, rate in RATES.items():
        total = round(rate * seconds)
        rows[name] = (total, total // 1000, total // 2, total // 2000)
    host.net_dev(rows)
    host.ipv6_octets("ppp0", round(50_000 * seconds))


def site_of(host: FakeHost, *lines: Line) -> Site:
    return Site(school=School(id="s1", lines=lines), proc=host.proc, sys=host.sys)


def by_interface(points: list[Point]) -> dict[str, Point]:
    for point in points:
        check(point)
    return {point.tags["interface"]: point for point in points}


def test_a_whole_gateway_is_told_as_in_the_golden_file(tmp_path: Path, golden: Golden) -> None:
    host = make_host(tmp_path)
    lines = (Line(id="telecom"), Line(id="education", interface="eth0.100"))
    probe = Interfaces(Settings(), site_of(host, *lines), CONNECTORS.get)
    run = FakeRun(FakeClock(), 60, lambda seconds: tick(host, seconds))
    points = probe.measure(run) + probe.measure(run)
    by_interface(points)
    golden(GOLDEN / "interfaces.lp", "".join(encode(point) + "\n" for point in points))


def test_interfaces_come_go_and_are_renamed(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    for index, name in enumerate(("old", "new", "comes"), start=1):
        host.interface(name, index=index)

    def kernel(seconds: float) -> None:
        row = (round(seconds) * 1000, round(seconds), 0, 0)
        rows = {"old" if seconds < 30 else "new": row}
        if seconds >= 45:
            rows["comes"] = row
        host.net_dev(rows)

    kernel(0)
    probe = Interfaces(Settings(), site_of(host), CONNECTORS.get)
    found = by_interface(probe.measure(FakeRun(FakeClock(), 60, kernel)))
    assert {name: point.fields["samples"] for name, point in found.items()} == {
        "old": 29, "new": 30, "comes": 15,
    }  # fmt: skip
    assert found["new"].fields["rx_bytes"] == 30_000
    assert found["new"].fields["rx_bits_per_second_max"] == 8 * (1000 - 14)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("eth0", (10**9, "full", "copper")),
        ("eth0.100", (10**9, "full", "copper")),  # a VLAN is as fast as what carries it
        ("bond0", (10**10, None, None)),  # a bond adds up; its ports' connectors differ
        ("br-lan", (None, None, None)),  # a bridge negotiates nothing
        ("ppp0", (10**9, "full", "copper")),  # PPPoE has the port that carries it
        ("tun0", (None, None, None)),
        ("eth2", (None, None, "direct_attach")),  # down
        ("eth3", (None, None, None)),
    ],
)
def test_the_port_of_each_kind_of_interface(
    tmp_path: Path, name: str, expected: tuple[int | None, str | None, str | None]
) -> None:
    host = make_host(tmp_path)
    probe = Interfaces(Settings(), site_of(host), CONNECTORS.get)
    fields = by_interface(probe.measure(FakeRun(FakeClock(), 2, lambda s: tick(host, s))))[name].fields
    assert tuple(fields.get(key) for key in ("port_bits_per_second", "duplex", "port_type")) == expected


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ((), None),
        (("eth0",), 10**9),
        (("eth0", "eth0"), 10**9),
        (("eth0.100",), 10**9),
        (("eth0", "eth1"), None),
    ],
)
def test_pppoe_on_one_port_or_on_several(
    tmp_path: Path, sessions: tuple[str, ...], expected: int | None
) -> None:
    host = make_host(tmp_path)
    host.pppoe(*sessions)
    probe = Interfaces(Settings(), site_of(host), CONNECTORS.get)
    found = by_interface(probe.measure(FakeRun(FakeClock(), 2, lambda s: tick(host, s))))
    assert found["ppp0"].fields.get("port_bits_per_second") == expected


@pytest.mark.parametrize(
    ("name", "header"),
    [("eth0", 14), ("eth0.100", 0), ("bond0", 14), ("br-lan", 0), ("ppp0", 0), ("tun0", 0)],
)
def test_the_link_header_is_taken_off_by_the_kind_of_interface(
    tmp_path: Path, name: str, header: int
) -> None:
    host = make_host(tmp_path)
    probe = Interfaces(Settings(), site_of(host), CONNECTORS.get)
    fields = by_interface(probe.measure(FakeRun(FakeClock(), 20, lambda s: tick(host, s))))[name].fields
    assert fields["rx_ip_bytes"] == int(fields["rx_bytes"]) - header * int(fields["rx_packets"])
    assert fields["rx_bits_per_second_max"] == RATES[name] / 1000 * (1000 - header) * 8


def test_an_interface_that_is_made_anew_counts_from_its_own_beginning(tmp_path: Path) -> None:
    """ppp0 redials: the same name, another index, and a counter that already passed the old one."""
    host = make_host(tmp_path)

    def kernel(seconds: float) -> None:
        if seconds >= 30:
            host.interface("ppp0", index=99, kind=512, operstate="unknown", carrier="1")
        octets = round(seconds * 1000) + (10**9 if seconds >= 30 else 0)
        host.net_dev({"ppp0": (octets, octets // 1000, 0, 0)})

    kernel(0)
    probe = Interfaces(Settings(look=Seconds(1)), site_of(host), CONNECTORS.get)
    fields = by_interface(probe.measure(FakeRun(FakeClock(), 60, kernel)))["ppp0"].fields
    assert fields["rx_bits_per_second_max"] == 8000
    assert int(fields["rx_bytes"]) < 61_000
    assert fields["samples_dropped"] == 2


@pytest.mark.parametrize(("flowtables", "expected"), [(True, "flow_offload"), (False, None), (None, None)])
def test_flow_offload_is_said_instead_of_no_ipv6(
    tmp_path: Path, flowtables: bool | None, expected: str | None
) -> None:
    host = make_host(tmp_path)
    probe = Interfaces(Settings(), site_of(host), CONNECTORS.get, lambda: flowtables)
    fields = by_interface(probe.measure(FakeRun(FakeClock(), 20, lambda s: tick(host, s))))["ppp0"].fields
    assert fields.get("ipv6_unknown") == expected
    assert ("rx_ipv6_bytes" in fields) is (expected is None)


def test_ipv6_is_what_came_in_never_what_left(tmp_path: Path) -> None:
    """Older kernels count forwarded OutOctets twice: whatever they say changes nothing."""
    host = make_host(tmp_path)

    def kernel(seconds: float) -> None:
        tick(host, seconds)
        with (host.proc / "net/dev_snmp6/ppp0").open("a", encoding="ascii") as file:
            file.write(f"Ip6OutOctets                    \t{round(seconds * 10**9)}\n")

    probe = Interfaces(Settings(), site_of(host), CONNECTORS.get, lambda: False)
    fields = by_interface(probe.measure(FakeRun(FakeClock(), 20, kernel)))["ppp0"].fields
    assert fields["rx_ipv6_bytes"] == 20 * 50_000


def test_the_interface_of_a_line_is_never_ignored(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    probe = Interfaces(Settings(), site_of(host, Line(id="a", interface="ifb0")), CONNECTORS.get)
    found = by_interface(probe.measure(FakeRun(FakeClock(), 2, lambda seconds: tick(host, seconds))))
    assert found["ifb0"].tags == {"interface": "ifb0", "role": "line", "line": "a"}
    assert "veth0a1b2c3" not in found


def test_a_line_that_loses_its_route_is_still_that_line(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    probe = Interfaces(Settings(), site_of(host, Line(id="a")), CONNECTORS.get)
    run = FakeRun(FakeClock(), 12, lambda seconds: tick(host, seconds))
    probe.measure(run)
    (host.proc / "net/route").unlink()
    assert by_interface(probe.measure(run))["ppp0"].tags["line"] == "a"


def test_no_more_interfaces_than_allowed_and_lines_first(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    probe = Interfaces(Settings(max_interfaces=2), site_of(host, Line(id="a")), CONNECTORS.get)
    found = by_interface(probe.measure(FakeRun(FakeClock(), 2, lambda seconds: tick(host, seconds))))
    assert len(found) == 2
    assert "ppp0" in found


def test_no_counters_is_no_data(tmp_path: Path) -> None:
    site = Site(school=School(id="s1"), proc=tmp_path, sys=tmp_path)
    with pytest.raises(NoData, match="net/dev cannot be read"):
        Interfaces(Settings(), site, CONNECTORS.get).measure(FakeRun(FakeClock(), 2, lambda _: None))


def test_this_hosts_loopback_moves_what_was_sent() -> None:
    """Real kernel, real octets: 100 datagrams of 1,000 octets to oneself are 102,800 at the IP layer."""
    stop = threading.Event()
    probe = interfaces.build(Settings(), Site(school=School(id="s")))
    run = Run(clock=SystemClock(), stop=stop, deadline_seconds=20, window_seconds=2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        timer = threading.Timer(
            0.5, lambda: [sender.sendto(bytes(1000), ("127.0.0.1", 9)) for _ in range(100)]
        )
        timer.start()
        found = by_interface(list(probe.measure(run)))
        timer.join()
    moved = found["lo"].fields["rx_bytes"]
    assert isinstance(moved, int)
    assert moved >= 100 * 1028
    assert found["lo"].tags["role"] == "loopback"


def test_the_connector_ioctl_never_raises() -> None:
    assert connector("lo") is None or isinstance(connector("lo"), int)
    assert connector("no-such-port") is None
    assert connector("x" * 40) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000\n", 10**9), ("2500", 25 * 10**8), ("-1", None), ("0", None), ("4294967295", None), ("", None)],
)
def test_speed(text: str, expected: int | None) -> None:
    assert parse_speed(text) == expected


@pytest.mark.parametrize(
    ("operstate", "carrier", "expected"),
    [
        ("up", "1", True),
        ("down", "0", False),
        ("lowerlayerdown", "0", False),
        ("dormant", "1", False),
        ("unknown", "1", True),
        ("unknown", "", None),
        ("", "", None),
    ],
)
def test_operational(operstate: str, carrier: str, expected: bool | None) -> None:
    assert parse_operational(operstate, carrier) is expected


def test_words_of_ports() -> None:
    assert parse_connector(None) is None
    assert parse_connector(0xEF) is None
    assert parse_connector(0xFF) == "other"
    assert {parse_connector(port) for port in PORT_TYPES} == {"copper", "fibre", "direct_attach"}
    assert parse_duplex("unknown") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample": "1ms"}, "sample is from 200ms to 60s"),
        ({"window": "500ms"}, "window is from one sample to 1h"),
        ({"max_interfaces": 0}, "max_interfaces is from 1 to 4096"),
        ({"ignore": ["("]}, "is not a regular expression"),
        ({"sampel": "1s"}, "key sampel: is unknown"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        convert(settings, Settings, "agent.yaml")


def test_every_default_is_allowed() -> None:
    assert convert({}, Settings, "agent.yaml") == Settings()
    assert msgspec.structs.asdict(Settings())["window"] == 60
