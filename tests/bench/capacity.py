"""Capacity test beside iperf3, alternated, same streams and algorithm: rate, CPU s/GB of both ends.

On loopback, and (as root) over a veth between two network namespaces, unshaped, with its offloads on.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.probes.capacity import Capacity, Settings
from config.units import Seconds
from tests.agent.capacity.far_end import a_run, far_end

ROUNDS = 5
STREAMS = 4
SECONDS = 3
PORT = 5201
ROOT = Path(__file__).parents[2]
NEAR, FAR = f"xt-bench-near-{os.getpid()}", f"xt-bench-far-{os.getpid()}"
FAR_ADDRESS = "10.96.0.2"


def main() -> None:
    """Print the medians of both and their ratios, for each path."""
    _compare("loopback", "127.0.0.1", "", "")
    if os.geteuid() == 0:
        with _veth():
            _compare("veth", FAR_ADDRESS, NEAR, FAR)


def _compare(path: str, address: str, near: str, far: str) -> None:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_ours(address, near, far))
        theirs.append(_iperf3(address, near, far))
    rates = [statistics.median(rate for rate, _ in runs) for runs in (ours, theirs)]
    costs = [statistics.median(cost for _, cost in runs) for runs in (ours, theirs)]
    print(f"{path}, {STREAMS} streams, bbr, {ROUNDS} runs each, both ends together:")
    print(f"  xiaotong {rates[0] / 1e9:.1f} Gbit/s goodput, {costs[0]:.3f} CPU s/GB")
    print(f"  iperf3   {rates[1] / 1e9:.1f} Gbit/s goodput, {costs[1]:.3f} CPU s/GB")
    print(f"  ratio    rate {rates[0] / rates[1]:.2f}, CPU a GB {costs[0] / costs[1]:.2f}", flush=True)


def _ours(address: str, near: str, far: str) -> tuple[float, float]:
    """(bit/s, CPU s/GB) of one download, both ends in a process started for it, as iperf3's are."""
    command = (*_inside(near), sys.executable, "-m", "tests.bench.capacity", address, far)
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    return answer["rate"], answer["cpu_seconds"] / (answer["bytes"] / 1e9)


def once(address: str, far: str) -> None:
    """One download, both ends here, the far one in its own network namespace; CPU of the test alone."""
    settings = Settings(
        mode="search",
        families=("ipv4",),
        directions=("down",),
        streams=STREAMS,
        max_rate=None,
        congestion_control="bbr",
    )
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    if far:
        _enter(os.open(f"/var/run/netns/{far}", os.O_RDONLY))
    with far_end((address,), search=Seconds(SECONDS), max_bytes=10**12) as served:
        _enter(here)
        before = os.times()
        (point,) = Capacity(settings, served.site()).measure(a_run())
        after = os.times()
    cpu_seconds = after.user + after.system - before.user - before.system
    rate, moved = point.fields["goodput_bits_per_second"], point.fields["bytes"]
    print(json.dumps({"rate": rate, "bytes": moved, "cpu_seconds": cpu_seconds}))


def _iperf3(address: str, near: str, far: str) -> tuple[float, float]:
    before = os.times()
    server = subprocess.Popen(
        (*_inside(far), "iperf3", "-s", "-1", "-p", str(PORT), "-B", address), stdout=subprocess.DEVNULL
    )
    time.sleep(0.3)
    client = (
        *_inside(near), "iperf3", "-c", address, "-p", str(PORT), "-P", str(STREAMS), "-t", str(SECONDS),
        "-C", "bbr", "-R", "-J",
    )  # fmt: skip
    found = json.loads(subprocess.run(client, check=True, capture_output=True).stdout)["end"]["sum_received"]
    server.wait(10)
    now = os.times()
    spent = now.children_user + now.children_system - before.children_user - before.children_system
    return found["bits_per_second"], spent / (found["bytes"] / 1e9)


def _inside(space: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", space) if space else ()


def _enter(space: int) -> None:
    """This thread, and those it starts, move to that network namespace (setns(2))."""
    if ctypes.CDLL(None, use_errno=True).setns(space, 0):
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")


@contextmanager
def _veth() -> Iterator[None]:
    try:
        for space in (NEAR, FAR):
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", NEAR, "link", "add", "wan", "type", "veth", "peer", "name", "wan", "netns", FAR)
        for space, host in ((NEAR, 1), (FAR, 2)):
            _ip("-n", space, "address", "add", f"10.96.0.{host}/24", "dev", "wan")
            _ip("-n", space, "link", "set", "wan", "up")
        yield
    finally:
        for space in (NEAR, FAR):
            subprocess.run(("ip", "netns", "delete", space), check=False)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        once(sys.argv[1], sys.argv[2])
    else:
        main()
