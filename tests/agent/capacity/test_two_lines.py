"""A school with two lines: each is tested through its own, by interface and by source address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEAR, FAR = f"xt-two-near-{os.getpid()}", f"xt-two-far-{os.getpid()}"
ASKING = """
import json, socket
from agent.capacity.connect import Dialer, bind_source
from agent.capacity.order import ResponderAddress
from agent.probe import NoData

class BySource(Dialer):
    def _bind(self, sock):
        bind_source(sock, self._interface)

found = {}
for family, host in (("ipv4", "10.98.9.9"), ("ipv6", "fd98:9::9")):
    for kind in (Dialer, BySource):
        for interface in ("wan0", "wan1"):
            with kind(ResponderAddress("county", host, 7000), family, interface).connect() as sock:
                found[f"{family} {kind.__name__} {interface}"] = sock.getsockname()[0]
try:
    bind_source(socket.socket(), "lo9")
except NoData as reason:
    found["none"] = str(reason)
print(json.dumps(found))
"""
LISTENING = """
import socket, sys
socks = []
for family, host in ((socket.AF_INET, "10.98.9.9"), (socket.AF_INET6, "fd98:9::9")):
    sock = socket.socket(family)
    sock.bind((host, 7000))
    sock.listen()
    socks.append(sock)
print("ready", flush=True)
sys.stdin.read()
"""

pytestmark = [pytest.mark.needs_root]


@pytest.fixture
def two_lines() -> Iterator[None]:
    """The main routes lead to the first line; those by source address to each."""
    try:
        for space in (NEAR, FAR):
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", FAR, "address", "add", "10.98.9.9/32", "dev", "lo")
        _ip("-n", FAR, "address", "add", "fd98:9::9/128", "dev", "lo", "nodad")
        for n in (0, 1):
            _line(n)
        yield
    finally:
        for space in (NEAR, FAR):
            subprocess.run(("ip", "netns", "delete", space), check=False)


def _line(n: int) -> None:
    _ip("-n", NEAR, "link", "add", f"wan{n}", "type", "veth", "peer", "name", f"wan{n}", "netns", FAR)
    for space, host in ((NEAR, 1), (FAR, 2)):
        _ip("-n", space, "address", "add", f"10.98.{n}.{host}/24", "dev", f"wan{n}")
        _ip("-n", space, "address", "add", f"fd98:a{n}::{host}/64", "dev", f"wan{n}", "nodad")
        _ip("-n", space, "link", "set", f"wan{n}", "up")
    metric = table = str(100 + n)
    for family, stem in (("-4", f"10.98.{n}."), ("-6", f"fd98:a{n}::")):
        near, far = f"{stem}1", f"{stem}2"
        _ip(family, "-n", NEAR, "route", "add", "default", "via", far, "dev", f"wan{n}", "metric", metric)
        _ip(family, "-n", NEAR, "route", "add", "default", "via", far, "dev", f"wan{n}", "table", table)
        _ip(family, "-n", NEAR, "rule", "add", "from", near, "table", table)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


def _sent(n: int) -> int:
    """Packets that left by a line."""
    said = subprocess.run(
        ("ip", "-n", NEAR, "-s", "-j", "link", "show", f"wan{n}"), check=True, capture_output=True
    ).stdout
    return int(json.loads(said)[0]["stats64"]["tx"]["packets"])


@pytest.mark.usefixtures("two_lines")
def test_each_line_is_reached_by_its_interface_and_by_its_address() -> None:
    far = subprocess.Popen(
        ("ip", "netns", "exec", FAR, sys.executable, "-c", LISTENING),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert far.stdout is not None
        assert far.stdout.readline() == b"ready\n"
        before = _sent(1)
        done = subprocess.run(
            ("ip", "netns", "exec", NEAR, sys.executable, "-c", ASKING),
            capture_output=True, cwd=ROOT, check=False, timeout=60,
        )  # fmt: skip
        after = _sent(1)
    finally:
        far.communicate(b"", timeout=10)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found.pop("none") == "lo9 has no address to send from, and binding to it needs CAP_NET_RAW"
    assert found == {
        f"{family} {kind} wan{n}": address.format(n)
        for family, address in (("ipv4", "10.98.{}.1"), ("ipv6", "fd98:a{}::1"))
        for kind in ("Dialer", "BySource")
        for n in (0, 1)
    }
    assert after - before >= 4 * 3  # four handshakes went by the line that the main route does not choose
