"""The helper that asks DHCPv6, against a real dnsmasq on a link of two namespaces."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.ipv6.helper import Question, ask
from agent.ipv6.raw import link_local
from tests.agent.probes.netns import call_in, ip, joined_pair

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip", "dnsmasq")]

DNSMASQ = [
    "dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--pid-file=", "--user=root",
    "--interface=far0", "--bind-interfaces", "--leasefile-ro", "--dhcp-range=2001:db8:7::,ra-stateless",
    "--dhcp-option=option6:dns-server,[2001:db8:7::53]",
]  # fmt: skip


def test_dns_by_dhcpv6_and_a_link_without_a_server() -> None:
    with joined_pair() as (near, far):
        ip("-n", far, "addr", "add", "2001:db8:7::1/64", "dev", "far0", "nodad")
        silent = call_in(near, lambda: ask(Question("information", "near0", 0.5)))
        assert (silent.found, silent.servers, silent.error) == ((), 0, "")
        with subprocess.Popen(["ip", "netns", "exec", far, *DNSMASQ], stderr=subprocess.DEVNULL) as server:
            try:
                reply = call_in(near, lambda: ask(Question("information", "near0", 8)))
                delegated = call_in(near, lambda: ask(Question("delegation", "near0", 1.5)))
            finally:
                server.terminate()
    assert (reply.found, reply.error) == (("2001:db8:7::53",), "")
    assert (delegated.found, delegated.error) == ((), "")


def test_an_interface_that_is_not_there_is_told() -> None:
    assert ask(Question("information", "nowhere0", 1)).error == "No such device"


def test_scapy_stays_out_of_the_agent() -> None:
    modules = "agent.probes.ipv6_checks, agent.probes.router_advertisements"
    loaded = f"import sys, {modules}; print('scapy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_address_that_a_mac_makes() -> None:
    assert link_local(bytes.fromhex("020000000001")) == "fe80::ff:fe00:1"
