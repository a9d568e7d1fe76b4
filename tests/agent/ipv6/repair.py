"""Sets a school's IPv6 right again, and lets the carrier delegate its prefix by a real DHCPv6 server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import msgspec

from tests.lab import addresses, ipv6, services
from tests.lab.county import BuiltCounty, BuiltSchool
from tests.lab.netns import Lab, LabError, Namespace, run

DELEGATED_BITS = 56
DOCUMENTATION = 32473
"""Enterprise number of RFC 5612."""
_END_SECONDS = 5.0
SECONDS_TO_ADDRESS = 20


def rebuild(lab: Lab, county: BuiltCounty, school: BuiltSchool) -> None:
    """Take down what makes a school's IPv6 what it is, and build it anew without a fault."""
    for where in (school.gateway, *school.terminals):
        end(where, "radvd")
    for line in school.lines:
        line.gateway.run("ip", "-6", "address", "flush", "dev", line.port, "scope", "global")
        line.access.nft("table inet broken {}\ndelete table inet broken\n")
        if line.cable is not None:
            line.set_delay(0)
        line.line = msgspec.structs.replace(line.line, ipv6="on")
    school.gateway.run("ip", "-6", "route", "flush", "exact", "default")
    school.gateway.run("ip", "-6", "address", "flush", "dev", "lan0", "scope", "global")
    rules = services.gateway_rules(inbound_open=False)
    school.gateway.nft(f"table inet gateway {{}}\ndelete table inet gateway\n{rules}")
    school.school = msgspec.structs.replace(school.school, ipv6_faults=())
    ipv6.build_school(lab, county.core, county.carriers, school)


def delegate(lab: Lab, county: BuiltCounty, school: BuiltSchool, *, pool: bool) -> None:
    """Kea at the carrier's access node of the first line, with or without a prefix to give."""
    line = school.lines[0]
    end(line.access, "kea-dhcp6")
    ipv6.route_prefix(county.core, county.carriers[line.line.carrier], school, line)
    network, length = addresses.school_prefix(school.number).split("/")
    pools = [{"prefix": network, "prefix-len": int(length), "delegated-len": DELEGATED_BITS}]
    link = addresses.access_to_gateway(line.number, 1)[1].rpartition("::")[0]
    content = {
        "Dhcp6": {
            "interfaces-config": {"interfaces": ["port"]},
            "lease-database": {"type": "memfile", "persist": False},
            "server-id": {"type": "EN", "enterprise-id": DOCUMENTATION, "identifier": "01", "persist": False},
            "subnet6": [
                {"id": 1, "subnet": f"{link}::/64", "interface": "port", "pd-pools": pools if pool else []}
            ],
        }
    }
    folder = lab.directory / f"kea-{school.school.id}"
    folder.mkdir(exist_ok=True)
    file = folder / "kea.json"
    file.write_text(json.dumps(content))
    places = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
    lab.start(line.access, ["kea-dhcp6", "-c", str(file)], log=folder.name, environment=places)


def use_delegation(lab: Lab, school: BuiltSchool) -> None:
    """The gateway asks for a prefix, gives its LAN a /64 of it and advertises that."""
    folder = lab.directory / f"dhclient-{school.school.id}"
    folder.mkdir()
    script = folder / "script"
    script.write_text(
        '#!/bin/sh\n[ -n "$new_ip6_prefix" ] || exit 0\n'
        'exec ip -6 address replace "${new_ip6_prefix%%::/*}:1::1/64" dev lan0 nodad\n'
    )
    script.chmod(0o700)
    argv = ["dhclient", "-6", "-P", "-d", "-sf", str(script), "-lf", str(folder / "leases"),
            "-pf", str(folder / "pid"), "-cf", "/dev/null", school.lines[0].port]  # fmt: skip
    lab.start(school.gateway, argv, log=folder.name)
    wait_for_address(school.gateway, "lan0")
    ipv6.start_radvd(lab, school.gateway, "lan0", "::/64", ipv6.Advertisement())


def wait_for_address(host: Namespace, port: str = "eth0") -> None:
    """Wait until a host has a settled global address. Raises LabError after a while."""
    deadline = time.monotonic() + SECONDS_TO_ADDRESS
    while time.monotonic() < deadline:
        listed = host.run("ip", "-6", "address", "show", "dev", port, "scope", "global")
        if "inet6" in listed and "tentative" not in listed:
            return
        time.sleep(0.1)
    raise LabError(f"{host.name} got no IPv6 address within {SECONDS_TO_ADDRESS} s")


def end(where: Namespace, name: str) -> None:
    """End the programs of a name inside a namespace, and see that they are gone."""
    deadline = time.monotonic() + _END_SECONDS
    for number in running(where, name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)
    while running(where, name):
        if time.monotonic() > deadline:
            raise LabError(f"{name} of {where.name} does not end")
        time.sleep(0.05)


def running(where: Namespace, name: str) -> list[int]:
    """The processes of a name inside a namespace."""
    numbers = [int(word) for word in run(["ip", "netns", "pids", where.name]).split()]
    return [number for number in numbers if _called(number) == name[:15]]


def _called(number: int) -> str:
    try:
        return Path(f"/proc/{number}/comm").read_text().strip()
    except OSError:
        return ""
