"""The port of a stranger, asked of scripted switches: with VLANs, without, silent, hostile, not knowing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.ipv6.switch_port import (
    FDB_PORT,
    INTERFACE_NAME,
    MOST_SENDERS,
    PORT_INTERFACE,
    VLAN_FDB_COUNT,
    VLAN_FDB_PORT,
    PortFinder,
    devices_of,
    find_port,
)
from agent.probe import Run, Site
from agent.probes.router_advertisements import Settings, build
from agent.snmp.ber import Oid
from config.clock import SystemClock
from config.measurements import check
from config.points import Point
from config.school import School
from config.settings import SettingsError
from config.units import Seconds
from tests.agent.probes.netns import call_in, joined_pair
from tests.agent.snmp.scripted import GAUGE, INTEGER, OCTETS, Device, Table, serving
from tests.bench.router_advertisements import STRANGER, flood

ROW = tuple(bytes.fromhex(STRANGER.replace(":", "")))
NAMES: Table = {(*PORT_INTERFACE, 7): (INTEGER, 107), (*INTERFACE_NAME, 107): (OCTETS, b"Gi0/7")}
PLAIN: Table = {**NAMES, (*FDB_PORT, *ROW): (INTEGER, 7)}


def vlans(*numbers: int, learnt_in: int) -> Table:
    listed: Table = {(*VLAN_FDB_COUNT, number): (GAUGE, 9) for number in numbers}
    learnt: Oid = (*VLAN_FDB_PORT, learnt_in, *ROW)
    return {**NAMES, **listed, learnt: (INTEGER, 7)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "community"
    path.write_text("public\n", encoding="ascii")
    path.chmod(0o600)
    return tmp_path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def switch(port: int, name: str = "sw1") -> dict[str, object]:
    return {"id": name, "host": "127.0.0.1", "port": port, "community_file": "community"}


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (PLAIN, "sw1 Gi0/7"),
        (vlans(1, 10, 20, learnt_in=20), "sw1 Gi0/7"),
        (vlans(*range(1, 90), learnt_in=88), "sw1 Gi0/7"),
        ({(*FDB_PORT, *ROW): (INTEGER, 7)}, "sw1 port 7"),
        ({**PLAIN, (*INTERFACE_NAME, 107): (OCTETS, b"Gi\x00\n0")}, "sw1 port 7"),
        ({**NAMES, (*FDB_PORT, *ROW): (INTEGER, 0)}, ""),
        (NAMES, ""),
        (vlans(1, 10, learnt_in=99), ""),
    ],
)
def test_the_port_of_a_mac(table: Table, found: str, folder: Path, stack: ExitStack) -> None:
    port = stack.enter_context(serving(Device(table).answer))
    assert find_port(STRANGER, devices_of([switch(port)], "switches"), folder) == found


def test_a_silent_switch_keeps_no_other_from_telling(folder: Path, stack: ExitStack) -> None:
    silent = stack.enter_context(serving(lambda _: []))
    plain = stack.enter_context(serving(Device(PLAIN).answer))
    switches = devices_of([switch(silent, "deaf"), switch(plain, "sw2")], "switches")
    begun = time.monotonic()
    assert find_port(STRANGER, switches, folder) == "sw2 Gi0/7"
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("wrong", [{}, {"id": "a", "host": "h"}, {**switch(1), "vlan": 3}])
def test_a_switch_that_cannot_be_asked_is_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        build(Settings(switches=(wrong,)), Site(School(id="s")))


def test_one_search_at_a_time_and_so_many_in_all() -> None:
    going, most, asked = threading.Event(), threading.Event(), []

    def find(mac: str) -> str:
        asked.append(mac)
        going.wait(10)
        return f"sw1 {mac}"

    finder = PortFinder(find)
    for mac in ("a", "b", "a"):
        finder.ask(mac)
    assert (asked, finder.of("a")) == (["a"], "")
    going.set()
    end = time.monotonic() + 10
    while not most.is_set() and time.monotonic() < end:
        finder.ask(str(len(asked)))
        if len(asked) > MOST_SENDERS - 1:
            most.set()
        time.sleep(0.001)
    assert finder.of("a") == "sw1 a"
    assert len(asked) <= MOST_SENDERS


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_the_alarm_goes_out_at_once_and_again_with_the_port(folder: Path, stack: ExitStack) -> None:
    told: list[Point] = []

    def listen() -> None:
        probe = build(settings, site)
        while time.monotonic() < end and not any("switch_port" in point.fields for point in told):
            run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=5, window_seconds=0.3)
            told.extend(probe.measure(run))

    with joined_pair() as (near, far):
        port = call_in(near, lambda: stack.enter_context(serving(Device(PLAIN).answer)))
        settings = Settings(lans=("near0",), window=Seconds(0.3), switches=(switch(port),))
        site = Site(School(id="s"), settings_directory=folder, proc=Path("/proc/thread-self"))
        end = time.monotonic() + 15
        listener = threading.Thread(target=lambda: call_in(near, listen))
        listener.start()
        while listener.is_alive():
            call_in(far, lambda: flood(0.2, 50))
        listener.join()
    for point in told:
        check(point)
    findings = [str(point.fields["finding"]) for point in told if point.measurement == "ipv6_check"]
    assert [text.startswith(STRANGER) for text in findings[-2:]] == [True, True]
    assert "behind sw1 Gi0/7" in findings[-1]
    assert "behind" not in findings[-2]
    of_routers = [point for point in told if point.measurement == "router_advertisement"]
    ports = [point.fields.get("switch_port") for point in of_routers]
    assert ports == [None, "sw1 Gi0/7"]
