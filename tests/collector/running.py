"""A real collector on a real port of loopback, for tests."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from collector.app import make_app
from collector.rooms import Rooms
from collector.server import listen, make_server
from collector.settings import CollectorSettings
from config.school import School

WRITE = "/api/v2/write?org=xiaotong&bucket=raw&precision=ns"


class Answered(msgspec.Struct):
    """What the collector answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Running:
    """A collector that runs, and the tokens of its agents: «a1» of school «s1», «b1» of school «s2»."""

    def __init__(self, rooms: Rooms, port: int, tokens: dict[str, str]) -> None:
        self.rooms = rooms
        self.port = port
        self.tokens = tokens

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str = b"",
        *,
        agent: str | None = "a1",
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answered:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=20, source_address=(source, 0)
        )
        with contextlib.closing(connection):
            sent = {"Authorization": f"Token {self.tokens[agent]}"} if agent else {}
            connection.request(method, path, body, {**sent, **(headers or {})})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, names, answer.read())

    def write(self, body: bytes | str, path: str = WRITE, **options: Any) -> Answered:
        return self.request("POST", path, body, **options)

    def push(self, body: str, sequence: int, spool: str = "spool", **clocks: str) -> Answered:
        """Write as our agent does."""
        headers = {
            "X-Xiaotong-Sequence": str(sequence),
            "X-Xiaotong-Spool-Id": spool,
            "Content-Encoding": "gzip",
        }
        headers |= {f"X-Xiaotong-{name.replace('_', '-')}": value for name, value in clocks.items()}
        return self.write(gzip.compress(body.encode()), headers=headers)

    def settle(self) -> None:
        """Wait until the store has everything that was acknowledged."""
        wait_until(lambda: self.rooms.journal.waiting_bytes() == 0)

    def stored(self, measurement: str = "ping", school: str = "s1") -> dict[int, dict[str, Any]]:
        """Fields of every raw point by its time."""
        self.settle()
        found = self.rooms.store.points(school, measurement, start_ns=0, end_ns=2**62)
        return {point.time_ns: dict(point.fields) for series in found for point in series.points}


def settings_in(folder: Path, **changes: Any) -> CollectorSettings:
    """Settings with quick defaults for tests, changed by block: ``ingest={"max_series_per_agent": 5}``."""
    value: dict[str, Any] = {"data_directory": str(folder), "listen": {"port": 0}}
    value["access"] = {"anonymous": "county_admin"}  # tests of what is shown need no login
    for key, block in changes.items():
        value[key] = {**value.get(key, {}), **block}
    value.setdefault("store", {}).setdefault("fold_every", 0.1)
    return msgspec.convert(value, CollectorSettings, dec_hook=lambda shape, given: shape(given))


@contextlib.contextmanager
def running(settings: CollectorSettings, clock: Any = None) -> Iterator[Running]:
    """Run a collector in a thread until the block ends."""
    ready: list[Rooms] = []
    with listen(settings.listen) as server_socket:
        server = make_server(make_app(settings, clock, ready.append), settings.listen)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [server_socket]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started, "the collector did not start"
            yield Running(ready[0], server_socket.getsockname()[1], enrol(ready[0]))
        finally:
            server.should_exit = True
            thread.join(15)
            assert not thread.is_alive()


def enrol(rooms: Rooms) -> dict[str, str]:
    """Tokens of one agent in each of two schools; those of agents that are there already are not known
    again."""
    if rooms.registry.agents():
        return {}
    rooms.registry.put_schools([School("s1"), School("s2")])
    return {
        "a1": rooms.registry.add_agent("s1", "a1"),
        "b1": rooms.registry.add_agent("s2", "b1"),
    }


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A raw connection."""
    return socket.create_connection(("127.0.0.1", port), 10, (source, 0))
