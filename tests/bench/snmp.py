"""100 switches of 52 ports polled by one agent, 5 of them silent, beside prometheus-snmp-exporter.

The switches are one scripted process on loopback. Both read the same columns of the same devices, side by
side; a round of the exporter is a scrape of every device, all at once, as a Prometheus would. CPU is that of
a round, as a share of a core when there is a round a minute.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

DEVICES = int(os.environ.get("DEVICES", "100"))
SILENT = int(os.environ.get("SILENT", "5"))
PORTS = int(os.environ.get("PORTS", "52"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
EXPORTER = os.environ.get("SNMP_EXPORTER", "prometheus-snmp-exporter")
FIRST_PORT = 21600
EXPORTER_PORT = 19116
MINUTE = 60.0


class Round(msgspec.Struct, frozen=True):
    """One round: how long it took, what CPU it cost, and what came of it."""

    seconds: float
    cpu_seconds: float
    answered: int


def main() -> None:
    """Print one row for each program."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xiaotong-bench-")))
        stack.enter_context(switches())
        print(f"{DEVICES} devices x {PORTS} ports, {SILENT} silent, {ROUNDS} rounds")
        print(f"{'program':26} {'CPU of a core':>14} {'slowest round':>14} {'resident MB':>12}")
        _print("xiaotong-agent", *ours(directory))
        if shutil.which(EXPORTER) is None:
            print("prometheus-snmp-exporter is not installed, so not beside us (apt-get install it)")
            return
        _print("prometheus-snmp-exporter", *theirs(directory))


def _print(name: str, rounds: list[Round], resident_bytes: int) -> None:
    # the first round reads what seldom changes too
    cpu = sum(each.cpu_seconds for each in rounds[1:]) / (len(rounds) - 1) / MINUTE
    slowest = max(each.seconds for each in rounds)
    answered = {each.answered for each in rounds}
    print(f"{name:26} {100 * cpu:13.2f}% {slowest:12.2f} s {resident_bytes / 1e6:12.1f}", end="")
    print("" if answered == {DEVICES - SILENT} else f"   only {min(answered)} devices answered a round")


@contextmanager
def switches() -> Iterator[None]:
    """The scripted devices, in a process of their own."""
    command = [sys.executable, "-m", "tests.agent.snmp.scripted"]
    numbers = [str(number) for number in (FIRST_PORT, DEVICES, PORTS, SILENT)]
    with subprocess.Popen([*command, *numbers], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            process.stdout.readline()
            yield
        finally:
            process.stdin.close()


def ours(directory: Path) -> tuple[list[Round], int]:
    """The probe as the agent runs it, in a process of its own."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=_poll, args=(there, directory))
    worker.start()
    found: tuple[list[Round], int] = here.recv()
    worker.join()
    return found


def _poll(answer: Connection, directory: Path) -> None:
    from agent.probe import Run, Site  # noqa: PLC0415
    from agent.probes import snmp  # noqa: PLC0415
    from config.clock import SystemClock  # noqa: PLC0415
    from config.school import School  # noqa: PLC0415

    secret = directory / "community"
    secret.write_text("public\n", encoding="ascii")
    secret.chmod(0o600)
    devices = tuple(
        snmp.Device(id=f"d{n}", host="127.0.0.1", port=FIRST_PORT + n, community_file="community")
        for n in range(DEVICES)
    )
    site = Site(school=School(id="bench"), settings_directory=directory)
    probe = snmp.build(snmp.Settings(devices=devices), site)
    rounds = []
    for _ in range(ROUNDS):
        run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=60, window_seconds=60)
        began, cpu = time.monotonic(), time.process_time()
        probe.measure(run)
        answered = sum(device._before is not None for device in probe._known.values())  # type: ignore[attr-defined]
        rounds.append(Round(time.monotonic() - began, time.process_time() - cpu, answered))
    answer.send((rounds, _resident_bytes(os.getpid())))


def theirs(directory: Path) -> tuple[list[Round], int]:
    """The exporter, scraped for every device at once."""
    settings = directory / "snmp.yml"
    settings.write_text(_exporter_settings(), encoding="utf-8")
    address = f"127.0.0.1:{EXPORTER_PORT}"
    command = [EXPORTER, f"--config.file={settings}", f"--web.listen-address={address}", "--log.level=error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(process)
            rounds = []
            for _ in range(ROUNDS):
                began, cpu = time.monotonic(), _cpu_seconds(process.pid)
                answered = asyncio.run(_scrape_all())
                rounds.append(Round(time.monotonic() - began, _cpu_seconds(process.pid) - cpu, answered))
            return rounds, _resident_bytes(process.pid)
        finally:
            process.terminate()


async def _scrape_all() -> int:
    return sum(await asyncio.gather(*(_scrape(FIRST_PORT + number) for number in range(DEVICES))))


async def _scrape(port: int) -> bool:
    """True when the exporter gave every port of the device."""
    reader, writer = await asyncio.open_connection("127.0.0.1", EXPORTER_PORT)
    path = f"/snmp?target=127.0.0.1:{port}&module=ports"
    writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    await writer.drain()
    body = await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return body.count(b"\nifHCInOctets{") == PORTS


def _exporter_settings() -> str:
    """The columns that our poll reads, each as a metric of its port, labelled with its name."""
    from agent.snmp.ifmib import READINGS  # noqa: PLC0415

    names = {"rx_octets": "ifHCInOctets"}
    lines = ["ports:", "  walk:"]
    lines += [f"  - {_text(column)}" for column in (*READINGS.values(), NAME)]
    lines += ["  metrics:"]
    for key, column in READINGS.items():
        kind = "gauge" if key in {"status", "high_speed", "discontinuity"} else "counter"
        lines += [
            f"  - name: {names.get(key, key)}",
            f"    oid: {_text(column)}",
            f"    type: {kind}",
            "    help: a column",
            "    indexes: [{labelname: ifIndex, type: gauge}]",
            "    lookups:",
            f"    - {{labels: [ifIndex], labelname: ifName, oid: {_text(NAME)}, type: DisplayString}}",
        ]
    lines += ["  max_repetitions: 25", "  retries: 1", "  timeout: 2s", "  version: 2"]
    lines += ["  auth: {community: public}"]
    return "\n".join(lines) + "\n"


NAME = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1)


def _text(oid: tuple[int, ...]) -> str:
    return ".".join(map(str, oid))


def _wait_for_port(process: subprocess.Popen[bytes]) -> None:
    import socket  # noqa: PLC0415

    deadline = time.monotonic() + 10
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", EXPORTER_PORT), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"{EXPORTER} does not listen")
        time.sleep(0.1)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    words = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(words["VmRSS"].split()[0]) * 1024
