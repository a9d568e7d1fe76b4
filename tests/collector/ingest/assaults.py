"""Rows 2, 6, 9 and 13 of the faults to survive, as they are written; the suite plays them smaller.

Run: ``python -m tests.collector.ingest.assaults [slow|series|replies|return]``. Each prints what held, and
how the others were served meanwhile.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import logging
import random
import secrets
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from agent.link import Link
from agent.push import Push
from agent.settings import PushSettings, SpoolSettings
from agent.settings import Secret as AgentSecret
from agent.spool import Spool
from collector.ingest.set_aside import Reason
from config.clock import SystemClock
from config.school import School
from config.units import Bytes, Seconds
from tests.collector.running import WRITE, Running, connect, running, settings_in, wait_until

HOUR_NS = 3600 * 10**9


class Served(NamedTuple):
    """How a normal agent was served meanwhile."""

    pushes: int
    median_seconds: float
    worst_seconds: float


class Normal:
    """An agent that pushes a point now and then while something happens; a push that fails fails the test."""

    def __init__(self, collector: Running, agent: str = "b1") -> None:
        self._collector = collector
        self._agent = agent
        self._stop = threading.Event()
        self._seconds: list[float] = []
        self._failed: list[object] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Normal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def served(self) -> Served:
        assert not self._failed, self._failed[0]
        return Served(len(self._seconds), statistics.median(self._seconds), max(self._seconds))

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            began = time.monotonic()
            try:
                answered = self._collector.write(f"ping sent=1i {time.time_ns()}", agent=self._agent)
            except (OSError, http.client.HTTPException) as error:
                self._failed.append(error)
                return
            if answered.status != 204:
                self._failed.append(answered)
                return
            self._seconds.append(time.monotonic() - began)


def slow_clients(collector: Running, count: int, addresses: int) -> tuple[int, Served]:
    """Row 2: so many connections that send a byte a second until each is cut off; how many were open."""
    head = f"POST {WRITE} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {collector.tokens['a1']}\r\n"
    begun = (head.encode(), f"{head}Content-Length: 1000\r\n\r\nping".encode())
    with contextlib.ExitStack() as stack, Normal(collector) as normal:
        opened = [
            stack.enter_context(connect(collector.port, f"127.0.0.{2 + n % addresses}")) for n in range(count)
        ]
        for n, connection in enumerate(opened):
            connection.sendall(begun[n % 2])
            connection.setblocking(False)
        at_once = sum(not _cut_off(connection) for connection in opened)
        deadline = time.monotonic() + 60
        left = opened
        while left:
            assert time.monotonic() < deadline, f"{len(left)} connections are still open"
            time.sleep(1)
            left = [connection for connection in left if not _cut_off(connection)]
    return at_once, normal.served()


def _cut_off(connection: socket.socket) -> bool:
    """Send one more byte, and see whether the collector has answered or closed."""
    try:
        connection.send(b"x")
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def series_explosion(collector: Running, count: int, at_once: int) -> tuple[int, Served]:
    """Row 6: so many random values of a tag; how many points were set aside."""
    now = time.time_ns()
    aside = 0
    with Normal(collector) as normal:
        for number, first in enumerate(range(0, count, at_once)):
            lines = (f"ping,target={secrets.token_hex(8)} sent=1i {now}" for _ in range(at_once))
            answered = collector.push("\n".join(itertools.islice(lines, min(at_once, count - first))), number)
            assert answered.status == 204, answered
            aside += int(answered.headers.get("x-xiaotong-set-aside", "0"))
    return aside, normal.served()


class DroppingProxy:
    """Passes requests on, and drops the replies that chance chooses: the client cannot know what happened."""

    def __init__(self, port: int, share: float, seed: int) -> None:
        self.dropped = 0
        self._to = port
        self._chance = random.Random(seed)
        self._share = share
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._to)) as far:
            forward = threading.Thread(target=_copy, args=(client, far), daemon=True)
            forward.start()
            while reply := far.recv(65536):
                if self._chance.random() < self._share:
                    self.dropped += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(reply)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while some := source.recv(65536):
            target.sendall(some)


def lost_replies(collector: Running, folder: Path, batches: int, seed: int = 7) -> tuple[int, int, int]:
    """Row 9: our agent's own spool and push through a proxy that drops half of the replies: replies dropped,
    points sent, batches that came twice. What is stored is compared with what was measured.
    """
    proxy = DroppingProxy(collector.port, 0.5, seed)
    clock = SystemClock()
    stop = threading.Event()
    settings = SpoolSettings(
        flush=Seconds(0.001), flush_away=Seconds(0.001), hold=Seconds(0), reserve=Bytes(0)
    )
    spool = Spool(folder, settings, clock, "boot")
    link = Link(f"http://127.0.0.1:{proxy.port}", AgentSecret(collector.tokens["a1"]), 5.0)
    two_together = PushSettings(backlog_points=20, backlog_pause=Seconds(0))
    push = Push(
        spool=spool, link=link, settings=two_together, clock=clock, boot_id="boot", stop=stop,
        random_between=lambda low, high: 0.0,
    )  # fmt: skip
    measured: dict[int, dict[str, Any]] = {}
    base = time.time_ns() - HOUR_NS
    try:
        for number in range(batches):
            times = [base + number * 10**9 + n for n in range(10)]
            spool.add([f"ping,target=t sent={n}i,lost={number}i {at}" for n, at in enumerate(times)])
            measured |= {at: {"sent": n, "lost": number} for n, at in enumerate(times)}
            time.sleep(0.002)
            spool.turn()
        deadline = time.monotonic() + 120
        while spool.state().batches or spool.newest() is not None:
            assert time.monotonic() < deadline, "the spool does not empty"
            push.step()
    finally:
        link.close()
        spool.close()
        proxy.close()
    stored = collector.stored()
    assert stored == measured, (len(stored), len(measured))
    return proxy.dropped, len(measured), collector.rooms.ingest.counts.repeated_batches


class Returned(NamedTuple):
    """What came of a fleet that came back at once."""

    points: int
    seconds: float
    refusals: int
    live_seconds: float
    grown_bytes: int


def fleet_returns(collector: Running, agents: int, batches: int, points: int = 1000) -> Returned:
    """Row 13: so many agents post a backlog of so many batches, each its newest point first; they wait
    as they are told to. ``live_seconds`` is the longest that a newest point took to be in the store.
    """
    registry = collector.rooms.registry
    registry.put_schools([School(f"f{n}") for n in range(agents)])
    tokens = {f"f{n}": registry.add_agent(f"f{n}", f"fa{n}") for n in range(agents)}
    process = psutil.Process()
    resident = process.memory_info().rss
    grown, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            grown.append(process.memory_info().rss - resident)

    fleet = [_Returning(collector.port, school, token, batches, points) for school, token in tokens.items()]
    began = time.monotonic()
    watcher = threading.Thread(target=watch)
    watcher.start()
    for each in fleet:
        each.start()
    live = [_live_after(collector, each, began) for each in fleet]
    for each in fleet:
        each.join()
    wait_until(lambda: collector.rooms.journal.waiting_bytes() == 0, 600)
    seconds = time.monotonic() - began
    stop.set()
    watcher.join()
    for each in fleet:
        assert each.failed is None, each.failed
        found = collector.rooms.store.points(each.school, "ping", fields=["sent"], start_ns=0, end_ns=2**62)
        assert sum(len(series.points) for series in found) == batches * points + 1
    return Returned(
        agents * (batches * points + 1), seconds, sum(each.refusals for each in fleet), max(live), max(grown)
    )


class _Returning(threading.Thread):
    """One school that comes back: its newest point, then its backlog; waits as it is told to."""

    def __init__(self, port: int, school: str, token: str, batches: int, points: int) -> None:
        super().__init__()
        self.school = school
        self.newest_ns = time.time_ns()
        self.refusals = 0
        self.failed: object = None
        self._port = port
        self._token = token
        self._batches = batches
        self._points = points

    def run(self) -> None:
        try:
            self._post(self._batches, [f"ping,target=t sent=1i {self.newest_ns}"])
            for number in range(self._batches):
                first = self.newest_ns - 72 * HOUR_NS + number * self._points * 10**9
                self._post(
                    number, [f"ping,target=t sent={n}i {first + n * 10**9}" for n in range(self._points)]
                )
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.failed = error

    def _post(self, number: int, lines: list[str]) -> None:
        body = gzip.compress("\n".join(lines).encode(), 1)
        headers = {
            "Authorization": f"Token {self._token}", "Content-Encoding": "gzip",
            "X-Xiaotong-Sequence": str(number), "X-Xiaotong-Spool-Id": "spool",
        }  # fmt: skip
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            with contextlib.closing(connection):
                connection.request("POST", WRITE, body, headers)
                answer = connection.getresponse()
                answer.read()
            if answer.status == 204:
                return
            assert answer.status in {429, 503}, answer.status
            self.refusals += 1
            time.sleep(float(answer.headers["Retry-After"]) * random.uniform(1, 1.5))


def _live_after(collector: Running, each: _Returning, began: float) -> float:
    """When the newest point of a school was shown, after the fleet began."""
    wait_until(
        lambda: any(
            latest.time_ns == each.newest_ns for latest in collector.rooms.store.latest(each.school, "ping")
        ),
        120,
    )
    return time.monotonic() - began


@contextlib.contextmanager
def _fresh(**changes: Any) -> Iterator[tuple[Running, Path]]:
    with tempfile.TemporaryDirectory() as inside:
        folder = Path(inside)
        with running(settings_in(folder / "data", **changes)) as collector:
            yield collector, folder


def _slow() -> None:
    with _fresh() as (collector, _):
        began = time.monotonic()
        at_once, served = slow_clients(collector, 1000, 8)
        seconds = time.monotonic() - began
        print(f"{at_once} of 1,000 slow connections open at once, all cut off after {seconds:.0f} s")
        print(served)


def _series() -> None:
    with _fresh() as (collector, _):
        before = psutil.Process().memory_info().rss
        aside, served = series_explosion(collector, 1_000_000, 20_000)
        collector.settle()
        kept = len(collector.rooms.store.distinct("s1", "ping"))
        grown = (psutil.Process().memory_info().rss - before) / 2**20
        counted = collector.rooms.set_aside.counts()[Reason.SERIES_CAP]
        print(f"{kept} series kept, {aside} points set aside ({counted} counted), {grown:.0f} MiB grown")
        print(served)


def _replies() -> None:
    with _fresh() as (collector, folder):
        dropped, points, twice = lost_replies(collector, folder / "spool", 2000)
        print(f"{dropped} replies dropped; {points} points measured and stored, {twice} batches came twice")


def _return() -> None:
    with _fresh(journal={"max_bytes": 2**30}) as (collector, _):
        print(fleet_returns(collector, 60, 108))


LONG: dict[str, Callable[[], None]] = {
    "slow": _slow, "series": _series, "replies": _replies, "return": _return,
}  # fmt: skip

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # a push that failed is told each time
    for name in sys.argv[1:] or LONG:
        print(name)
        LONG[name]()
