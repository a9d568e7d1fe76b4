"""The SNMP probe on a real snmpd, beside a device that is silent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.probe import NoData, Probe, ProbeFailed, Run, Site
from agent.probes import snmp
from agent.probes.snmp import Device, PortRole, Settings
from config.clock import SystemClock
from config.measurements import check
from config.points import Point
from config.school import School
from config.settings import SettingsError, convert
from config.units import Seconds

SITE = Site(school=School(id="s"))
USERS = 'createUser tester SHA "an-auth-pass" AES "a-privacy-pass"\nrouser tester priv\n'


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


def secret(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text + "\n", encoding="ascii")
    path.chmod(mode)
    return str(path)


@pytest.fixture
def snmpd(tmp_path: Path) -> Iterator[int]:
    """A real snmpd on loopback with its own directory; its port."""
    port = free_port()
    settings = tmp_path / "snmpd.conf"
    settings.write_text(f"rocommunity canary-community 127.0.0.1\n{USERS}", encoding="ascii")
    environment = {"PATH": os.environ["PATH"], "SNMP_PERSISTENT_DIR": str(tmp_path / "state"), "MIBS": ""}
    command = ["snmpd", "-f", "-Lo", "-C", "-c", str(settings), f"udp:127.0.0.1:{port}"]
    with (tmp_path / "snmpd.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 10
            while b"NET-SNMP version" not in (tmp_path / "snmpd.log").read_bytes():
                assert time.monotonic() < deadline, (tmp_path / "snmpd.log").read_text()
                time.sleep(0.02)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def measure(probe: Probe) -> dict[str, Point]:
    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=30, window_seconds=60)
    points = list(probe.measure(run))
    for point in points:
        check(point)
    return {point.tags.get("interface", ""): point for point in points}


def quick(*devices: Device, site: Site = SITE, **others: Any) -> Probe:
    settings = Settings(
        devices=devices, timeout=Seconds(0.5), retries=0, device_deadline=Seconds(5), **others
    )  # fmt: skip
    return snmp.build(settings, site)


@pytest.mark.needs("snmpd")
def test_v2c_and_a_silent_device_beside_it(snmpd: int, tmp_path: Path) -> None:
    community = secret(tmp_path / "community", "canary-community")
    ports = {"lo": PortRole(role="line", line="a")}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        probe = quick(
            Device(id="mute", host="127.0.0.1", port=silent.getsockname()[1], community_file=community),
            Device(id="core", host="127.0.0.1", port=snmpd, community_file=community, ports=ports),
        )
        first = measure(probe)["lo"]
        second = measure(probe)["lo"]
    assert first.tags == {"interface": "lo", "device": "core", "role": "line", "line": "a"}
    assert (first.fields["samples"], first.fields["samples_dropped"]) == (0, 1)
    assert second.fields["samples"] == 1
    assert int(second.fields["rx_bytes"]) >= 0
    assert "rx_peak_bits_per_second" not in second.fields
    assert second.fields["operational"] is True


@pytest.mark.needs("snmpd")
def test_v3_with_authentication_and_privacy(snmpd: int, tmp_path: Path) -> None:
    device = Device(
        id="core", host="127.0.0.1", port=snmpd, version="3", user="tester",
        auth_file=secret(tmp_path / "auth", "an-auth-pass"),
        priv_file=secret(tmp_path / "priv", "a-privacy-pass"),
    )  # fmt: skip
    assert "lo" in measure(quick(device))


@pytest.mark.needs("snmpd")
@pytest.mark.fault(20)
def test_a_wrong_secret_fails_and_is_not_told(
    snmpd: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(
        id="core", host="127.0.0.1", port=snmpd, version="3", user="tester",
        auth_file=secret(tmp_path / "auth", "canary-secret-1"),
        priv_file=secret(tmp_path / "priv", "canary-secret-2"),
    )  # fmt: skip
    with pytest.raises(ProbeFailed, match="core: ") as failure:
        measure(quick(device))
    assert "canary" not in str(failure.value) + caplog.text


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    community = secret(tmp_path / "community", "canary", 0o644)
    with pytest.raises(ProbeFailed, match="others may read it; allowed is mode 0600"):
        measure(quick(Device(id="core", host="127.0.0.1", community_file=community)))


def test_no_device_is_no_data() -> None:
    with pytest.raises(NoData, match="no device is named"):
        snmp.build(Settings(), Site(school=School(id="s"))).measure(
            Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=1, window_seconds=1)
        )


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"id": "", "host": "h"}, "a device needs a printable id"),
        ({"id": "a", "host": "h"}, "version 2c needs community_file"),
        ({"id": "a", "host": "h", "version": "3"}, "version 3 needs user"),
        ({"id": "a", "host": "h", "port": 0, "community_file": "c"}, "port is from 1 to 65535"),
        (
            {"id": "a", "host": "h", "version": "3", "user": "u", "priv_file": "p"},
            "priv_file needs auth_file",
        ),
        (
            {"id": "a", "host": "h", "community_file": "c", "ports": {"x": {"role": "line"}}},
            "a port has a line when its role is line",
        ),
    ],
)
def test_settings_that_cannot_be_used(device: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        convert({"devices": [device]}, Settings, "agent.yaml")
