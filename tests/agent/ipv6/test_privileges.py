"""With exactly CAP_NET_RAW all that needs it works; with nothing those checks are unknown and say so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from agent.ipv6.helper import Question, Reply
from agent.ipv6.raw import _give_up_privileges
from tests.agent.ipv6.test_dhcp import DNSMASQ
from tests.agent.probes.netns import ip, joined_pair

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip", "dnsmasq", "setpriv")]

RAW_ALONE = "-all,+net_raw"
NET_RAW = 1 << 13
"""CAP_NET_RAW of linux/capability.h."""


@pytest.fixture(scope="module")
def near() -> Iterator[str]:
    """A gateway whose LAN nobody advertises on; beyond its line a server gives DNS by DHCPv6."""
    with joined_pair() as (near, far):
        ip("-n", far, "addr", "add", "2001:db8:7::1/64", "dev", "far0", "nodad")
        ip("-n", near, "link", "add", "lan0", "type", "bridge")
        ip("-n", near, "link", "set", "lan0", "up")
        ip("-n", near, "addr", "add", "2001:db8:9::1/64", "dev", "lan0", "nodad")
        with subprocess.Popen(["ip", "netns", "exec", far, *DNSMASQ], stderr=subprocess.DEVNULL) as server:
            yield near
            server.terminate()


def confined(namespace: str, capabilities: str, argv: list[str], text: str = "") -> str:
    """The output of a program that holds no other capabilities, and can get none."""
    limits = [f"--inh-caps={capabilities}", f"--bounding-set={capabilities}", "--no-new-privs"]
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, "setpriv", *limits, "--", *argv],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def held(namespace: str, capabilities: str) -> int:
    status = confined(namespace, capabilities, ["cat", "/proc/self/status"])
    return int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)


def asked(namespace: str, capabilities: str) -> Reply:
    question = msgspec.json.encode(Question("information", "near0", 8)).decode()
    answer = confined(namespace, capabilities, [sys.executable, "-m", "agent.ipv6.raw"], question + "\n")
    return msgspec.json.decode(answer, type=Reply)


def checks(namespace: str, capabilities: str, directory: Path) -> dict[int, dict[str, Any]]:
    file = directory / "agent.yaml"
    school = {"id": "s", "lines": [{"id": "a", "carrier": "c", "interface": "near0"}]}
    probe = {"lans": ["lan0"], "ask": "500ms", "targets": []}
    file.write_text(yaml.safe_dump({"school": school, "probes": {"ipv6_checks": probe}}))
    agent = str(Path(sys.executable).parent / "xiaotong-agent")
    answer = confined(namespace, capabilities, [agent, "ipv6", "--config", str(file), "--json"])
    return {each["check"]: each for each in json.loads(answer)["checks"]}


def test_the_helper_asks_with_net_raw_alone(near: str) -> None:
    assert held(near, RAW_ALONE) == NET_RAW
    reply = asked(near, RAW_ALONE)
    assert (reply.found, reply.error) == (("2001:db8:7::53",), "")


def test_the_helper_says_what_it_lacks(near: str) -> None:
    assert held(near, "-all") == 0
    assert asked(near, "-all").error == "needs CAP_NET_RAW"


def test_the_helper_keeps_nothing_while_it_reads_foreign_bytes(near: str) -> None:
    told = f"from agent.ipv6.raw import {_give_up_privileges.__name__} as give_up; give_up(); "
    shown = "print(next(l for l in open('/proc/self/status') if l.startswith('CapEff')))"
    argv = [sys.executable, "-c", told + shown]
    whole_root = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    for answer in (confined(near, RAW_ALONE, argv), whole_root):
        assert int(answer.split()[1], 16) == 0


@pytest.mark.parametrize(
    ("capabilities", "result", "code"),
    [(RAW_ALONE, "fail", "no_advertisement"), ("-all", "unknown", "needs_capability")],
)
def test_without_the_privilege_the_checks_are_unknown(
    near: str, tmp_path: Path, capabilities: str, result: str, code: str
) -> None:
    found = checks(near, capabilities, tmp_path)
    assert (found[4]["result"], found[4]["code"]) == (result, code)
    assert found[3]["result"] == "pass"
    assert "CAP_NET_RAW" in found[4]["finding"] or result == "fail"
