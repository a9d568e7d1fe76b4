"""``xiaotong-agent uptime`` as a real process in a namespace, with lines that work and that do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agent.probes.netns import inside, joined_pair

AGENT = Path(sys.executable).with_name("xiaotong-agent")
SETTINGS = """
school: {id: s1, lines: [{id: tel, interface: near0}]}
state_directory: state
probes:
  ping:
    probes: 5
    wait: 300ms
    targets:
      - {name: gateway, host: default-gateway, family: ipv4}
      - {name: web, host: 10.99.0.2, family: ipv4}
"""


def uptime(namespace: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = folder / "agent.yaml"
    file.write_text(SETTINGS)
    command = [
        "ip",
        "netns",
        "exec",
        namespace,
        str(AGENT),
        "uptime",
        "--config",
        str(file),
        "--seconds",
        "1",
        *options,
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.needs_root
@pytest.mark.needs("ip", "nft")
def test_it_says_whether_the_school_works(tmp_path: Path) -> None:
    with joined_pair() as (near, far):
        works = uptime(near, tmp_path, "--json")
        table = uptime(near, tmp_path, "--lang", "zh")
        rules = "table inet t { chain c { type filter hook input priority 0; policy drop; }; }"
        inside(far, "nft", "-f", "-", text=rules)
        dead = uptime(near, tmp_path, "--json")
    said: dict[str, Any] = json.loads(works.stdout)
    assert (works.returncode, said["state"], said["lines"]) == (0, "up", {"tel": "up"}), works.stderr
    assert {each["place"] for each in said["targets"]} == {"next_hop", "outside"}
    assert (table.returncode, "正常" in table.stdout) == (0, True)
    assert (dead.returncode, json.loads(dead.stdout)["state"]) == (1, "down")


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_nothing_beyond_the_line_is_unknown(tmp_path: Path) -> None:
    with joined_pair() as (near, _):
        file = tmp_path / "agent.yaml"
        file.write_text(SETTINGS.replace("      - {name: web, host: 10.99.0.2, family: ipv4}\n", ""))
        command = [
            "ip",
            "netns",
            "exec",
            near,
            str(AGENT),
            "uptime",
            "--config",
            str(file),
            "--seconds",
            "1",
            "--json",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (3, "unknown")
