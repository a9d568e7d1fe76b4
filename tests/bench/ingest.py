"""Prints how fast points go in, beside influxd and victoria-metrics with the same bodies.

Run: ``python -m tests.bench.ingest [rounds]``. Lines of five fields, 1,000 to a body. Medians of rounds, the
contestants taking turns in each. «CPU» is the user and system time of the process that takes the points: the
rate it would reach with one core for itself. Posted by threads of this process, so a collector runs in a
process of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from collector.registry import Registry
from collector.settings import load_settings
from config.school import School
from tests.collector.running import WRITE, wait_until
from tests.collector.store.influxd import answers, free_port, influxd, proxy, victoria_metrics

POINTS = 1000
BODIES = 200
POSTERS = 4
SMALL_POSTERS = 32
SMALL_POINTS = 50
SMALL_BODIES = 2000
START_NS = (time.time_ns() - 5 * 86400 * 10**9) // 10**9 * 10**9


def body(first: int, points: int) -> bytes:
    """Lines of five fields of eight interfaces, one a second of each: a backlog."""
    return "\n".join(
        f"interface,interface=eth{n % 8},role=line rx_bytes={n * 1000}i,tx_bytes={n * 777}i,rx_packets={n}i,"
        f"rx_bits_per_second_max={n * 8.5},rx_bits_per_second_sum={n * 3.25} {START_NS + n // 8 * 10**9}"
        for n in range(first, first + points)
    ).encode()


class Contestant(NamedTuple):
    """One who takes points: where to post, its process, and how many points it has kept when asked."""

    name: str
    port: int
    path: str
    headers: dict[str, str]
    process: psutil.Process
    kept: Callable[[], bool]


class Result(NamedTuple):
    """Of one round: points a second by the clock until all are kept, and by the CPU of who takes them."""

    by_clock: float
    by_cpu: float


@contextlib.contextmanager
def collector(folder: Path, name: str, store: str = "") -> Iterator[Contestant]:
    """A collector in a process of its own, its settings the defaults."""
    port = free_port()
    file = folder / "collector.yaml"
    folder.mkdir()
    file.write_text(
        f"data_directory: {folder}/data\nlisten: {{port: {port}}}\n{store}\n"
        "ingest: {max_requests_per_agent: 64}\njournal: {max_bytes: 4GiB}\n"
    )
    (folder / "data").mkdir()
    settings = load_settings(file)
    with contextlib.closing(Registry.open(settings.registry_url, 1)) as registry:
        registry.put_schools([School("s1")])
        token = registry.add_agent("s1", "a1")
    command = [
        sys.executable,
        "-c",
        "from collector.main import main; main()",
        "serve",
        "--config",
        str(file),
    ]
    with subprocess.Popen(command, stderr=(folder / "log").open("w")) as process:
        try:
            wait_until(lambda: answers(port, "/health"), 30)
            yield Contestant(
                name, port, WRITE, {"Authorization": f"Token {token}"}, psutil.Process(process.pid),
                lambda: b"xiaotong_journal_waiting_bytes 0.0" in get(port, "/metrics"),
            )  # fmt: skip
        finally:
            process.terminate()


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read()


def child_of_this(name: str) -> psutil.Process:
    """The server of that name that this process started last."""
    return [each for each in psutil.Process().children(recursive=True) if each.name().startswith(name)][-1]


def play(contestant: Contestant, bodies: list[bytes], points: int, posters: int = POSTERS) -> Result:
    """Post all bodies at once over a few connections; ends when everything is kept."""
    waiting = iter(bodies)
    lock = threading.Lock()
    refused: list[int] = []

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", contestant.port, timeout=60)
        with contextlib.closing(connection):
            while True:
                with lock:
                    data = next(waiting, None)
                if data is None:
                    return
                connection.request("POST", contestant.path, data, contestant.headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 204:
                    refused.append(answer.status)
                    return

    times = contestant.process.cpu_times()
    begin = time.perf_counter()
    threads = [threading.Thread(target=post) for _ in range(posters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if refused:
        raise RuntimeError(f"{contestant.name} answers {refused[0]}")
    wait_until(contestant.kept, 120)
    seconds = time.perf_counter() - begin
    after = contestant.process.cpu_times()
    cpu = after.user + after.system - times.user - times.system
    total = len(bodies) * points
    return Result(total / seconds, total / cpu)


def main(rounds: int = 3) -> None:
    """Print a line for each contestant, and one for small batches."""
    sent: Counter[str] = Counter()

    def bodies_for(name: str, count: int, points: int) -> list[bytes]:
        """The next points of a contestant: none twice, all dated before now."""
        first = sent[name]
        sent[name] += count * points
        return [body(first + n * points, points) for n in range(count)]

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contestants = [stack.enter_context(collector(folder / "embedded", "xiaotong, embedded"))]
        if shutil.which("influxd"):
            target = stack.enter_context(influxd(folder / "influxd"))
            process = child_of_this("influxd")
            before = stack.enter_context(proxy(target))
            store = f"store: {{engine: influxdb, influxdb: {{url: 'http://127.0.0.1:{before.port}'}}}}"
            contestants.append(
                stack.enter_context(collector(folder / "through", "xiaotong → influxd", store))
            )
            create(target, "straight")
            contestants.append(
                Contestant("influxd, straight", target, "/write?db=straight", {}, process, lambda: True)
            )
        if shutil.which("victoria-metrics"):
            port = stack.enter_context(victoria_metrics(folder / "victoria"))
            contestants.append(
                Contestant(
                    "victoria-metrics, straight", port, "/api/v2/write", {},
                    child_of_this("victoria"), lambda: True,
                )
            )  # fmt: skip
        found: dict[str, list[Result]] = {each.name: [] for each in contestants}
        small: list[Result] = []
        for _ in range(rounds):
            for contestant in contestants:
                bodies = bodies_for(contestant.name, BODIES, POINTS)
                found[contestant.name].append(play(contestant, bodies, POINTS))
            few = bodies_for(contestants[0].name, SMALL_BODIES, SMALL_POINTS)
            small.append(play(contestants[0], few, SMALL_POINTS, SMALL_POSTERS))
    print(f"{os.cpu_count()} cores, {BODIES} bodies of {POINTS} lines of 5 fields, {POSTERS} connections")
    for name, results in found.items():
        clock, cpu = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:28} {clock:10,.0f} points/s until kept {cpu:12,.0f} points/s of its CPU")
    clock, cpu = (statistics.median(column) / SMALL_POINTS for column in zip(*small, strict=True))
    words = f"batches of {SMALL_POINTS}, embedded"
    print(f"{words:28} {clock:10,.0f} batches/s until kept {cpu:11,.0f} batches/s of its CPU")


def create(port: int, database: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", f"/query?q=CREATE+DATABASE+{database}")
        connection.getresponse().read()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
