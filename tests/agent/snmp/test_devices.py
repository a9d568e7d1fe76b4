"""The whole probe on scripted devices: wraps, resets, restarts, controllers, and what a hostile one sends."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.probe import Probe, ProbeFailed, Run, Site
from agent.probes import snmp
from agent.probes.snmp import Device as DeviceSettings
from agent.probes.snmp import PortRole, Settings
from config import school
from config.evidence import AccessPoints, EvidenceKind, evidence_of
from config.measurements import check
from config.points import Point
from config.school import School
from config.settings import SettingsError
from config.units import Seconds
from tests.agent.probes.fakes import FakeClock
from tests.agent.snmp.scripted import (
    COUNTER64,
    GAUGE,
    IFX,
    INTEGER,
    OCTETS,
    TICKS,
    Device,
    Request,
    Table,
    port_rows,
    serving,
    switch,
    system,
    tlv,
)

HUAWEI = (1, 3, 6, 1, 4, 1, 2011, 2, 240, 6)
H3C = (1, 3, 6, 1, 4, 1, 25506, 1, 888)
RUIJIE = (1, 3, 6, 1, 4, 1, 4881, 1, 1, 10, 1, 150)
IPV6_IN = (1, 3, 6, 1, 2, 1, 4, 31, 3, 1, 6, 2)


class Minutes:
    """Polls of one probe, a minute apart on a clock of its own."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.clock = FakeClock()

    def poll(self) -> dict[str, Point]:
        self.clock.now_ns += 60 * 10**9
        run = Run(clock=self.clock, stop=threading.Event(), deadline_seconds=30, window_seconds=60)
        points = list(self.probe.measure(run))
        for point in points:
            check(point)
        return {point.tags.get("interface", point.measurement): point for point in points}


@pytest.fixture
def community(tmp_path: Path) -> str:
    path = tmp_path / "community"
    path.write_text("public\n", encoding="ascii")
    path.chmod(0o600)
    return path.name


@pytest.fixture
def devices() -> Iterator[Callable[[Callable[[bytes], list[bytes]]], int]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))


Start = Callable[[Callable[[bytes], list[bytes]]], int]


def probe_of(tmp_path: Path, *devices: DeviceSettings, of: School | None = None) -> Minutes:
    settings = Settings(devices=devices, timeout=Seconds(0.3), retries=0, device_deadline=Seconds(3))
    site = Site(school=of or School(id="s"), settings_directory=tmp_path)
    return Minutes(snmp.build(settings, site))


def settings_of(
    port: int, community: str, *, ports: dict[str, PortRole] | None = None, access_points: int | None = None
) -> DeviceSettings:
    return DeviceSettings(
        id="core", host="127.0.0.1", port=port, community_file=community, ports=ports or {},
        access_points=access_points,
    )  # fmt: skip


LINE = {"Gi0/1": PortRole(role="line", line="a")}


def counted(octets: int, ticks: int, *, discontinuity: int = 0, ipv6: int | None = None) -> Table:
    """A router whose port 1 is a line."""
    table = system(ticks) | port_rows(1, octets, octets // 1000, discontinuity=discontinuity)
    return table | ({(*IPV6_IN, 1): (COUNTER64, ipv6)} if ipv6 is not None else {})


def test_resets_restarts_and_discontinuities_drop_a_sample_each(
    tmp_path: Path, community: str, devices: Start
) -> None:
    router = Device({})
    minutes = probe_of(tmp_path, settings_of(devices(router.answer), community, ports=LINE))
    megabyte = 10**6
    told = []
    for table in (
        counted(100 * megabyte, 1000),  # first
        counted(160 * megabyte, 7000),
        counted(5 * megabyte, 13000),  # a 64-bit counter fell
        counted(65 * megabyte, 19000),
        counted(600 * megabyte, 200),  # restarted, and carried much since
        counted(660 * megabyte, 6200),
        counted(720 * megabyte, 12200, discontinuity=5),
        counted(780 * megabyte, 18200, discontinuity=5),
        counted(780_000 * megabyte, 24200, discontinuity=5),  # 104 Gbit/s on a 1 Gbit/s port
    ):
        router.set(table)
        fields = minutes.poll()["Gi0/1"].fields
        told.append((fields["samples"], fields["samples_dropped"], fields.get("rx_bytes")))
    moved, dropped = (1, 0, 60 * megabyte), (0, 1, None)
    assert told == [dropped, moved, dropped, moved, dropped, moved, dropped, moved, dropped]


def test_a_32_bit_device_wraps_once(tmp_path: Path, community: str, devices: Start) -> None:
    router = Device({})
    minutes = probe_of(tmp_path, settings_of(devices(router.answer), community, ports=LINE))
    found = []
    for octets, ticks in ((2**32 - 10**6, 1), (2**32 + 10**6, 2)):
        table = counted(octets, ticks) | {(*IFX, 15, 1): (GAUGE, 100)}
        for column in (6, 10):
            del table[*IFX, column, 1]
        router.set(table)
        found.append(minutes.poll()["Gi0/1"].fields)
    assert found[1]["rx_bytes"] == 2 * 10**6


def test_counters_beyond_a_float_keep_every_octet(tmp_path: Path, community: str, devices: Start) -> None:
    router = Device({})
    minutes = probe_of(tmp_path, settings_of(devices(router.answer), community, ports=LINE))
    for octets, ticks in ((2**63 - 10**6, 1), (2**63 + 1, 2)):
        router.set(counted(octets, ticks))
        fields = minutes.poll()["Gi0/1"].fields
    assert fields["rx_bytes"] == 10**6 + 1


def test_ipv6_comes_where_the_device_has_it(tmp_path: Path, community: str, devices: Start) -> None:
    router = Device({})
    minutes = probe_of(tmp_path, settings_of(devices(router.answer), community, ports=LINE))
    for octets, ticks, ipv6 in ((10**9, 1, 10**6), (10**9 + 10**7, 2, 4 * 10**6)):
        router.set(counted(octets, ticks, ipv6=ipv6))
        fields = minutes.poll()["Gi0/1"].fields
    assert fields["rx_ipv6_bytes"] == 3 * 10**6
    assert fields["rx_ip_bytes"] == 10**7 - 18 * 10**4


def test_a_switch_is_written_when_it_changes_and_every_five_minutes(
    tmp_path: Path, community: str, devices: Start
) -> None:
    table = switch(3)
    device = Device(table)
    minutes = probe_of(tmp_path, settings_of(devices(device.answer), community))
    written = [sorted(minutes.poll())]
    table[*IFX, 15, 2] = (GAUGE, 100)
    device.set(table)
    written += [sorted(minutes.poll()) for _ in range(7)]
    everything = ["Gi0/1", "Gi0/2", "Gi0/3"]
    assert written == [everything, ["Gi0/2"], [], [], [], ["Gi0/1", "Gi0/3"], ["Gi0/2"], []]


def test_a_port_that_comes_is_found_and_one_that_goes_is_forgotten(
    tmp_path: Path, community: str, devices: Start
) -> None:
    device = Device(switch(2))
    minutes = probe_of(tmp_path, settings_of(devices(device.answer), community))
    minutes.poll()
    changed = (1, 3, 6, 1, 2, 1, 31, 1, 5, 0)
    device.set(switch(3) | {changed: (TICKS, 5)})
    assert sorted(minutes.poll()) == ["Gi0/3"]
    device.set(switch(1) | {changed: (TICKS, 6)})
    assert sorted(minutes.poll()) == []


def test_roles_come_from_the_schools_devices(tmp_path: Path, community: str, devices: Start) -> None:
    core = school.Device(id="core", trunk_ports=("Gi0/1",), access_ports=("Gi0/2",))
    of = School(id="s", devices=(core,))
    minutes = probe_of(tmp_path, settings_of(devices(Device(switch(3)).answer), community), of=of)
    points = minutes.poll()
    assert [points[f"Gi0/{n}"].tags["role"] for n in (1, 2, 3)] == ["trunk", "access", "other"]
    evidence = [one for point in points.values() for one in evidence_of(point, of)]
    assert {(one.about, one.subject, one.upper_bits_per_second) for one in evidence} == {
        ("trunk_port", "core/Gi0/1", 10**9), ("access_port", "core/Gi0/2", 10**9),
    }  # fmt: skip


def huawei(states: list[int]) -> Table:
    rows: Table = {
        (1, 3, 6, 1, 4, 1, 2011, 6, 139, 13, 3, 3, 1, 6, 0, 1, number): (INTEGER, state)
        for number, state in enumerate(states)
    }
    online = {(1, 3, 6, 1, 4, 1, 2011, 6, 139, 12, 1, 2, 1, 0): (INTEGER, states.count(8))}
    return system(1, HUAWEI) | online | rows


def h3c(online: int, listed: int) -> Table:
    base = (1, 3, 6, 1, 4, 1, 25506, 2, 75)
    rows: Table = {
        (*base, 2, 1, 1, 1, 4, 3, 65, number, 66): (INTEGER, 5 if number < online else 1)
        for number in range(listed)
    }
    scalars: Table = {(*base, 1, 1, 2, 21, 0): (INTEGER, online), (*base, 1, 1, 3, 6, 0): (INTEGER, 77)}
    return system(1, H3C) | scalars | rows


def ruijie(online: int, offline: int) -> Table:
    base = (1, 3, 6, 1, 4, 1, 4881, 1, 1, 10, 2, 56, 1, 1)
    told: Table = {(*base, 11, 0): (INTEGER, online), (*base, 80, 0): (INTEGER, offline)}
    return system(1, RUIJIE) | told


@pytest.mark.parametrize(
    ("table", "declared", "expected"),
    [
        (huawei([8, 8, 8, 4]), None, {"online": 3, "installed": 4, "installed_by": "controller"}),
        (huawei([8, 8, 8, 4]), 10, {"online": 3, "installed": 10, "installed_by": "declared"}),
        (h3c(9, 10), None, {"online": 9, "installed": 10, "installed_by": "controller", "stations": 77}),
        (ruijie(5, 1), None, {"online": 5, "installed": 6, "installed_by": "controller"}),
        (system(1, RUIJIE), None, None),  # a switch of theirs
        (system(1) | huawei([8])| {(1, 3, 6, 1, 2, 1, 1, 2, 0): (0x06, (1, 3, 6, 1, 4, 1, 9))}, None, None),
    ],
)  # fmt: skip
def test_access_points_of_each_vendor(  # noqa: PLR0917
    tmp_path: Path, community: str, devices: Start, table: Table, declared: int | None, expected: object
) -> None:
    port = devices(Device(table).answer)
    found = probe_of(tmp_path, settings_of(port, community, access_points=declared)).poll()
    point = found.get("access_points")
    assert (dict(point.fields) if point else None) == expected


def test_access_points_are_evidence_of_a_declared_controller(
    tmp_path: Path, community: str, devices: Start
) -> None:
    port = devices(Device(huawei([8, 8, 4])).answer)
    point = probe_of(tmp_path, settings_of(port, community)).poll()["access_points"]
    controller = school.Device(id="core", kind="controller")
    (found,) = evidence_of(point, School(id="s", devices=(controller,)))
    assert (found.kind, found.observed, found.judges) == (EvidenceKind.OBSERVED, AccessPoints(2, 3), True)
    assert evidence_of(point, School(id="s")) == []


def test_a_countys_own_profile(tmp_path: Path, community: str, devices: Start) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/acme.yaml").write_text(
        "title: ACME\nsource: its manual\nsystem: [1.3.6.1.4.1.99999]\n"
        "access_points: {states: 1.3.6.1.4.1.99999.1, online_states: [1]}\n",
        encoding="utf-8",
    )
    rows: Table = {(1, 3, 6, 1, 4, 1, 99999, 1, number): (INTEGER, number % 2) for number in range(4)}
    port = devices(Device(system(1) | rows).answer)
    settings = Settings(devices=(settings_of(port, community),), profiles="own")
    site = Site(school=School(id="s"), settings_directory=tmp_path)
    point = Minutes(snmp.build(settings, site)).poll()["access_points"]
    assert (point.fields["online"], point.fields["installed"]) == (2, 4)


def test_a_profile_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    device = DeviceSettings(id="core", host="h", community_file="c", profile="nokia")
    with pytest.raises(SettingsError, match="profile nokia is not known; allowed: h3c, huawei, ruijie"):
        snmp.build(Settings(devices=(device,)), Site(school=School(id="s")))


def test_a_device_that_finds_answers_too_big_is_asked_for_less(
    tmp_path: Path, community: str, devices: Start
) -> None:
    device = Device(switch(40))

    def answer(data: bytes) -> list[bytes]:
        request = Request(data)
        if request.repetitions > 2:
            return [request.response(b"", status=1)]
        return device.answer(data)

    assert len(probe_of(tmp_path, settings_of(devices(answer), community)).poll()) == 40


def endless(data: bytes) -> list[bytes]:
    """A table without an end: every row is one further than what was asked for, with 400 octets in it."""
    request = Request(data)
    row = Device({(*oid, 1): (OCTETS, b"x" * 400) for oid in request.oids})
    return row.answer(data)


def circling(data: bytes) -> list[bytes]:
    """Every row is the one asked for."""
    request = Request(data)
    pairs = Device(dict.fromkeys(request.oids, (INTEGER, 1)))
    return pairs.answer(bytes(data).replace(b"\xa5", b"\xa0", 1))


def noisy(data: bytes) -> list[bytes]:
    """Octets, answers to what was not asked, a broken answer, never the right one."""
    request = Request(data)
    other = request.response(b"", request_id=b"\x01")
    return [random.randbytes(200), other, other[:-2] + b"\xff\xff", b"", b"\x30\x82" * 4000]


def huge(data: bytes) -> list[bytes]:
    """One value as large as a datagram can be."""
    request = Request(data)
    return [request.response(tlv(0x30, tlv(0x06, b"\x2b\x06") + tlv(OCTETS, b"\x00" * 60_000)))]


@pytest.mark.fault(21)
@pytest.mark.parametrize("hostile", [endless, circling, noisy, huge, lambda _: []])
def test_a_hostile_device_ends_in_time_and_harms_no_other(
    tmp_path: Path, community: str, devices: Start, hostile: Callable[[bytes], list[bytes]]
) -> None:
    bad = DeviceSettings(id="bad", host="127.0.0.1", port=devices(hostile), community_file=community)
    minutes = probe_of(tmp_path, bad, settings_of(devices(Device(switch(3)).answer), community))
    began = time.monotonic()
    found = minutes.poll()
    assert time.monotonic() - began < 10
    assert {"Gi0/1", "Gi0/2", "Gi0/3"} <= set(found)
    assert all(point.tags["device"] == "core" for point in found.values())


@pytest.mark.fault(21)
def test_answers_with_changed_octets_never_break_the_probe(
    tmp_path: Path, community: str, devices: Start
) -> None:
    """Every answer of a sound device is changed somewhere; whatever comes of it fits the schema."""
    chance = random.Random(21)
    device = Device(switch(5))

    def answer(data: bytes) -> list[bytes]:
        changed = bytearray(device.answer(data)[0])
        for _ in range(chance.randint(0, 2)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return [bytes(changed)]

    settings = Settings(
        devices=(settings_of(devices(answer), community),),
        timeout=Seconds(0.1),
        retries=1,
        device_deadline=Seconds(1),
    )
    minutes = Minutes(snmp.build(settings, Site(school=School(id="s"), settings_directory=tmp_path)))
    for _ in range(25):
        try:
            minutes.poll()
        except ProbeFailed as failure:
            assert "core: " in str(failure)  # noqa: PT017
