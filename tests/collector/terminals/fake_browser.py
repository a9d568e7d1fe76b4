"""What the page's script does, from Python: several connections, real bytes, and lies where wanted."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from typing import Any

import msgspec

RANDOM = os.urandom(1 << 18)


class Browser:
    """One browser at one address."""

    def __init__(self, port: int, host: str = "127.0.0.1", source: str | None = None) -> None:
        self.port, self.host = port, host
        self._source = (source, 0) if source else None

    def ask(
        self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        connection = self._connect()
        with contextlib.closing(connection):
            body = b"" if content is None else msgspec.json.encode(content)
            sent = {"Content-Type": "application/json"} if content is not None else {}
            connection.request(method, path, body, {**sent, **(headers or {})})
            answer = connection.getresponse()
            data = answer.read()
            told = (
                msgspec.json.decode(data) if data and "json" in str(answer.headers["content-type"]) else data
            )
            return answer.status, told, {name.lower(): value for name, value in answer.headers.items()}

    def begin(self, code: str = "", **headers: str) -> dict[str, Any]:
        status, told, _ = self.ask("POST", "/speed/tests", {"code": code}, headers)
        assert status == 200, told
        return dict(told)

    def pull(self, test: str, seconds: float, streams: int = 2, pause_seconds: float = 0.0) -> int:
        """Read for a time, pausing between reads when told to; gives the bytes that came."""
        return sum(self._side_by_side(streams, lambda: self._pull(test, seconds, pause_seconds)))

    def push(self, test: str, seconds: float, streams: int = 2) -> int:
        return sum(self._side_by_side(streams, lambda: self._push(test, seconds)))

    def result(self, test: str, **told: float) -> dict[str, Any]:
        status, found, _ = self.ask("POST", f"/speed/tests/{test}/result", told)
        assert status == 200, found
        return dict(found)

    def _pull(self, test: str, seconds: float, pause_seconds: float) -> int:
        with self._raw() as connection:
            connection.sendall(
                f"GET /speed/tests/{test}/down HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            until, came = time.monotonic() + seconds, 0
            while time.monotonic() < until and (data := connection.recv(1 << 18)):
                came += len(data)
                time.sleep(pause_seconds)
            return came

    def _push(self, test: str, seconds: float) -> int:
        head = f"POST /speed/tests/{test}/up HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n"
        with self._raw() as connection:
            connection.sendall(head.encode())
            until, sent = time.monotonic() + seconds, 0
            with contextlib.suppress(OSError):
                while time.monotonic() < until:
                    sent += connection.send(RANDOM)
            return sent

    def _side_by_side(self, streams: int, work: Any) -> list[int]:
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def _raw(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), 10, self._source)

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=20, source_address=self._source)
