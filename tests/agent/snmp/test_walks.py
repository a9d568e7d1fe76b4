"""Recorded walks of real devices, each with its origin in its file, played by a scripted device."""

from __future__ import annotations

from pathlib import Path

from agent.probe import Site
from agent.probes import snmp
from agent.probes.snmp import Settings
from config.school import School
from config.snmp_profiles import parse_oid, profile_of, profiles
from tests.agent.snmp.scripted import OCTETS, OID, Device, Table, serving
from tests.agent.snmp.test_devices import Minutes, settings_of

WALKS = Path(__file__).with_name("walks")


def recorded(name: str) -> Table:
    table: Table = {}
    for line in (WALKS / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            oid, tag, value = line.split("|", 2)
            kind = int(tag)
            told = parse_oid(value) if kind == OID else value.encode() if kind == OCTETS else int(value)
            table[parse_oid(oid)] = (kind, told)
    return table


def test_a_ruijie_switch_with_large_counters(tmp_path: Path) -> None:
    table = recorded("ruijie_s6220.txt")
    secret = tmp_path / "community"
    secret.write_text("public\n", encoding="ascii")
    secret.chmod(0o600)
    with serving(Device(table).answer) as port:
        site = Site(school=School(id="s"), settings_directory=tmp_path)
        minutes = Minutes(snmp.build(Settings(devices=(settings_of(port, "community"),)), site))
        first = minutes.poll()
    assert {name: point.fields["operational"] for name, point in first.items()} == {
        "Te0/1": False, "Te0/5": True, "Te0/30": True, "Ag1": True, "Lo0": True,
    }  # fmt: skip
    assert all("port_bits_per_second" not in point.fields for point in first.values())
    system = table[1, 3, 6, 1, 2, 1, 1, 2, 0][1]
    assert isinstance(system, tuple)
    assert profile_of(system, profiles()) == "ruijie"
