"""What listening for router advertisements costs: at rest, and under 10,000 of them a second."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.agent.ipv6.packets import message, packet, prefix
from tests.agent.probes.netns import call_in, joined_pair

SECONDS = 10
A_SECOND = 10_000
LISTENER = """
import resource, sys, threading, time
from pathlib import Path
from agent.probe import Run, Site
from agent.probes.router_advertisements import Settings, build
from config.clock import SystemClock
from config.school import School
probe = build(Settings(lans=("near0",), window=1.0), Site(School(id="s"), proc=Path("/proc")))
print("ready", flush=True)
end, alarms, before = time.monotonic() + float(sys.argv[1]), 0, resource.getrusage(resource.RUSAGE_SELF)
while time.monotonic() < end:
    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=5, window_seconds=1)
    alarms += sum(p.measurement == "router_advertisement" for p in probe.measure(run))
used = resource.getrusage(resource.RUSAGE_SELF)
cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
print(cpu / float(sys.argv[1]), alarms, used.ru_maxrss * 1024, "scapy" in sys.modules)
"""


def flood(seconds: float, a_second: int) -> int:
    """Send advertisements of one stranger into the namespace's own link; how many were sent."""
    frame = bytes.fromhex("333300000001020000000bad86dd") + packet(message(prefix()))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("far0", 0))
        begun, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            while sent < passed * a_second:
                wire.send(frame)
                sent += 1
            time.sleep(0.001)
    return sent


def measure(near: str, far: str, a_second: int) -> tuple[float, int, int, bool, float]:
    """CPU share of the listener, alarms, resident bytes, whether scapy was loaded, and packets a second."""
    argv = ["ip", "netns", "exec", near, sys.executable, "-c", LISTENER, str(SECONDS)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        sent: list[int] = []
        sender = threading.Thread(target=lambda: sent.append(call_in(far, lambda: flood(SECONDS, a_second))))
        if a_second:
            sender.start()
        words = listener.stdout.readline().split()
        if a_second:
            sender.join()
    share, alarms, resident, loaded = words
    return float(share), int(alarms), int(resident), loaded == "True", sum(sent) / SECONDS


def main() -> None:
    """Print both rows."""
    if os.geteuid() != 0:
        print("skipped: needs root for network namespaces")
        return
    with joined_pair() as (near, far):
        for a_second in (0, A_SECOND):
            share, alarms, resident, loaded, sent = measure(near, far, a_second)
            print(
                f"router advertisements: {sent:.0f} a second, {100 * share:.2f} % of a core, "
                f"{alarms} points, {resident / 1e6:.1f} MB resident, "
                f"scapy {'loaded' if loaded else 'not loaded'}"
            )


if __name__ == "__main__":
    main()
