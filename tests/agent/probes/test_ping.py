"""The ping probe: its window's arithmetic, hostile replies, and real kernels joined by a veth pair."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.network import icmp
from agent.network.icmp import Reply
from agent.network.names import Names
from agent.network.pinging import Aim, Flight, Window
from agent.network.rtt import round_trip_ns, summary
from agent.probe import NoData, Run, Site
from agent.probes.ping import DEFAULT_GATEWAY, Ping, Settings, Target
from config.clock import SystemClock
from config.measurements import check
from config.points import FieldValue, Point
from config.school import Line, School
from config.settings import SettingsError, convert
from config.units import Seconds
from tests.agent.probes.netns import call_in, enter, inside, ip, joined_pair

AIM = Aim("t", "ipv4", "192.0.2.1")
MS = 10**6


def probe_of(site: Site, *targets: Target, probes: int = 8, wait: float = 0.4) -> Ping:
    return Ping(Settings(targets=targets, probes=probes, wait=Seconds(wait)), site, Names())


def measure(probe: Ping, window: float = 0.6) -> dict[tuple[str, str], Point]:
    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=30, window_seconds=window)
    points = probe.measure(run)
    for point in points:
        check(point)
    return {(point.tags["target"], point.tags["family"]): point for point in points}


def near_site(*lines: Line) -> Site:
    return Site(school=School(id="s", lines=lines), proc=Path("/proc/thread-self"))


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    with joined_pair() as names:
        yield names


@pytest.mark.parametrize(
    ("answered", "lost", "expected"),
    [
        ([], 0, {}),
        ([], 5, {"sent": 5, "lost": 5}),
        ([3 * MS, 1 * MS, 2 * MS], 0, {"sent": 3, "lost": 0, "rtt_median_seconds": 0.002}),
        ([1 * MS, 2 * MS], 1, {"sent": 3, "lost": 1, "rtt_median_seconds": 0.002, "rtt_p99_seconds": None}),
        ([1 * MS], 2, {"lost": 2, "rtt_median_seconds": None, "rtt_min_seconds": 0.001}),
        ([1 * MS] * 100, 1, {"rtt_p99_seconds": 0.001, "delay_variation_seconds": 0.0}),
    ],
)
def test_summary(answered: list[int], lost: int, expected: dict[str, FieldValue | None]) -> None:
    fields = summary(answered, lost, 0)
    assert {key: fields.get(key) for key in expected} == expected
    assert bool(fields) == bool(expected)


@pytest.mark.parametrize(
    ("kernel_wall", "expected"),
    [(990, 90), (None, 100), (1001, 100), (0, 100), (1000 - 3600 * 10**9, 100)],
)
def test_a_step_of_the_wall_clock_is_no_round_trip(kernel_wall: int | None, expected: int) -> None:
    assert round_trip_ns(0, 100, 1000, kernel_wall) == expected


class Sender:
    """Takes what is sent, so that a test may answer it."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []

    def __call__(self, aim: Aim, sequence: int, payload: bytes) -> bool:
        self.sent.append((sequence, payload))
        return True


def launched() -> tuple[Flight, Window, int, bytes]:
    flight, window, sender = Flight(100 * MS), Window(0, 1000, [AIM], 1), Sender()
    flight.launch(window, AIM, icmp.new_payload(), 0, sender)
    return flight, window, *sender.sent[0]


@pytest.mark.parametrize(
    "forged",
    [
        lambda seq, payload: Reply(seq, bytes(len(payload)), AIM.address, None),
        lambda seq, payload: Reply(seq, payload[:-1], AIM.address, None),
        lambda seq, payload: Reply(seq, payload + b"x", AIM.address, None),
        lambda seq, payload: Reply(seq, b"", AIM.address, None),
        lambda seq, payload: Reply((seq + 1) % 2**16, payload, AIM.address, None),
        lambda seq, payload: Reply(seq, payload, "192.0.2.66", None),
    ],
)
@pytest.mark.fault(22)
def test_a_forged_reply_changes_nothing(forged: Callable[[int, bytes], Reply]) -> None:
    flight, window, sequence, payload = launched()
    flight.land("ipv4", forged(sequence, payload), 1 * MS, 1 * MS)
    assert window.open == 1
    flight.land("ipv4", Reply(sequence, payload, AIM.address, None), 2 * MS, 2 * MS)
    flight.land("ipv4", Reply(sequence, payload, AIM.address, None), 3 * MS, 3 * MS)  # a duplicate
    assert window.tallies[AIM].answered_ns == [2 * MS]
    assert window.open == 0


def test_an_answer_after_the_wait_is_lost() -> None:
    flight, window, sequence, payload = launched()
    flight.land("ipv4", Reply(sequence, payload, AIM.address, None), 101 * MS, 0)
    flight.expire(101 * MS)
    assert window.tallies[AIM].fields() == {"sent": 1, "lost": 1}
    assert window.is_over(1000)


def test_what_this_host_refuses_to_send_is_neither_sent_nor_lost() -> None:
    def refuse(aim: Aim, sequence: int, payload: bytes) -> bool:
        raise PermissionError

    flight, window = Flight(MS), Window(0, 1000, [AIM], 1)
    flight.launch(window, AIM, b"", 0, refuse)
    assert window.tallies[AIM].fields() == {"unsent": 1}


@pytest.mark.parametrize(
    ("family", "data", "raw"),
    [
        ("ipv4", b"", False),
        ("ipv4", b"\x00\x00", False),
        ("ipv4", b"\x4f" + bytes(19), True),
        ("ipv4", b"\x60" + bytes(60), True),
        ("ipv4", struct.pack("!BBHHH", 8, 0, 0, 7, 1), False),
        ("ipv4", struct.pack("!BBHHH", 0, 1, 0, 7, 1), False),
        ("ipv6", struct.pack("!BBHHH", 129, 0, 0, 8, 1), True),
    ],
)
def test_other_packets_are_no_reply(family: icmp.Family, data: bytes, raw: bool) -> None:
    assert icmp.parse_reply(family, data, identifier=7, raw=raw) is None


def test_checksum_is_rfc_1071s() -> None:
    assert icmp.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2  # RFC 1071, section 3
    assert icmp.checksum(b"\x01") == 0xFEFF


def test_a_slow_name_server_stops_nobody() -> None:
    held = threading.Event()
    names = Names(lambda host: {"ipv4": "192.0.2.7"} if held.wait(10) else {})
    began = time.monotonic()
    names.refresh(["slow.example"], 0.05)
    assert time.monotonic() - began < 5
    assert names.addresses("slow.example") == {}
    held.set()
    names.refresh([], 10)
    assert names.addresses("slow.example") == {"ipv4": "192.0.2.7"}
    assert names.addresses("::1") == {"ipv6": "::1"}


@pytest.mark.needs_root
def test_loopback_answers_in_both_families() -> None:
    targets = (Target(name="v4", host="127.0.0.1"), Target(name="v6", host="::1"))
    found = measure(probe_of(Site(school=School(id="s")), *targets), 0.3)
    assert set(found) == {("v4", "ipv4"), ("v6", "ipv6")}
    for point in found.values():
        assert point.fields["sent"] in {7, 8}  # the spacing is random, and a busy machine starts late
        assert point.fields["lost"] == 0
        assert 0 < float(point.fields["rtt_min_seconds"]) <= float(point.fields["rtt_max_seconds"]) < 0.4


@pytest.mark.needs_root
@pytest.mark.needs("ip", "nft")
def test_default_gateways_of_both_families_with_loss(pair: tuple[str, str]) -> None:
    near, far = pair
    rules = (
        "table inet t { chain in { type filter hook input priority 0; "
        "icmp type echo-request numgen inc mod 4 == 0 drop; "
        "icmpv6 type echo-request drop; }; };"
    )
    inside(far, "nft", "-f", "-", text=rules)
    probe = probe_of(near_site(), Target(name="gateway", host=DEFAULT_GATEWAY))
    found = call_in(near, lambda: measure(probe))
    assert found["gateway", "ipv4"].fields["lost"] == 2
    assert found["gateway", "ipv4"].fields["sent"] == 8
    lost = {"sent": 8, "lost": 8, "place": "next_hop"}
    assert found["gateway", "ipv6"].fields.items() >= lost.items()
    assert 0.6 <= float(found["gateway", "ipv6"].fields["window_seconds"]) < 5


def skip_windows_begun_before(near: str, probe: Ping) -> None:
    """While one window of 0.3 s waits 0.4 s for its last answers, two more may have begun."""
    for _ in range(3):
        call_in(near, lambda: measure(probe, 0.3))


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_a_line_that_is_cut_is_lost_and_not_unknown(pair: tuple[str, str]) -> None:
    near, _ = pair
    target = Target(name="gateway", host=DEFAULT_GATEWAY, family="ipv4", line="a")
    patient = probe_of(near_site(Line(id="a")), target, wait=5)  # a busy machine answers late
    before = call_in(near, lambda: measure(patient, 0.3))
    assert before["gateway", "ipv4"].fields["lost"] == 0
    assert before["gateway", "ipv4"].tags["line"] == "a"
    probe = probe_of(near_site(Line(id="a")), target)
    call_in(near, lambda: measure(probe, 0.3))  # it knows the line
    ip("-n", near, "link", "set", "near0", "down")
    skip_windows_begun_before(near, probe)
    assert call_in(near, lambda: measure(probe, 0.3))["gateway", "ipv4"].fields["lost"] == 8
    ip("-n", near, "link", "del", "near0")
    skip_windows_begun_before(near, probe)
    assert call_in(near, lambda: measure(probe, 0.3))["gateway", "ipv4"].fields["lost"] == 8


def hostile_responder(namespace: str, ready: threading.Event, stop: threading.Event) -> None:
    """Answers each request with, in turn: truth twice, a wrong token, a cut payload, truth too late."""
    enter(namespace)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        ready.set()
        number = 0
        while not stop.is_set():
            if not select.select([raw], [], [], 0.1)[0]:
                continue
            packet, (source, _) = raw.recvfrom(2048)
            kind, _, _, identifier, sequence = struct.unpack_from("!BBHHH", packet, 20)
            if kind != 8:
                continue
            payload = packet[28:]
            sent = [(payload, payload), (bytes(len(payload)),), (payload[:10],), (payload,)][number % 4]
            if number % 4 == 3:
                time.sleep(0.5)
            for each in sent:
                head = struct.pack("!BBHHH", 0, 0, 0, identifier, sequence)
                head = struct.pack("!BBHHH", 0, 0, icmp.checksum(head + each), identifier, sequence)
                raw.sendto(head + each, (source, 0))
            number += 1


@pytest.mark.needs_root
@pytest.mark.needs("ip")
@pytest.mark.fault(22)
def test_a_hostile_responder_is_believed_only_where_it_is_true(pair: tuple[str, str]) -> None:
    near, far = pair
    inside(far, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=hostile_responder, args=(far, ready, stop), daemon=True)
    thread.start()
    assert ready.wait(5)
    try:
        probe = probe_of(near_site(), Target(name="far", host="10.99.0.2"), probes=4, wait=0.3)
        fields = call_in(near, lambda: measure(probe, 0.2))["far", "ipv4"].fields
    finally:
        stop.set()
        thread.join(5)
    assert (fields["sent"], fields["lost"]) == (4, 3)


def test_no_target_at_all_is_no_data_with_every_reason(tmp_path: Path) -> None:
    site = Site(school=School(id="s"), proc=tmp_path)
    targets = (Target(name="gateway", host=DEFAULT_GATEWAY), Target(name="x", host="::1", line="a"))
    with pytest.raises(NoData, match=r"gateway: has no ipv4 address; .*no interface is known for line a"):
        measure(probe_of(site, *targets))


def test_without_privilege_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(NoData, match=r"needs CAP_NET_RAW, or net\.ipv4\.ping_group_range"):
        measure(probe_of(Site(school=School(id="s")), Target(name="x", host="127.0.0.1")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probes": 0}, "probes is from 1 to 600"),
        ({"wait": "0s"}, "wait is from 1ms to 60s"),
        ({"window": "2h"}, "window is from 1s to 1h"),
        ({"targets": []}, "targets are from 1 to 32"),
        ({"targets": [{"name": "a", "host": "b"}, {"name": "a", "host": "c"}]}, "a name of its own"),
        ({"targets": [{"name": "", "host": "b"}]}, "needs a printable name and a host"),
        ({"targets": [{"name": "a", "host": "b", "family": "ipv5"}]}, "ipv5"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        convert(settings, Settings, "agent.yaml")
