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
from collector.registry.registry import Registry
from config import settings
from config.readiness import Finding, Levels, Result, levels_of, settle
from config.school import School as DeclaredSchool
from config.units import Seconds
from tests.agent.ipv6 import repair
from tests.lab import addresses, ipv6, programs
from tests.lab.county import BuiltCounty, BuiltSchool
from tests.lab.description import County, Ipv6Fault, Line, School
from tests.lab.netns import Lab, LabError, Namespace

HTTP_PORT, TRAFFIC_PORT = 8080, 9000
OUTSIDE, CENTRE = addresses.OUTSIDE, addresses.CENTRE
NAMES, NAMES_WITHOUT_AAAA = addresses.OUTSIDE_HOSTS[1], addresses.OUTSIDE_HOSTS[0]
ONE_LINE = (Line(id="a", carrier="tel"),)
SECONDS_TO_END = 90
MOST_TRIES = 20
Place = Literal["gateway", "lan"]
PLACES: tuple[Place, ...] = ("gateway", "lan")
Expected = Mapping[int, Literal["fail"] | int]


Delegation = Literal["", "none", "offered", "used"]


class Case(msgspec.Struct, frozen=True):
    """One way to break IPv6. ``expected`` says what does not pass: «fail», or the check it is unknown for.

    ``drop`` is a rule for what the carrier's access node forwards, ``set_up`` changes the probe's settings,
    ``code`` is the finding that names the cause. ``delegation`` is what the carrier's DHCPv6 server does
    where the prefix is not static: has none to give, has one that the gateway leaves, gives one.
    """

    expected: Expected
    code: str = ""
    faults: tuple[Ipv6Fault, ...] = ()
    lines: tuple[Line, ...] = ONE_LINE
    drop: str = ""
    set_up: dict[str, Any] = {}
    quiet_rogue: bool = False
    ipv4_use: bool = False
    deaf_client: bool = False
    delegation: Delegation = ""


def beyond(number: int, *, but: tuple[int, ...] = ()) -> dict[int, Literal["fail"] | int]:
    """All that rests on reachability is unknown because of ``number``."""
    return {check: number for check in (7, 8, 9, 10, 11, 13, 14, 15) if check not in but and check != number}


def on_lan(number: int) -> dict[int, Literal["fail"] | int]:
    """All that a client's address and its use rest on is unknown because of ``number``."""
    return {check: number for check in (4, 5, 6, 13, 15) if check != number}


def site(name: str) -> dict[str, Any]:
    return {"platforms": [{"url": f"http://{name}.lab.test/", "inside": True}]}


CASES: dict[str, Case] = {
    "good": Case({}),
    "given": Case({}, faults=("no_lan_prefix",), delegation="used"),
    "noipv6": Case(
        {1: "fail", 2: "fail", 3: "fail", 4: 3, 5: 3, 6: 3, **beyond(1), 13: 3},
        "not_global", lines=(Line(id="a", carrier="tel", ipv6="off"),),
    ),
    "ula": Case({1: "fail", **beyond(1)}, "not_global", ("ula_only",)),
    "noroute": Case(
        {2: "fail", 4: "fail", 5: 4, 6: 4, **beyond(2), 13: 4}, "no_route", ("no_default_route",),
    ),
    "right": Case({2: "fail", **beyond(2)}, "no_route", ("no_default_route", "zero_router_lifetime")),
    "deadhop": Case({2: "fail", **beyond(2)}, "next_hop_silent", ("dead_next_hop",)),
    "noprefix": Case({3: "fail", **on_lan(3)}, "no_delegating_server", ("no_lan_prefix",)),
    "nodeleg": Case({3: "fail", **on_lan(3)}, "no_delegation", ("no_lan_prefix",), delegation="none"),
    "left": Case({3: "fail", **on_lan(3)}, "delegation_unused", ("no_lan_prefix",), delegation="offered"),
    "nora": Case({4: "fail", **on_lan(4)}, "no_advertisement", ("no_router_advertisement",)),
    "life0": Case({4: "fail", **on_lan(4)}, "lifetime_zero", ("zero_router_lifetime",)),
    "noauto": Case({4: "fail", **on_lan(4)}, "not_autonomous", ("no_autoconfiguration",)),
    "noclient": Case({6: "fail", 13: 6, 15: 6}, "no_client_address", deaf_client=True),
    "nordnss": Case({5: "fail"}, "no_dns", ("no_rdnss",)),
    "short": Case({5: "fail"}, "rdnss_short", ("short_rdnss_lifetime",)),
    "hole": Case({7: "fail", **beyond(7)}, "not_reached", ("blackhole",)),
    "noaaaa": Case({8: "fail", 14: 8}, "no_aaaa", set_up={"resolvers": [NAMES_WITHOUT_AAAA[1]]}),
    "toobig": Case({9: "fail", 10: "fail", 13: 10}, "too_big_lost", ("packet_too_big_dropped",)),
    "noecho": Case({10: "fail", 13: 10}, "echo_lost", drop="icmpv6 type { echo-request, echo-reply } drop"),
    "slow": Case(
        {11: "fail"}, "slower",
        lines=(Line(id="a", carrier="tel", ipv6="off"), Line(id="b", carrier="uni", delay=Seconds(0.01))),
    ),
    "rogue": Case({12: "fail"}, "rogue", quiet_rogue=True),
    "open": Case({13: "fail"}, "inbound_open", ("inbound_open",)),
    "v4site": Case({14: "fail"}, "site_no_aaaa", set_up=site("v4only")),
    "refused": Case({14: "fail"}, "site_refuses", set_up=site("refusing")),
    "unused": Case({15: "fail"}, "little_use", set_up={"use_floor_percent": 40.0}, ipv4_use=True),
}  # fmt: skip
"""Every check is broken at least once; what depends on the broken one is unknown because of it."""


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


class Services:
    """What stands beyond the lines: the collector with its far end, and two name servers."""

    def __init__(self, lab: Lab, county: BuiltCounty) -> None:
        self._lab = lab
        self._county = county
        self._serve_names()
        self._start_collector()

    def get(self, path: str) -> Any:
        """What the collector answers to a reader of its own host, as JSON."""
        return json.loads(self.page(path))

    def page(self, path: str) -> bytes:
        """What the collector answers to a reader of its own host. Raises OSError."""
        argv = ["curl", "-sSf", "--max-time", "10", f"http://127.0.0.1:{HTTP_PORT}{path}"]
        done = subprocess.run(self._county.centre.argv(argv), capture_output=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode(errors="replace"))
        return done.stdout

    def mend_names(self, case: str) -> None:
        """Give a site its AAAA record, let the other one answer."""
        if case == "v4site":
            self._know(NAMES, f"{OUTSIDE[1]} v4only.lab.test")
        if case == "noaaaa":
            self._know(NAMES_WITHOUT_AAAA, f"{OUTSIDE[1]} good.lab.test")
        if case == "refused":
            argv = [sys.executable, "-m", "http.server", "--bind", CENTRE[1], "80"]
            pages = ["--directory", str(self._lab.directory / "www")]
            web = self._lab.start(self._county.centre, [*argv, *pages], log="web-centre")
            programs.wait_for_port(self._county.centre, CENTRE[1], 80, web)

    def _serve_names(self) -> None:
        """A name server that knows the sites, and one without a single AAAA."""
        self._know(
            NAMES,
            f"{OUTSIDE[0]} good.lab.test", f"{OUTSIDE[1]} good.lab.test", f"{OUTSIDE[0]} v4only.lab.test",
            f"{OUTSIDE[0]} refusing.lab.test", f"{CENTRE[1]} refusing.lab.test",
        )  # fmt: skip
        self._know(NAMES_WITHOUT_AAAA, f"{OUTSIDE[0]} good.lab.test")
        for listen in (NAMES, NAMES_WITHOUT_AAAA):
            argv = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                    "--pid-file=", "--user=root", "--bind-interfaces", "--except-interface=lo",
                    f"--hostsdir={self._hosts(listen)}",
                    *(f"--listen-address={address}" for address in listen)]  # fmt: skip
            self._lab.start(self._county.outside, argv, log=f"dnsmasq-{listen[0]}")

    def _hosts(self, server: tuple[str, str]) -> Path:
        folder = self._lab.directory / f"hosts-{server[0]}"
        folder.mkdir(exist_ok=True)
        return folder

    def _know(self, server: tuple[str, str], *records: str) -> None:
        """More records for a name server, which follows the files of its folder."""
        folder = self._hosts(server)
        (folder / f"{len(list(folder.iterdir()))}").write_text("".join(f"{each}\n" for each in records))

    def _start_collector(self) -> None:
        data = self._lab.directory / "collector"
        data.mkdir(mode=0o700)
        registry = Registry.open(f"sqlite:///{data / 'registry.db'}")
        for school in self._county.schools.values():
            registry.put_schools([settings.convert(declared(school), DeclaredSchool, school.school.id)])
            token = self._lab.directory / f"{school.school.id}.token"
            token.write_text(registry.add_agent(school.school.id, "") + "\n")
            token.chmod(0o600)
        registry.close()
        file = self._lab.directory / "collector.yaml"
        content = {
            "data_directory": str(data),
            "listen": {"host": "::", "port": HTTP_PORT},
            "access": {"anonymous": "county_admin"},
            "responder": {"port": 8081, "icmpv6": True, "icmpv6_host": CENTRE[1]},
        }
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        argv = [str(Path(sys.executable).parent / "xiaotong-collector"), "serve", "--config", str(file)]
        collector = self._lab.start(self._county.centre, argv, log="collector")
        programs.wait_for_port(self._county.centre, CENTRE[0], HTTP_PORT, collector)


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


def declared(school: BuiltSchool) -> dict[str, Any]:
    """The school as its settings have it."""
    lines = [
        {"id": line.line.id, "carrier": line.line.carrier, "interface": line.port} for line in school.lines
    ]
    return {"id": school.school.id, "classes": 1, "lines": lines}
