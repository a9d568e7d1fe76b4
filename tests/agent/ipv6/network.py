"""Schools with IPv6 as it should be, each broken in one way, with the real collector beyond their lines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from agent.ipv6.use import LEAST_BYTES
from config.readiness import Finding, Levels, Result, levels_of, settle
from tests.agent.ipv6 import repair
from tests.agent.ipv6.cases import CASES, CENTRE, NAMES, OUTSIDE, Case, site
from tests.agent.ipv6.services import HTTP_PORT, Services, declared
from tests.lab import addresses, ipv6
from tests.lab.county import BuiltCounty, BuiltSchool
from tests.lab.description import County, School
from tests.lab.netns import Lab, LabError, Namespace

TRAFFIC_PORT = 9000
SECONDS_TO_END = 90
MOST_TRIES = 20
Place = Literal["gateway", "lan"]
PLACES: tuple[Place, ...] = ("gateway", "lan")


class Network:
    """The county of some cases, standing. ``seconds`` is how long the last commands of each took."""

    def __init__(self, lab: Lab, names: list[str]) -> None:
        self.cases = {name: CASES[name] for name in names}
        schools = [
            School(id=name, lines=case.lines, agent="box", ipv6_faults=case.faults)
            for name, case in self.cases.items()
        ]
        self.seconds: dict[str, float] = {}
        self.lab = lab
        self.county = BuiltCounty(lab, County(schools=tuple(schools)))
        self.services = Services(lab, self.county)
        for name, case in self.cases.items():
            self._finish(self.county.schools[name], case)
        self.county.wait_for_ipv6()
        for name, case in self.cases.items():
            if case.deaf_client:
                box = standing(self.county.schools[name])
                box.sysctl("net.ipv6.conf.eth0.autoconf=0")
                box.run("ip", "-6", "address", "flush", "dev", "eth0", "scope", "global")
            if case.delegation == "used":
                repair.wait_for_address(standing(self.county.schools[name]))

    def check(self, name: str) -> dict[int, Finding]:
        """Run the command at the gateway and at the box, and the listener; the school's fifteen findings."""
        school, case = self.county.schools[name], self.cases[name]
        if case.expected.get(15) in {None, "fail"}:
            self._use_line(school)
        since = time.monotonic()
        running = {place: self._started(school, case, place) for place in PLACES}
        listener = self._listening(school)
        views = [json.loads(output_of(program)) for program in running.values()]
        self.seconds[name] = time.monotonic() - since
        listened = json.loads(output_of(listener))
        return merged(views, listened["points"])

    def mend(self, name: str) -> None:
        """Set right what is broken at a school; from then on all fifteen are expected to pass."""
        school, case = self.county.schools[name], self.cases[name]
        self.cases[name] = msgspec.structs.replace(case, expected={}, code="", ipv4_use=False)
        if case.delegation == "none":
            repair.delegate(self.lab, self.county, school, pool=True)
        if case.delegation:
            repair.use_delegation(self.lab, school)
        else:
            repair.rebuild(self.lab, self.county, school)
        if case.deaf_client:
            standing(school).sysctl("net.ipv6.conf.eth0.autoconf=1")
        self.services.mend_names(name)
        repair.wait_for_address(standing(school))

    def _started(self, school: BuiltSchool, case: Case, place: Place) -> subprocess.Popen[bytes]:
        where = school.gateway if place == "gateway" else standing(school)
        file = self.settings(school, case, place)
        return begun(where, "ipv6", "--config", str(file), "--json")

    def _listening(self, school: BuiltSchool) -> subprocess.Popen[bytes]:
        file = self.lab.directory / f"{school.school.id}-gateway.yaml"
        words = ("probe", "router_advertisements", "--config", str(file), "--seconds", "7", "--json")
        return begun(school.gateway, *words)

    def settings(self, school: BuiltSchool, case: Case, place: Place) -> Path:
        """The file of one agent of a school."""
        lan = "lan0" if place == "gateway" else "eth0"
        probe: dict[str, Any] = {
            "lans": [lan],
            "max_advertisement_interval": f"{ipv6.ROUTER_INTERVAL_SECONDS}s",
            "dns_name": "good.lab.test",
            "resolvers": [NAMES[1]],
            "use_floor_percent": 1.0,
            "targets": [
                {"ipv4": OUTSIDE[0], "ipv6": OUTSIDE[1], "port": 80, "network": "outside"},
                {"ipv4": NAMES[0], "ipv6": NAMES[1], "port": 80, "network": "outside"},
                {"ipv4": CENTRE[0], "ipv6": CENTRE[1], "port": HTTP_PORT, "network": "centre"},
            ],
            **site("good"),
            **case.set_up,
        }
        content = {
            "school": declared(school),
            "stands_on": place,
            "collector": {
                "url": f"http://{CENTRE[0]}:{HTTP_PORT}",
                "token_file": str(self.lab.directory / f"{school.school.id}.token"),
            },
            "spool": {"flush": "2s", "hold": "500ms"},
            "schedule": {"start_pause": "0s"},
            "probes": {
                "ipv6_checks": probe,
                "router_advertisements": {"lans": [lan], "listen": "6s"},
            },
        }
        file = self.lab.directory / f"{school.school.id}-{place}.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file

    def _use_line(self, school: BuiltSchool) -> None:
        """Bring in more than check 15 wants to see to a host of the LAN, by IPv6 where there is any."""
        words = [sys.executable, "-m", "tests.lab.traffic", "down"]
        address = OUTSIDE[0] if self.cases[school.school.id].ipv4_use else OUTSIDE[1]
        box = standing(school)
        enough = received_bytes(box) + LEAST_BYTES * 1.2
        for _ in range(MOST_TRIES):
            box.run(*words, address, str(TRAFFIC_PORT), "100000000", "1.2")
            if received_bytes(box) > enough:
                return
        raise LabError(f"the line of {school.school.id} carries too little")

    def _finish(self, school: BuiltSchool, case: Case) -> None:
        for where in (school.gateway, standing(school)):
            self.lab.resolver(where, NAMES[0])
        if case.drop:
            drop(school.lines[0].access, case.drop)
        if case.quiet_rogue:
            self.start_rogue(school)
        if case.delegation:
            repair.delegate(self.lab, self.county, school, pool=case.delegation != "none")
        if case.delegation == "used":
            repair.use_delegation(self.lab, school)

    def start_rogue(self, school: BuiltSchool) -> None:
        """A terminal advertises a prefix that is not the school's; it takes no client's way out."""
        said = ipv6.Advertisement(router_lifetime=0, autonomous=False, rdnss=False)
        ipv6.start_radvd(self.lab, school.terminals[0], "eth0", addresses.ROGUE_PREFIX, said)


def standing(school: BuiltSchool) -> Namespace:
    """The box in the LAN."""
    assert school.box is not None
    return school.box


def received_bytes(host: Namespace) -> int:
    """What came in to a host of the LAN."""
    return int(host.run("cat", "/sys/class/net/eth0/statistics/rx_bytes"))


def drop(access: Namespace, rule: str) -> None:
    """Drop something of what the carrier's access node forwards."""
    access.nft(
        "table inet broken {\n  chain forward {\n    type filter hook forward priority -10\n"
        f"    {rule}\n  }}\n}}\n"
    )


@contextmanager
def network(names: list[str]) -> Iterator[Network]:
    """The network of some cases, and its end."""
    with Lab() as lab:
        yield Network(lab, names)


def begun(where: Namespace, *words: str) -> subprocess.Popen[bytes]:
    """The agent's command, running inside a namespace."""
    agent = str(Path(sys.executable).parent / "xiaotong-agent")
    return subprocess.Popen(where.argv([agent, *words]), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def output_of(program: subprocess.Popen[bytes]) -> bytes:
    """What a command printed. Raises AssertionError where it printed nothing."""
    out, errors = program.communicate(timeout=SECONDS_TO_END)
    if not out:
        raise AssertionError(errors.decode(errors="replace"))
    return out


def merged(views: list[Any], points: list[Any]) -> dict[int, Finding]:
    """The findings of a school from those of its agents: a failure wins over a pass, that over unknown."""
    found: dict[int, Finding] = {}
    rank = (Result.FAIL, Result.PASS, Result.UNKNOWN)
    listed = [
        Finding(each["check"], Result(each["result"]), each["code"], each["values"])
        for view in views for each in view["checks"] if each["because"] is None
    ]  # fmt: skip
    for point in points:
        if point["measurement"] == "ipv6_check":
            fields = point["fields"]
            listed.append(Finding(int(point["tags"]["check"]), Result(fields["result"]), fields["code"],
                                  json.loads(fields["values"])))  # fmt: skip
    for finding in listed:
        known = found.get(finding.check)
        if known is None or rank.index(finding.result) < rank.index(known.result):
            found[finding.check] = finding
    return {finding.check: finding for finding in settle(found.values())}


def truth(found: Mapping[int, Finding]) -> dict[int, object]:
    """What does not pass: «fail», the number of the check it is unknown for, or the code of the unknown."""
    return {
        number: "fail" if finding.result is Result.FAIL else finding.because or finding.code
        for number, finding in found.items()
        if finding.result is not Result.PASS
    }


def levels(found: Mapping[int, Finding]) -> Levels:
    return levels_of({number: finding.result for number, finding in found.items()})
