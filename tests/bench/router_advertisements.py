"""What listening for router advertisements costs: at rest, and under 10,000 of them a second."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.agent.ipv6.packets import message, packet, prefix
from tests.agent.probes.netns import call_in, joined_pair

SECONDS = 10
A_SECOND = 10_000
STRANGER = "02:00:00:00:0b:ad"
KINDS = ("good", "malformed", "made up")
"""One stranger's, its options of length 0, each with another sender's MAC."""
LISTENER = """
import resource, sys, threading, time
from pathlib import Path
from agent.probe import Run, Site
from agent.probes.router_advertisements import Settings, build
from config.clock import SystemClock
from config.school import School
probe = build(Settings(lans=("near0",), window=1.0), Site(School(id="s"), proc=Path("/proc")))
print("ready", flush=True)
end, told, before = time.monotonic() + float(sys.argv[1]), [], resource.getrusage(resource.RUSAGE_SELF)
while time.monotonic() < end:
    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=5, window_seconds=1)
    told += [p.fields.get("code", "") for p in probe.measure(run) if p.measurement != "ipv6_readiness"]
used = resource.getrusage(resource.RUSAGE_SELF)
cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
alarms = told.count("rogue")
print(cpu / float(sys.argv[1]), told.count(""), alarms, used.ru_maxrss * 1024, "scapy" in sys.modules)
"""


def frames(kind: str) -> list[bytes]:
    """Frames to send in turn."""
    body = message(bytes(8)) if kind == "malformed" else message(prefix())
    own = [bytes.fromhex(STRANGER.replace(":", ""))]
    senders = [bytes((2, 1, 1, 1, *divmod(n, 256))) for n in range(5000)] if kind == "made up" else own
    return [bytes.fromhex("333300000001") + mac + bytes.fromhex("86dd") + packet(body) for mac in senders]


def flood(seconds: float, a_second: int, kind: str = "good") -> int:
    """Send advertisements of a stranger into the namespace's own link; how many were sent."""
    listed = frames(kind)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("far0", 0))
        begun, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            while sent < passed * a_second:
                wire.send(listed[sent % len(listed)])
                sent += 1
            time.sleep(0.001)
    return sent


class Cost(NamedTuple):
    """CPU share of the listener, points, alarms, resident bytes, scapy loaded, packets a second."""

    share: float
    points: int
    alarms: int
    resident_bytes: int
    scapy: bool
    a_second: float


def measure(near: str, far: str, a_second: int, kind: str) -> Cost:
    """The cost of listening while so many packets a second come in."""
    argv = ["ip", "netns", "exec", near, sys.executable, "-c", LISTENER, str(SECONDS)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        sent = call_in(far, lambda: flood(SECONDS - 1, a_second, kind)) if a_second else 0
        share, points, alarms, resident, loaded = listener.stdout.readline().split()
    return Cost(float(share), int(points), int(alarms), int(resident), loaded == "True", sent / (SECONDS - 1))


def main() -> None:
    """Print a row at rest and one for each kind of flood."""
    if os.geteuid() != 0:
        print("skipped: needs root for network namespaces")
        return
    with joined_pair() as (near, far):
        for kind in ("at rest", *KINDS):
            cost = measure(near, far, 0 if kind == "at rest" else A_SECOND, kind)
            print(
                f"router advertisements, {kind}: {cost.a_second:.0f} a second, {100 * cost.share:.2f} % of a "
                f"core, {cost.points} points, {cost.alarms} alarms, {cost.resident_bytes / 1e6:.1f} MB "
                f"resident, scapy {'loaded' if cost.scapy else 'not loaded'}"
            )


if __name__ == "__main__":
    main()
