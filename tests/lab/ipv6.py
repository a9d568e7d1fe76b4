"""IPv6 of a school, working or broken in one of the ways of the readiness checks (RFC 7084, 8106, 4890, …).

Each fault is one entry of the tables below; a new one is one more entry. The prefix of the LAN belongs to the
school's first line with IPv6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.lab import addresses
from tests.lab.description import School
from tests.lab.netns import Lab, Namespace

if TYPE_CHECKING:
    from tests.lab.county import BuiltLine, BuiltSchool

ROUTER_INTERVAL_SECONDS = 4


class Advertisement(msgspec.Struct, frozen=True):
    """What radvd says on the LAN; the lifetimes in seconds."""

    router_lifetime: int = 1800
    autonomous: bool = True
    rdnss: bool = True
    rdnss_lifetime: int = 3 * ROUTER_INTERVAL_SECONDS


ADVERTISEMENT_FAULTS: dict[str, dict[str, int | bool]] = {
    "zero_router_lifetime": {"router_lifetime": 0},
    "no_autoconfiguration": {"autonomous": False},
    "no_rdnss": {"rdnss": False},
    "short_rdnss_lifetime": {"rdnss_lifetime": ROUTER_INTERVAL_SECONDS},
}
FORWARD_FAULTS = {
    "packet_too_big_dropped": "icmpv6 type packet-too-big drop",
    "icmpv6_dropped": "meta l4proto icmpv6 drop",
    "blackhole": "meta nfproto ipv6 drop",
}
LAN_WITHOUT_ADDRESSES = {"no_router_advertisement", "no_autoconfiguration", "no_lan_prefix"}


def lan_works(school: School) -> bool:
    """A terminal of this school will get a global address."""
    return any(line.ipv6 == "on" for line in school.lines) and not LAN_WITHOUT_ADDRESSES & set(
        school.ipv6_faults
    )


def build_school(lab: Lab, core: Namespace, carriers: dict[str, Namespace], school: BuiltSchool) -> None:
    """Addresses, routes, router advertisements and faults of one school."""
    lines = [line for line in school.lines if line.line.ipv6 == "on"]
    faults: set[str] = set(school.school.ipv6_faults)
    for index, line in enumerate(lines):
        _address_wan(line, index, faults)
    if lines and "no_lan_prefix" not in faults:
        _route_prefix(core, carriers[lines[0].line.carrier], school, lines[0])
        if "no_router_advertisement" not in faults:
            _advertise(lab, school, faults)
    for fault in sorted(faults & FORWARD_FAULTS.keys()):
        _filter(lines[0].access if lines else school.gateway, FORWARD_FAULTS[fault])
    if "rogue_router" in faults:
        start_rogue(lab, school.terminals[-1])


def _address_wan(line: BuiltLine, index: int, faults: set[str]) -> None:
    port, wan = addresses.access_to_gateway(line.number, 1)[1], addresses.access_to_gateway(line.number, 2)[1]
    if "ula_only" in faults:
        line.gateway.ip([f"address add fd00:4:{line.number:x}::2/64 dev {line.port} nodad"])
        line.access.ip([f"address add fd00:4:{line.number:x}::1/64 dev port nodad"])
        port = f"fd00:4:{line.number:x}::1"
    elif "no_wan_address" in faults:
        line.access.ip(["address add fe80::1/64 dev port nodad"])
        port = "fe80::1"
    else:
        line.gateway.ip([f"address add {wan}/64 dev {line.port} nodad"])
    if "dead_next_hop" in faults:
        port = port.removesuffix("1") + "dead"
    if "no_default_route" not in faults:
        line.gateway.ip([f"route add ::/0 via {port} dev {line.port} metric {100 + index}"])


def _route_prefix(core: Namespace, carrier: Namespace, school: BuiltSchool, line: BuiltLine) -> None:
    route_prefix(core, carrier, school, line)
    school.gateway.ip([f"address add {addresses.lan(school.number, 1)[1]}/64 dev lan0 nodad"])


def route_prefix(core: Namespace, carrier: Namespace, school: BuiltSchool, line: BuiltLine) -> None:
    """Routes of a school's prefix towards its gateway, static or delegated."""
    prefix = addresses.school_prefix(school.number)
    core.ip([f"route replace {prefix} via {addresses.core_to_carrier(line.carrier_number, 2)[1]}"])
    carrier.ip([f"route replace {prefix} via {addresses.carrier_to_access(line.number, 2)[1]}"])
    wan = addresses.access_to_gateway(line.number, 2)[1]
    line.school_routes.append(f"route replace {prefix} via {wan}")
    line.access.ip(line.school_routes)


def _advertise(lab: Lab, school: BuiltSchool, faults: set[str]) -> None:
    changes = {key: value for fault in sorted(faults & ADVERTISEMENT_FAULTS.keys())
               for key, value in ADVERTISEMENT_FAULTS[fault].items()}  # fmt: skip
    said = msgspec.structs.replace(Advertisement(), **changes)
    start_radvd(lab, school.gateway, "lan0", addresses.lan_prefix(school.number), said)


def start_rogue(lab: Lab, terminal: Namespace) -> None:
    """A terminal that is a router to others from now on, which nobody asked for."""
    terminal.sysctl("net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.eth0.accept_ra=2")
    start_radvd(lab, terminal, "eth0", addresses.ROGUE_PREFIX, Advertisement(rdnss=False))


def start_radvd(lab: Lab, where: Namespace, port: str, prefix: str, said: Advertisement) -> None:
    """A router daemon that advertises on one port, until the lab ends."""
    name = f"radvd-{where.name}"
    settings = lab.directory / f"{name}.conf"
    rdnss = (
        f"RDNSS {addresses.OUTSIDE[1]} {{ AdvRDNSSLifetime {said.rdnss_lifetime}; }};" if said.rdnss else ""
    )
    autonomous = "on" if said.autonomous else "off"
    settings.write_text(
        f"interface {port} {{\n  AdvSendAdvert on;\n  MinRtrAdvInterval 3;\n"
        f"  MaxRtrAdvInterval {ROUTER_INTERVAL_SECONDS};\n  AdvDefaultLifetime {said.router_lifetime};\n"
        f"  prefix {prefix} {{ AdvOnLink on; AdvAutonomous {autonomous}; }};\n  {rdnss}\n}};\n"
    )
    settings.chmod(0o644)
    lab.directory.chmod(0o755)
    lab.start(where, ["radvd", "--nodaemon", "--logmethod", "stderr", "--config", str(settings),
                      "--pidfile", str(lab.directory / f"{name}.pid")], log=name)  # fmt: skip


def _filter(where: Namespace, rule: str) -> None:
    where.nft(
        "table inet broken {\n  chain forward {\n    type filter hook forward priority -10\n"
        f"    {rule}\n  }}\n}}\n"
    )
