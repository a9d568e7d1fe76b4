"""The agent at rest beside prometheus-node-exporter and netdata: memory, CPU and bytes written.

Four interfaces each second and five ping targets, in a network namespace that this bench makes and removes.
node-exporter is scraped each second, so that all three look at the counters equally often. CPU is counted
over the same span of time for all three, running side by side, after a minute of settling.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

SETTLE_SECONDS = float(os.environ.get("SETTLE_SECONDS", "30"))
WATCH_SECONDS = float(os.environ.get("WATCH_SECONDS", "60"))
NODE_EXPORTER_PORT = 19100

AGENT_SETTINGS = """\
school: {{id: bench, name: bench, classes: 12, lines: [{{id: wan, interface: lan0}}]}}
plan: shandan
state_directory: {directory}/agent
collector: {{url: "http://127.0.0.1:18080", token_file: {directory}/token}}
probes:
  interfaces: {{}}
  ipv6: {{}}
  ping:
    targets:
{targets}
"""
COLLECTOR_SETTINGS = """\
listen: {{host: 127.0.0.1, port: 18080}}
data_directory: {directory}/collector
"""
SCHOOL = "schools: [{id: bench, name: bench, classes: 12, lines: [{id: wan, interface: lan0}]}]\n"


def main() -> None:
    """Print one row for each program."""
    if os.geteuid() != 0:
        print("needs root: it makes a network namespace")
        return
    missing = [name for name in ("prometheus-node-exporter", "netdata") if shutil.which(name) is None]
    if missing:
        print(f"not installed, so not beside us: {', '.join(missing)} (apt-get install them)")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xiaotong-bench-")))
        namespace = f"xtbench{os.getpid()}"
        _make_namespace(namespace)
        stack.callback(subprocess.run, ["ip", "netns", "del", namespace], check=False)
        stack.callback(subprocess.run, ["ip", "netns", "del", f"{namespace}p"], check=False)
        processes = _start_all(stack, namespace, directory, missing)
        _watch(namespace, processes)


def _make_namespace(namespace: str) -> None:
    """Four interfaces to one peer namespace whose addresses are the ping targets."""
    peer = f"{namespace}p"
    for name in (namespace, peer):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    for number in range(4):
        _run(
            "ip", "link", "add", f"lan{number}", "netns", namespace,
            "type", "veth", "peer", "name", f"far{number}", "netns", peer,
        )  # fmt: skip
        _run("ip", "-n", namespace, "addr", "add", f"10.77.{number}.2/24", "dev", f"lan{number}")
        _run("ip", "-n", peer, "addr", "add", f"10.77.{number}.1/24", "dev", f"far{number}")
        _run("ip", "-n", namespace, "link", "set", f"lan{number}", "up")
        _run("ip", "-n", peer, "link", "set", f"far{number}", "up")
    _run("ip", "-n", namespace, "route", "add", "default", "via", "10.77.0.1")


def _start_all(
    stack: ExitStack, namespace: str, directory: Path, missing: list[str]
) -> dict[str, subprocess.Popen[bytes]]:
    binaries = Path(sys.executable).parent
    targets = "\n".join(
        f"      - {{name: far{number}, host: 10.77.{number % 4}.1, family: ipv4}}" for number in range(5)
    )
    (directory / "agent.yaml").write_text(AGENT_SETTINGS.format(directory=directory, targets=targets))
    (directory / "collector.yaml").write_text(COLLECTOR_SETTINGS.format(directory=directory))
    (directory / "school.yaml").write_text(SCHOOL)
    collector = str(binaries / "xiaotong-collector")
    config = ["--config", str(directory / "collector.yaml")]
    _run(collector, "schools", "import", str(directory / "school.yaml"), *config)
    _run(collector, "agents", "add", "bench", "--token-file", str(directory / "token"), *config)
    agent = str(binaries / "xiaotong-agent")
    commands = {
        "xiaotong-agent": [agent, "run", "--config", str(directory / "agent.yaml")],
        "prometheus-node-exporter": [
            "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{NODE_EXPORTER_PORT}",
            "--log.level=error",
        ],
        "netdata": ["netdata", "-D", "-W", "set", "global", "run as user", "root", "-i", "127.0.0.1"],
    }  # fmt: skip
    _start(stack, namespace, directory, "collector", [collector, "serve", *config])
    _wait_for(namespace, "http://127.0.0.1:18080/health")
    return {
        name: _start(stack, namespace, directory, name, command)
        for name, command in commands.items()
        if name not in missing
    }


def _start(
    stack: ExitStack, namespace: str, directory: Path, name: str, command: list[str]
) -> subprocess.Popen[bytes]:
    log = stack.enter_context((directory / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command], stdout=log, stderr=log, start_new_session=True
    )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
        return
    process.kill()
    process.wait()


def _watch(namespace: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    _scrape_for(namespace, SETTLE_SECONDS)
    before = {name: (_cpu_seconds(p.pid), _written_bytes(p.pid)) for name, p in processes.items()}
    started = time.monotonic()
    _scrape_for(namespace, WATCH_SECONDS)
    span = time.monotonic() - started
    print(f"{'program':26} {'resident MB':>11} {'PSS MB':>8} {'CPU %':>7} {'written MB/day':>15}")
    for name, process in processes.items():
        if process.poll() is not None:
            print(f"{name:26} ended with status {process.returncode}")
            continue
        resident, proportional = _memory_bytes(process.pid)
        cpu = 100 * (_cpu_seconds(process.pid) - before[name][0]) / span
        written = (_written_bytes(process.pid) - before[name][1]) / span * 86400
        print(f"{name:26} {resident / 1e6:11.1f} {proportional / 1e6:8.1f} {cpu:7.2f} {written / 1e6:15.1f}")


def _scrape_for(namespace: str, seconds: float) -> None:
    """Scrape node-exporter each second by one long-lived curl, from inside the namespace."""
    count = max(1, round(seconds))
    url = f"http://127.0.0.1:{NODE_EXPORTER_PORT}/metrics?[1-{count}]"
    if shutil.which("prometheus-node-exporter") is None:
        time.sleep(seconds)
        return
    subprocess.run(
        ["ip", "netns", "exec", namespace, "curl", "-s", "--rate", "60/m", "-o", "/dev/null", url],
        check=False,
        timeout=seconds * 3 + 30,
    )


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _descendants(int(child)))]


def _memory_bytes(pid: int) -> tuple[int, int]:
    """Resident and proportional memory of a process and what it started."""
    totals = [0, 0]
    for one in _descendants(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            for index, key in enumerate(("Rss:", "Pss:")):
                if line.startswith(key):
                    totals[index] += int(line.split()[1]) * 1024
    return totals[0], totals[1]


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for one in _descendants(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(int(fields[index]) for index in (11, 12, 13, 14))
    return ticks / os.sysconf("SC_CLK_TCK")


def _written_bytes(pid: int) -> int:
    total = 0
    for one in _descendants(pid):
        for line in Path(f"/proc/{one}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                total += int(line.split()[1])
    return total


def _wait_for(namespace: str, url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = subprocess.run(
            ["ip", "netns", "exec", namespace, "curl", "-sf", "-o", "/dev/null", url], check=False
        )
        if answer.returncode == 0:
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer in 20 s")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
