"""Kills a collector with SIGKILL at random moments: every acknowledged point is there, once.

Run: ``python -m tests.collector.ingest.torture [rounds] [folder]``. Everything is imported once; each round
is a fork, so that a collector is up in milliseconds. One kill in five hits it while it starts, the others at
work.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from collector.app import make_app
from collector.rooms import Rooms
from collector.server import listen, make_server
from collector.settings import CollectorSettings
from collector.store.embedded import EmbeddedStore
from collector.store.opening import retention_of
from collector.store.upkeep import COARSE_ROUNDS
from tests.collector.running import WRITE, enrol, settings_in
from tests.collector.store.influxd import free_port

POINTS = 20
BASE_NS = (time.time_ns() - 3600 * 10**9) // 10**9 * 10**9
LONGEST_SECONDS = 0.25
KILLED_STARTING = 0.2
"""Of the rounds: what reads the journal and mends it must bear a kill as well."""
_WAITS_NOT = b"\nxiaotong_journal_waiting_bytes 0.0\n"


class Tortured:
    """A collector that is killed and started again on one data directory."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.settings: CollectorSettings = settings_in(
            folder, listen={"port": free_port()}, journal={"segment_bytes": 4 * 2**20, "reserve_bytes": 0}
        )
        self.acknowledged: dict[int, int] = {}
        self.slowest_start_seconds = 0.0
        self.killed_starting = 0
        self._start_seconds = 0.0
        self._folder = folder
        self._chance = chance
        self._sequence = 0
        self._token = ""

    def round(self) -> None:
        """Start it, push until it is killed at a moment that nobody chose."""
        if self._token and self._chance.random() < KILLED_STARTING:
            self._kill_starting()
            return
        process = self._start()
        killer = os.fork()
        if killer == 0:
            time.sleep(self._chance.random() * LONGEST_SECONDS)
            os.kill(process, signal.SIGKILL)
            os._exit(0)
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._push_until_killed()
        os.waitpid(killer, 0)
        os.waitpid(process, 0)

    def finish(self) -> None:
        """Start it once more, let the store have everything, stop it as a service is stopped."""
        process = self._start()
        with contextlib.closing(self._connection()) as connection:
            deadline = time.monotonic() + 60
            while _WAITS_NOT not in self._ask(connection, "GET", "/metrics")[1]:
                if time.monotonic() > deadline:
                    raise AssertionError("the store did not take the journal")
                time.sleep(0.02)
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)

    def stored(self) -> tuple[dict[int, int], int]:
        """Every point in the store, and how many points its windows of a day count."""
        store = EmbeddedStore(self._folder / "points.db", retention=retention_of(self.settings))
        with contextlib.closing(store):
            found = store.points("s1", "ping", fields=["sent"], start_ns=0, end_ns=2**62)
            for _ in range(COARSE_ROUNDS + 1):
                while store.maintain(time.time_ns()):
                    pass
            windows = store.series(
                "s1", "ping", fields=["sent"], start_ns=0, end_ns=2**62, resolution_seconds=86400
            )
        counted = sum(window.fields["sent"].count for series in windows for window in series.windows)
        return {p.time_ns: int(p.fields["sent"]) for series in found for p in series.points}, counted

    def _kill_starting(self) -> None:
        """Kill it before it would answer, by how long the last start took."""
        process = self._fork()
        time.sleep(self._chance.random() * self._start_seconds)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        self.killed_starting += 1

    def _fork(self) -> int:
        process = os.fork()
        if process == 0:
            self._serve()
        return process

    def _start(self) -> int:
        begin = time.monotonic()
        process = self._fork()
        while True:
            with contextlib.suppress(OSError), contextlib.closing(self._connection()) as connection:
                if self._ask(connection, "GET", "/health")[0] == 200:
                    break
            if os.waitpid(process, os.WNOHANG) != (0, 0) or time.monotonic() - begin > 30:
                raise AssertionError("the collector did not start")
            time.sleep(0.005)
        self._start_seconds = time.monotonic() - begin
        self.slowest_start_seconds = max(self.slowest_start_seconds, self._start_seconds)
        self._token = self._token or (self._folder / "token").read_text()
        return process

    def _serve(self) -> None:
        """In the child: it never returns."""
        try:
            os.dup2(os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            with listen(self.settings.listen) as server_socket:
                app = make_app(self.settings, None, self._enrol)
                make_server(app, self.settings.listen).run(sockets=[server_socket])
        finally:
            os._exit(0)

    def _enrol(self, rooms: Rooms) -> None:
        tokens = enrol(rooms)
        if tokens:
            (self._folder / "token").write_text(tokens["a1"])

    def _push_until_killed(self) -> None:
        with contextlib.closing(self._connection()) as connection:
            while True:
                first = BASE_NS + self._sequence * POINTS * 1000
                times = range(first, first + POINTS * 1000, 1000)
                body = "\n".join(f"ping,target=g,family=ipv4 sent={self._sequence}i {at}" for at in times)
                status, _ = self._ask(connection, "POST", WRITE, body)
                if status != 204:
                    raise AssertionError(f"answered {status}")
                self.acknowledged |= dict.fromkeys(times, self._sequence)
                self._sequence += 1  # what was not acknowledged is sent again with the same number

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str = ""
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Token {self._token}", "X-Xiaotong-Spool-Id": "torture"}
        if body:
            headers["X-Xiaotong-Sequence"] = str(self._sequence)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.settings.listen.port, timeout=30)


def torture(rounds: int, folder: Path, seed: int) -> tuple[str, bool]:
    """What was found in one line, and whether it is well."""
    tortured = Tortured(folder, random.Random(seed))
    for number in range(rounds):
        tortured.round()
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {rounds}", end="", file=sys.stderr)
    tortured.finish()
    stored, counted = tortured.stored()
    lost = {at: n for at, n in tortured.acknowledged.items() if stored.get(at) != n}
    well = not lost and counted == len(stored) and len(tortured.acknowledged) > 0
    text = (
        f"{rounds} kills, {tortured.killed_starting} while it started, seed {seed}: "
        f"{len(tortured.acknowledged)} points acknowledged, "
        f"{len(stored)} stored, {len(lost)} lost, {counted - len(stored)} counted twice, "
        f"slowest start {tortured.slowest_start_seconds:.2f} s"
    )
    return text, well


def main(rounds: int = 1000, folder: str | None = None) -> int:
    """Print the line; 1 when something was lost or doubled."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        text, well = torture(rounds, Path(inside), random.randrange(2**32))
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000, sys.argv[2] if sys.argv[2:] else None))
