"""Builds a county from its description: gateways, LANs, lines, carriers, the core, the centre, the outside.

terminals, box ─ lan0 [gateway] wan0… ─ port [access node] core ─ [carrier] ─ [core] ─ centre, outside
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.lab import addresses, ipv6, links, services
from tests.lab.description import County, Line, School
from tests.lab.netns import Lab, LabError, Namespace
from tests.lab.relay import Cable

ROUTER = (
    "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
    "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.keep_addr_on_down=1", "net.ipv6.conf.default.keep_addr_on_down=1",
    "net.ipv4.conf.all.ignore_routes_with_linkdown=1", "net.ipv4.conf.default.ignore_routes_with_linkdown=1",
    "net.ipv6.conf.all.ignore_routes_with_linkdown=1", "net.ipv6.conf.default.ignore_routes_with_linkdown=1",
    "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
)  # fmt: skip
HOST = ("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
        "net.ipv4.ping_group_range=0 2147483647")  # fmt: skip
IPV6_WAIT_SECONDS = 15.0


class BuiltLine:
    """A line that stands: ``access`` is the carrier's access node, ``port`` the gateway's interface."""

    def __init__(
        self, line: Line, *, school: str, number: int, carrier_number: int,
        gateway: Namespace, port: str, access: Namespace,
    ) -> None:  # fmt: skip
        self.line = line
        self.name = f"{school}/{line.id}"
        self.number = number
        self.carrier_number = carrier_number
        self.gateway = gateway
        self.port = port
        self.access = access
        self.loss = line.loss
        self.cable: Path | None = None
        self.school_routes: list[str] = []

    def set_rates(self, down: int | None, up: int | None) -> None:
        """Shape either direction from now on."""
        if self.cable is not None:
            wanted = {"rate_there": up, "rate_back": down}
            links.change_cable(
                self.cable, **{name: rate for name, rate in wanted.items() if rate is not None}
            )
            return
        if down is not None:
            links.set_rate(self.access, "port", down, self.line.queue)
        if up is not None:
            links.set_rate(self.access, "core", up, self.line.queue)

    def set_loss(self, loss: float) -> None:
        """Lose this share of the packets of each direction from now on."""
        self.loss = loss
        links.set_loss(self.access, loss)

    def set_delay(self, seconds: float) -> None:
        """Change the delay of each way. Raises LabError on a line without a relay."""
        if self.cable is None:
            raise LabError(f"line {self.name} has no relay: describe it with a delay to change it later")
        links.change_cable(self.cable, delay=seconds)

    def set_state(self, state: str) -> None:
        """``up``, ``link_down`` (the port loses its carrier) or ``path_down`` (all is lost beyond)."""
        link = "off" if state == "link_down" else "on"
        if self.line.relayed:
            self.gateway.ip([f"link set dev {self.port} carrier {link}"])
        else:
            self.access.ip([f"link set dev port {'down' if link == 'off' else 'up'}"])
        path = "down" if state == "path_down" else "up"
        self.access.ip([f"link set dev core {path}"])
        if state == "up":
            self.access.ip([*_access_routes(self.number), *self.school_routes])

    def verify_wire(self) -> list[links.WireReport]:
        """Is every packet at most the MTU, and are as many lost as was set? One report a direction."""
        counts = links.count_wire(self.access)
        return [links.judge_wire(self.name, way, counts[way], self.loss) for way in ("down", "up")]


class BuiltSchool:
    """A school that stands."""

    def __init__(self, school: School, number: int, gateway: Namespace) -> None:
        self.school = school
        self.number = number
        self.gateway = gateway
        self.lines: list[BuiltLine] = []
        self.terminals: list[Namespace] = []
        self.box: Namespace | None = None

    @property
    def agent_stands_in(self) -> Namespace:
        """Where the agent runs."""
        return self.box if self.box is not None else self.gateway


class BuiltCounty:
    """A county that stands, until its Lab is left."""

    def __init__(self, lab: Lab, county: County) -> None:
        self.lab = lab
        self.county = county
        self.core = lab.namespace("core")
        self.centre = lab.namespace("centre")
        self.outside = lab.namespace("outside")
        self.carriers = {name: lab.namespace(f"c-{name}") for name in county.carriers}
        self.schools: dict[str, BuiltSchool] = {}
        self._line_count = 0
        self._build_middle()
        for number, school in enumerate(county.schools, 1):
            self._build_school(number, school)
        services.start_outside(lab, self.outside)
        services.serve_traffic(lab, self.centre)

    def line(self, name: str) -> BuiltLine:
        """The line called ``school/line``. Raises LabError."""
        for school in self.schools.values():
            for line in school.lines:
                if line.name == name:
                    return line
        raise LabError(f"there is no line {name} in this county")

    def carrier_number(self, name: str) -> int:
        """k of the address plan."""
        return self.county.carriers.index(name) + 1

    def verify_wire(self) -> list[links.WireReport]:
        """All lines, both directions; see BuiltLine.verify_wire."""
        return [
            report
            for school in self.schools.values()
            for line in school.lines
            for report in line.verify_wire()
        ]

    def wait_for_ipv6(self) -> None:
        """Wait until every terminal that will get a global IPv6 address has it, past the tentative state."""
        waiting = [terminal for school in self.schools.values() if ipv6.lan_works(school.school)
                   for terminal in [*school.terminals, *([school.box] if school.box else [])]]  # fmt: skip
        deadline = time.monotonic() + IPV6_WAIT_SECONDS
        while waiting:
            waiting = [terminal for terminal in waiting if not _has_global_address(terminal)]
            if waiting and time.monotonic() > deadline:
                raise LabError(f"{waiting[0].name} got no IPv6 address within {IPV6_WAIT_SECONDS:g} s")
            time.sleep(0.1)

    def _build_middle(self) -> None:
        self.core.sysctl(*ROUTER)
        for host in (self.centre, self.outside):
            host.sysctl(*HOST, "net.ipv6.conf.default.accept_dad=0")
        links.cable((self.core, "centre"), (self.centre, "eth0"), 1500)
        links.cable((self.core, "outside"), (self.outside, "eth0"), 1500)
        self.core.ip(["link set dev lo up", *_address("centre", *addresses.CORE_TO_CENTRE),
                      *_address("outside", *addresses.CORE_TO_OUTSIDE)])  # fmt: skip
        centre_hosts = [addresses.CENTRE, *(addresses.centre_on(k + 1) for k in range(len(self.carriers)))]
        self.centre.ip(_host("eth0", centre_hosts, addresses.CORE_TO_CENTRE))
        self.outside.ip(
            _host("eth0", [addresses.OUTSIDE, *addresses.OUTSIDE_HOSTS], addresses.CORE_TO_OUTSIDE)
        )
        for k, carrier in enumerate(self.carriers.values(), 1):
            self._build_carrier(k, carrier)

    def _build_carrier(self, k: int, carrier: Namespace) -> None:
        carrier.sysctl(*ROUTER)
        links.cable((self.core, f"c{k}"), (carrier, "core"), 1500)
        core, far = addresses.core_to_carrier(k, 1), addresses.core_to_carrier(k, 2)
        self.core.ip(_address(f"c{k}", f"{core[0]}/24", f"{core[1]}/64"))
        carrier.ip(["link set dev lo up", *_address("core", f"{far[0]}/24", f"{far[1]}/64"),
                    f"route add default via {core[0]}", f"route add ::/0 via {core[1]}"])  # fmt: skip

    def _build_school(self, m: int, school: School) -> None:
        gateway = self.lab.namespace(f"{school.id}-gw")
        gateway.sysctl(*ROUTER, "net.ipv4.ping_group_range=0 2147483647")
        built = BuiltSchool(school, m, gateway)
        self.schools[school.id] = built
        gateway.ip(["link set dev lo up", "link add name lan0 type bridge", "link set dev lan0 up",
                    *_address("lan0", f"{addresses.lan(m, 1)[0]}/24")])  # fmt: skip
        for index, line in enumerate(school.lines):
            built.lines.append(self._build_line(built, index, line))
        self._build_lan(built)
        gateway.nft(services.gateway_rules(inbound_open="inbound_open" in school.ipv6_faults))
        ipv6.build_school(self.lab, self.core, self.carriers, built)
        if school.snmp:
            services.start_snmpd(self.lab, gateway, addresses.lan(m, 1)[0])

    def _build_line(self, school: BuiltSchool, index: int, line: Line) -> BuiltLine:
        self._line_count += 1
        n, k = self._line_count, self.carrier_number(line.carrier)
        access = self.lab.namespace(f"{school.school.id}-{line.id}")
        access.sysctl(*ROUTER)
        built = BuiltLine(
            line, school=school.school.id, number=n, carrier_number=k,
            gateway=school.gateway, port=f"wan{index}", access=access,
        )  # fmt: skip
        near, far = (school.gateway, built.port), (access, "port")
        if line.relayed:
            cable = Cable(line.delay, 0.0, 0.0, line.queue)
            built.cable = links.relayed_cable(self.lab, near, far, line.mtu, cable)
        else:
            links.cable(near, far, line.mtu)
        if line.port is not None:
            links.set_port_speed(school.gateway, built.port, line.port, line.connector)
        links.cable((access, "core"), (self.carriers[line.carrier], f"a{n}"), 1500)
        self._address_line(built, index)
        links.watch_wire(access, line.mtu, line.loss)
        built.set_rates(line.rate_down, line.rate_up)
        if line.state != "up":
            built.set_state(line.state)
        return built

    def _address_line(self, built: BuiltLine, index: int) -> None:
        n, k = built.number, built.carrier_number
        carrier, access = addresses.carrier_to_access(n, 1), addresses.carrier_to_access(n, 2)
        port, wan = addresses.access_to_gateway(n, 1), addresses.access_to_gateway(n, 2)
        built.access.ip(["link set dev lo up", *_address("core", f"{access[0]}/24", f"{access[1]}/64"),
                         *_address("port", f"{port[0]}/24", f"{port[1]}/64"),
                         *_access_routes(n)])  # fmt: skip
        self.carriers[built.line.carrier].ip(
            [*_address(f"a{n}", f"{carrier[0]}/24", f"{carrier[1]}/64"),
             f"route add {port[0]}/32 via {access[0]}", f"route add {wan[0]}/32 via {access[0]}",
             f"route add {_network(port[1])} via {access[1]}"])  # fmt: skip
        far = addresses.core_to_carrier(k, 2)
        self.core.ip(
            [f"route add {port[0]}/32 via {far[0]}", f"route add {wan[0]}/32 via {far[0]}",
             f"route add {access[0]}/32 via {far[0]}",
             f"route add {_network(port[1])} via {far[1]}"])  # fmt: skip
        beyond = addresses.centre_on(k)[0]
        built.gateway.ip(
            [*_address(built.port, f"{wan[0]}/24"),
             f"route add default via {port[0]} dev {built.port} metric {100 + index}",
             f"route replace {beyond}/32 via {port[0]} dev {built.port} metric {100 + index}",
             f"route add default via {port[0]} dev {built.port} table {100 + index}",
             f"rule add from {wan[0]}/32 lookup {100 + index}"])  # fmt: skip

    def _build_lan(self, school: BuiltSchool) -> None:
        hosts = [(f"t{i + 1}", 101 + i) for i in range(school.school.terminals)]
        if school.school.agent == "box":
            hosts.append(("box", 10))
        for name, host in hosts:
            where = self._build_lan_host(school, name, host)
            if name == "box":
                school.box = where
            else:
                school.terminals.append(where)
        self.lab.resolver(school.gateway, addresses.OUTSIDE[0])

    def _build_lan_host(self, school: BuiltSchool, name: str, host: int) -> Namespace:
        where = self.lab.namespace(f"{school.school.id}-{name}")
        where.sysctl(*HOST)
        links.cable((school.gateway, name), (where, "eth0"), 1500)
        school.gateway.ip([f"link set dev {name} master lan0"])
        gateway = addresses.lan(school.number, 1)[0]
        where.ip(["link set dev lo up", *_address("eth0", f"{addresses.lan(school.number, host)[0]}/24"),
                  f"route add default via {gateway}"])  # fmt: skip
        self.lab.resolver(where, addresses.OUTSIDE[0])
        return where


def _address(port: str, *texts: str) -> list[str]:
    return [f"address add {text} dev {port}{' nodad' if ':' in text else ''}" for text in texts]


def _host(port: str, hosts: list[tuple[str, str]], router: tuple[str, str]) -> list[str]:
    """Addresses of a host on the net of ``router``, and its default routes."""
    lines = ["link set dev lo up"]
    for v4, v6 in hosts:
        lines += _address(port, f"{v4}/16", f"{v6}/48")
    via4, via6 = (text.split("/")[0] for text in router)
    return [*lines, f"route add default via {via4}", f"route add ::/0 via {via6}"]


def _access_routes(n: int) -> list[str]:
    carrier = addresses.carrier_to_access(n, 1)
    return [f"route replace default via {carrier[0]}", f"route replace ::/0 via {carrier[1]}"]


def _network(address: str) -> str:
    return address.rsplit("::", 1)[0] + "::/64"


def _has_global_address(where: Namespace) -> bool:
    listed = where.run("ip", "-6", "address", "show", "dev", "eth0", "scope", "global")
    return "inet6" in listed and "tentative" not in listed
