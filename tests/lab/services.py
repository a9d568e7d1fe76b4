"""The programs that a network has anyway: name server, web server, SNMP agent, and a gateway's firewall."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.lab import addresses
from tests.lab.netns import Lab, Namespace

COMMUNITY = "lab-read"
WEB_NAME = "www.lab.test"
TRAFFIC_PORT = 9000
TRAFFIC = Path(__file__).with_name("traffic.py")
WEB = Path(__file__).with_name("web.py")


def start_outside(lab: Lab, outside: Namespace) -> None:
    """A name server that knows ``www.lab.test``, a web server for both families, the traffic's far end."""
    v4, v6 = addresses.OUTSIDE
    lab.start(outside, ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root",
                        "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--bind-interfaces",
                        f"--listen-address={v4}", f"--listen-address={v6}",
                        f"--host-record={WEB_NAME},{v4},{v6}"], log="dnsmasq")  # fmt: skip
    pages = lab.directory / "www"
    pages.mkdir()
    (pages / "index.html").write_text("<!doctype html><title>outside</title><p>outside the county</p>\n")
    serve_web(lab, outside, "::")
    serve_traffic(lab, outside)


def serve_web(lab: Lab, where: Namespace, address: str) -> subprocess.Popen[bytes]:
    """The site of the network at one more address."""
    argv = [sys.executable, "-I", str(WEB), address, "80", str(lab.directory / "www")]
    return lab.start(where, argv, log=f"web-{where.name}")


def serve_traffic(lab: Lab, where: Namespace) -> None:
    """The far end of users' traffic."""
    lab.start(
        where, [sys.executable, "-I", str(TRAFFIC), "serve", str(TRAFFIC_PORT)], log=f"traffic-{where.name}"
    )


def start_snmpd(lab: Lab, gateway: Namespace, address: str) -> None:
    """A real snmpd on the gateway, read with SNMP v2c from the LAN only."""
    name = f"snmpd-{gateway.name}"
    settings = lab.directory / f"{name}.conf"
    settings.write_text(
        f"rocommunity {COMMUNITY} {address.rsplit('.', 1)[0]}.0/24\n"
        f"sysName {gateway.name}\nsysServices 4\nsysDescr xiaotong lab gateway\n"
    )
    state = lab.directory / name
    state.mkdir()
    lab.start(gateway, ["snmpd", "-f", "-Lo", "-C", "-c", str(settings), f"udp:{address}:161"],
              log=name, environment={"SNMP_PERSISTENT_DIR": str(state), "MIBS": ""})  # fmt: skip


def gateway_rules(*, inbound_open: bool) -> str:
    """NAT for IPv4; for IPv6 unsolicited TCP and UDP into the LAN are blocked while ICMPv6 passes."""
    inbound = "" if inbound_open else 'iifname "wan*" meta nfproto ipv6 meta l4proto { tcp, udp } drop'
    return f"""
table inet gateway {{
  chain nat {{
    type nat hook postrouting priority srcnat
    meta nfproto ipv4 oifname "wan*" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter
    ct state established,related accept
    {inbound}
  }}
}}
"""
