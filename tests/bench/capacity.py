"""Capacity test beside iperf3 on loopback, alternated, same streams and algorithm: rate, CPU s/GB."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from agent.probes.capacity import Capacity, Settings
from config.units import Seconds
from tests.agent.capacity.far_end import a_run, far_end

ROUNDS = 5
STREAMS = 4
SECONDS = 3
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Print the medians of both and their ratios."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_ours())
        theirs.append(_iperf3())
    rates = [statistics.median(rate for rate, _ in runs) for runs in (ours, theirs)]
    costs = [statistics.median(cost for _, cost in runs) for runs in (ours, theirs)]
    print(f"xiaotong {rates[0] / 1e9:.1f} Gbit/s goodput, {costs[0]:.3f} CPU s/GB (both ends, {ROUNDS} runs)")
    print(f"iperf3   {rates[1] / 1e9:.1f} Gbit/s goodput, {costs[1]:.3f} CPU s/GB")
    print(f"ratio    rate {rates[0] / rates[1]:.2f}, CPU a GB {costs[0] / costs[1]:.2f}")


def _ours() -> tuple[float, float]:
    """(bit/s, CPU s/GB) of one download, both ends in a process started for it, as iperf3's are."""
    command = (sys.executable, "-c", "from tests.bench.capacity import once; once()")
    before = os.times()
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    return answer["rate"], _cpu_since(before) / (answer["bytes"] / 1e9)


def once() -> None:
    """One download on loopback, both ends here."""
    settings = Settings(
        mode="search",
        families=("ipv4",),
        directions=("down",),
        streams=STREAMS,
        max_rate=None,
        congestion_control="bbr",
    )
    with far_end(search=Seconds(SECONDS), max_bytes=10**12) as served:
        (point,) = Capacity(settings, served.site()).measure(a_run())
    print(json.dumps({"rate": point.fields["goodput_bits_per_second"], "bytes": point.fields["bytes"]}))


def _iperf3() -> tuple[float, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    before = os.times()
    server = subprocess.Popen(("iperf3", "-s", "-1", "-p", port), stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    client = (
        "iperf3",
        "-c",
        "127.0.0.1",
        "-p",
        port,
        "-P",
        str(STREAMS),
        "-t",
        str(SECONDS),
        "-C",
        "bbr",
        "-R",
        "-J",
    )
    found = json.loads(subprocess.run(client, check=True, capture_output=True).stdout)["end"]["sum_received"]
    server.wait(10)
    return found["bits_per_second"], _cpu_since(before) / (found["bytes"] / 1e9)


def _cpu_since(before: os.times_result) -> float:
    now = os.times()
    return now.children_user + now.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
