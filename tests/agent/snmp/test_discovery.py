"""Discovery: what ports are suggested for, the command on a device, and the settings it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.main import main
from agent.probes.snmp import Device as DeviceSettings
from agent.probes.snmp import PortRole
from agent.settings import load_settings
from agent.snmp.writing import add_device, inserted, settings_of
from config.settings import SettingsError
from tests.agent.snmp.scripted import INTEGER, OCTETS, Device, Table, port_rows, serving, system

LLDP = (1, 0, 8802, 1, 1, 2, 1, 4, 1, 1)
H3C = (1, 3, 6, 1, 4, 1, 25506, 1, 888)
BRIDGE, STATION, ACCESS_POINT = b"\x28\x00", b"\x01\x00", b"\x30\x00"
ROUTES = [
    (1, 3, 6, 1, 2, 1, 4, 24, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1),
    (1, 3, 6, 1, 2, 1, 4, 24, 7, 1, 7, 1, 4, 0, 0, 0, 0, 0, 2, 0, 0, 1, 4, 10, 0, 0, 1),
    (1, 3, 6, 1, 2, 1, 4, 21, 1, 2, 0, 0, 0, 0),
]


def gateway(route: tuple[int, ...]) -> Table:
    """Port 1 leads out, 2 to a switch, 3 to an access point, 4 is described, 5 is in use, 6 is not."""
    table = system(1, H3C, "核心".encode()) | {route: (INTEGER, 1)}
    for index in range(1, 7):
        alias = "To 汇聚 2F".encode() if index == 4 else b""
        table |= port_rows(index, 10**9, 10**6, alias=alias, up=index != 6)
    for port, name, bits in ((2, b"sw-2f", BRIDGE), (3, b"ap-1", ACCESS_POINT), (5, b"pc", STATION)):
        table |= {(*LLDP, 9, 0, port, 1): (OCTETS, name), (*LLDP, 12, 0, port, 1): (OCTETS, bits)}
    return table


@pytest.fixture
def community(tmp_path: Path) -> Path:
    path = tmp_path / "community"
    path.write_text("public\n", encoding="ascii")
    path.chmod(0o600)
    return path


def discovered(table: Table, community: Path, *more: str) -> tuple[int, str]:
    with serving(Device(table).answer) as port:
        words = ["snmp", "discover", "127.0.0.1", "--port", str(port), "--community-file", str(community)]
        result = CliRunner().invoke(main, [*words, "--timeout", "0.5", *more], env={"COLUMNS": "160"})
    return result.exit_code, result.output


@pytest.mark.parametrize("route", ROUTES, ids=["rfc2096", "rfc4292", "rfc1213"])
def test_ports_and_what_they_are_for(community: Path, route: tuple[int, ...]) -> None:
    status, text = discovered(gateway(route), community, "--lang", "en", "--line", "telecom")
    assert status == 0, text
    told = [
        [cell.strip() for cell in row.split("│")[1:-1]]
        for row in text.splitlines()
        if "Gi0/" in row and "│" in row
    ]
    assert [(row[0], row[1], row[5], row[6]) for row in told] == [
        ("Gi0/1", "up", "", "line"),
        ("Gi0/2", "up", "sw-2f", "trunk"),
        ("Gi0/3", "up", "ap-1", "access"),
        ("Gi0/4", "up", "", "trunk"),
        ("Gi0/5", "up", "pc", "access"),
        ("Gi0/6", "down", "", ""),
    ]
    assert "新华三 H3C" in text
    assert "line: telecom" in text


def test_in_chinese(community: Path) -> None:
    assert "建议用途" in discovered(gateway(ROUTES[0]), community, "--lang", "zh")[1]


SETTINGS = """\
# a school's own words
school: {id: s, lines: [{id: telecom}]}
probes:
  interfaces: {}   # keep
  snmp:
    every: 2min
    devices:
    - id: other  # the old one
      host: 192.0.2.7
      community_file: c
  # after
  ping: {}
log: {level: info}  # last
"""


def test_it_writes_settings_that_load_and_keep_their_comments(community: Path, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(SETTINGS, encoding="utf-8")
    status, text = discovered(
        gateway(ROUTES[0]), community, "--write", str(file), "--id", "core", "--line", "telecom"
    )
    assert status == 0, text
    written = file.read_text(encoding="utf-8")
    for comment in ("# a school's own words", "# keep", "# the old one", "# after", "# last"):
        assert comment in written
    (probe,) = [probe for probe in load_settings(file).probes if probe.name == "snmp"]
    core = probe.settings.devices[1]
    assert (core.id, core.host, core.community_file) == ("core", "127.0.0.1", "community")
    assert core.ports == {
        "Gi0/1": PortRole(role="line", line="telecom"),
        "Gi0/2": PortRole(role="trunk"),
        "Gi0/4": PortRole(role="trunk"),
    }


def test_a_device_that_is_there_already_is_one_line(community: Path, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(SETTINGS, encoding="utf-8")
    status, text = discovered(gateway(ROUTES[0]), community, "--write", str(file), "--id", "other")
    assert status == 2
    assert "probes.snmp.devices: other is there already" in text
    assert file.read_text(encoding="utf-8") == SETTINGS


def test_a_silent_device_is_one_line(community: Path) -> None:
    with serving(lambda _: []) as port:
        words = ["snmp", "discover", "127.0.0.1", "--port", str(port), "--community-file", str(community)]
        result = CliRunner().invoke(main, [*words, "--timeout", "0.1"])
    assert (result.exit_code, result.output) == (1, "error: 127.0.0.1: did not answer\n")


def test_without_a_secret_it_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["snmp", "discover", "127.0.0.1"])
    assert result.exit_code == 2
    assert "version 2c needs community_file" in result.output


DEVICE = {"id": "core", "host": "h", "community_file": "c"}


@pytest.mark.parametrize(
    "text",
    [
        "school: {id: s}\n",
        "school: {id: s}",
        "school: {id: s}\nprobes: {}\n",
        "school: {id: s}\nprobes:\n",
        "school: {id: s}\nprobes: {}  # none yet\nlog: {level: info}\n",
        "school: {id: s}\nprobes:\n  ping: {}\n",
        "school: {id: s}\nprobes:\n  snmp: {}\n  ping: {}\n",
        "school: {id: s}\nprobes:\n  snmp:\n    every: 1min\nlog: {level: info}\n",
        "school: {id: s}\nprobes:\n  snmp:\n    devices: []\n",
        (
            "school: {id: s}\nprobes:\n    snmp:\n        devices:\n"
            "            - {id: a, host: b, community_file: c}\n"
        ),
        (
            "probes:\n  snmp:\n    devices:\n      - id: a\n        host: b\n"
            "        community_file: c\n\n# end\nschool: {id: s}\n"
        ),
        SETTINGS,
    ],
)
def test_every_shape_of_settings_is_added_to(tmp_path: Path, text: str) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(text, encoding="utf-8")
    add_device(file, DEVICE)
    (probe,) = [probe for probe in load_settings(file).probes if probe.name == "snmp"]
    assert probe.settings.devices[-1] == DeviceSettings(id="core", host="h", community_file="c")
    for line in text.splitlines():
        assert not line.partition("#")[2] or line.partition("#")[2] in file.read_text(encoding="utf-8")


def test_what_cannot_be_added_to_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    text = "school: {id: s}\nprobes: {snmp: {devices: [{id: a, host: b, community_file: c}]}}\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="is written in a way that is not added to here"):
        add_device(file, DEVICE)
    assert file.read_text(encoding="utf-8") == text
    assert inserted(text, DEVICE) is None


def test_settings_say_what_differs_from_the_defaults() -> None:
    device = DeviceSettings(
        id="a",
        host="h",
        version="3",
        user="u",
        ports={"x": PortRole(role="trunk"), "y": PortRole("line", "l")},
    )
    assert settings_of(device) == {
        "id": "a", "host": "h", "version": "3", "user": "u",
        "ports": {"x": {"role": "trunk"}, "y": {"role": "line", "line": "l"}},
    }  # fmt: skip
