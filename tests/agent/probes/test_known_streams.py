"""Known streams through a real gateway: octets as the kernel counted them, means, bursts, IPv6's share.

One window of the agent's probe on a gateway in a network namespace, between a campus and a carrier in two
others, with five ports on each side and no offloads. iperf3 sends 5, 50 and 500 Mbit/s through three of
them, a fourth has bursts of 200 ms, the fifth a mix of IPv4 and IPv6.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.probes.netns import inside, ip

pytestmark = [pytest.mark.quiet, pytest.mark.needs_root, pytest.mark.needs("iperf3", "ethtool", "ip")]

STREAM_SECONDS = 5
STREAMS = {0: 5_000_000, 1: 50_000_000, 2: 500_000_000}
PAYLOAD = 1400
BURST_PORT, MIXED_PORT, PORTS = 3, 4, 5
BURST_COUNT, BURSTS, BURST_PAUSE = 1000, 3, 1.6
IPV4_RATE, IPV6_RATE = 6_000_000, 4_000_000

Fields = dict[str, Any]


class Road:
    """Campus, gateway and carrier; port n of the gateway's carrier side is ``wan{n}``."""

    def __init__(self, mark: str) -> None:
        self.campus, self.gateway, self.carrier = (f"xt{side}{mark}" for side in "cgi")
        self.names = (self.campus, self.gateway, self.carrier)

    def build(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        inside(self.gateway, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for number in range(PORTS):
            self._cable(self.campus, f"pc{number}", self.gateway, f"lan{number}", 2 * number)
            self._cable(self.carrier, f"far{number}", self.gateway, f"wan{number}", 2 * number + 1)
        for number in range(PORTS):
            for inner, side, outer in (
                (self.campus, 2 * number, 2 * number + 1), (self.carrier, 2 * number + 1, 2 * number),
            ):  # fmt: skip
                ip("-n", inner, "route", "add", f"10.66.{outer}.0/24", "via", f"10.66.{side}.1")
                ip("-n", inner, "-6", "route", "add", f"fd66:{outer}::/64", "via", f"fd66:{side}::1")

    def _cable(self, end: str, port: str, gateway: str, facing: str, subnet: int) -> None:
        ip("link", "add", port, "netns", end, "type", "veth", "peer", "name", facing, "netns", gateway)
        for name, device, host in ((end, port, 2), (gateway, facing, 1)):
            # nothing but the test's own packets: no router solicitation, no multicast, no ARP
            link = ("-n", name, "link", "set", device)
            ip(*link, "address", mac(subnet, host), "addrgenmode", "none", "multicast", "off")
            inside(name, "ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
            ip(*link, "up")
            peer = 3 - host
            for net, size, option in ((f"10.66.{subnet}.", 24, ()), (f"fd66:{subnet}::", 64, ("nodad",))):
                ip("-n", name, "addr", "add", f"{net}{host}/{size}", "dev", device, *option)
                ip("-n", name, "neigh", "replace", f"{net}{peer}", "dev", device, "lladdr", mac(subnet, peer))

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=10)


def mac(subnet: int, host: int) -> str:
    return f"02:00:00:00:{subnet:02x}:{host:02x}"


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    made = Road(secrets.token_hex(3))
    try:
        made.build()
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def running(namespace: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def iperf3(port: int, host: str, rate: int, *more: str) -> tuple[str, ...]:
    return ("iperf3", "-J", "-u", "-c", host, "-p", str(5201 + port), "-b", str(rate), "-l", str(PAYLOAD),
            "-t", str(STREAM_SECONDS), "--pacing-timer", "1000", *more)  # fmt: skip


def wait_for_listeners(namespace: str, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(listening(namespace)) < count:
        assert time.monotonic() < deadline, "iperf3 does not listen"
        time.sleep(0.1)


def listening(namespace: str) -> list[str]:
    told = subprocess.run(
        ["ip", "netns", "exec", namespace, "ss", "-Hltn"],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return told.stdout.splitlines()


def counted(namespace: str) -> dict[str, int]:
    """Received octets of each interface as iproute2 reads them."""
    told = subprocess.run(
        ["ip", "-n", namespace, "-j", "-s", "link"], check=True, capture_output=True, text=True, timeout=10
    )
    return {each["ifname"]: each["stats64"]["rx"]["bytes"] for each in json.loads(told.stdout)}


class Window:
    """What the agent told of each interface, what the kernel counted, what iperf3 says it sent."""

    def __init__(
        self, points: dict[str, Fields], kernel: dict[str, int], sent: dict[int, int], burst: Fields
    ):
        self.points, self.kernel, self.sent, self.burst = points, kernel, sent, burst


@pytest.fixture(scope="module")
def window(road: Road) -> Window:
    with contextlib.ExitStack() as stack:
        # iperf3 receives at the campus what comes from the carrier: down the line
        for number in (0, 1, 2, 4, 5):
            stack.enter_context(running(road.campus, "iperf3", "-s", "-p", str(5201 + number)))
        wait_for_listeners(road.campus, 5)
        time.sleep(1.5)  # the last reports of multicast groups that new interfaces send
        before = counted(road.gateway)
        watching = stack.enter_context(
            running(road.gateway, sys.executable, "-m", "tests.agent.probes.watching")
        )
        assert watching.stdout is not None
        assert watching.stdout.readline() == "begun\n"
        clients = {
            number: stack.enter_context(running(road.carrier, *iperf3(number, f"10.66.{2 * number}.2", rate)))
            for number, rate in STREAMS.items()
        }
        clients[4] = stack.enter_context(
            running(road.carrier, *iperf3(4, f"10.66.{2 * MIXED_PORT}.2", IPV4_RATE))
        )
        clients[5] = stack.enter_context(
            running(road.carrier, *iperf3(5, f"fd66:{2 * MIXED_PORT}::2", IPV6_RATE, "-6"))
        )
        words = (
            f"10.66.{2 * BURST_PORT}.2",
            "9",
            str(PAYLOAD),
            str(BURST_COUNT),
            str(BURSTS),
            str(BURST_PAUSE),
        )
        burst = stack.enter_context(
            running(road.carrier, sys.executable, "-m", "tests.agent.probes.sending", *words)
        )
        sent = {number: json.loads(client.communicate(timeout=40)[0]) for number, client in clients.items()}
        bursts = json.loads(burst.communicate(timeout=40)[0])
        time.sleep(0.5)
        points = json.loads(watching.communicate(timeout=60)[0])
        after = counted(road.gateway)
    return Window(
        {point["tags"]["interface"]: point["fields"] for point in points},
        {name: after[name] - before[name] for name in after},
        {number: answer["end"]["sum"]["bytes"] for number, answer in sent.items()},
        bursts,
    )


def at_the_ip_layer(payload_bytes: int, header_bytes: int = 28) -> int:
    return payload_bytes // PAYLOAD * (PAYLOAD + header_bytes)


@pytest.mark.parametrize("number", [*STREAMS, MIXED_PORT])
def test_octets_are_the_kernels_to_the_last_one(window: Window, number: int) -> None:
    for port in (f"wan{number}", f"lan{number}"):
        assert window.points[port]["rx_bytes"] == window.kernel[port]


@pytest.mark.parametrize(("number", "rate"), STREAMS.items())
def test_the_mean_is_what_was_sent_within_half_a_percent(window: Window, number: int, rate: int) -> None:
    """Over the whole window: what iperf3 sent, with its few control packets beside it."""
    fields = window.points[f"wan{number}"]
    sent_bits = 8 * at_the_ip_layer(window.sent[number])
    mean = fields["rx_bits_per_second_sum"] / fields["samples"]
    assert mean == pytest.approx(sent_bits / fields["window_seconds"], rel=0.005)
    assert sent_bits / STREAM_SECONDS == pytest.approx(rate * (PAYLOAD + 28) / PAYLOAD, rel=0.02)
    assert fields["samples_dropped"] == 1


def test_a_burst_is_in_the_maximum_and_not_in_the_mean(window: Window) -> None:
    """57 Mbit/s for 200 ms, three times: 11.4 Mbit in its second, less than half of it over the window."""
    fields = window.points[f"wan{BURST_PORT}"]
    burst_bits = 8 * BURST_COUNT * (PAYLOAD + 28)
    mean = fields["rx_bits_per_second_sum"] / fields["samples"]
    assert fields["rx_ip_bytes"] == pytest.approx(BURSTS * burst_bits / 8, rel=0.005)
    # a burst may lie astride two samples; one of three hardly does so in two halves
    assert fields["rx_bits_per_second_max"] >= 0.5 * burst_bits
    assert mean == pytest.approx(BURSTS * burst_bits / fields["window_seconds"], rel=0.01)
    assert fields["rx_bits_per_second_max"] > 1.9 * mean
    assert fields["rx_bits_per_second_min"] < 10_000


def test_ipv6s_share_is_exact_to_a_point(window: Window) -> None:
    fields = window.points[f"wan{MIXED_PORT}"]
    ipv4, ipv6 = at_the_ip_layer(window.sent[4]), at_the_ip_layer(window.sent[5], 48)
    measured = fields["rx_ipv6_bytes"] / fields["rx_ip_bytes"]
    assert measured == pytest.approx(ipv6 / (ipv4 + ipv6), abs=0.01)
    assert "ipv6_unknown" not in fields


def test_no_ipv6_is_none_of_it(window: Window) -> None:
    fields = window.points["wan2"]
    assert fields["rx_ipv6_bytes"] / fields["rx_ip_bytes"] < 0.001


def test_what_is_forwarded_comes_in_on_both_sides(window: Window) -> None:
    """The other way: what the campus sent is what came in from the LAN, not what went out of the line."""
    assert window.points["lan2"]["rx_bytes"] < 0.01 * window.points["wan2"]["rx_bytes"]
    assert window.points["lan2"]["tx_ip_bytes"] == pytest.approx(
        window.points["wan2"]["rx_ip_bytes"], rel=0.001
    )
