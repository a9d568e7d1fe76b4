"""A real HTTP server on loopback that answers pushes as it is told, and keeps what it acknowledged."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec


class Push(msgspec.Struct, frozen=True):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> tuple[str, int]:
        return self.headers["x-xiaotong-spool-id"], int(self.headers["x-xiaotong-sequence"])

    @property
    def lines(self) -> list[str]:
        return gzip.decompress(self.body).decode().removesuffix("\n").split("\n")


class Reply(msgspec.Struct, frozen=True):
    """What to answer; ``drop`` closes the connection after the request was taken, ``drip`` answers slowly."""

    status: int = 204
    headers: dict[str, str] = {}
    body: bytes = b""
    drop: bool = False
    hang: bool = False
    drip: bool = False


class CollectorDouble:
    def __init__(self, port: int = 0) -> None:
        self.pushes: list[Push] = []
        self.kept: dict[tuple[str, int], Push] = {}
        self.answer: Callable[[Push], Reply] = lambda _push: Reply()
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def lines(self) -> list[str]:
        return [line for push in self.kept.values() for line in push.lines]

    def take(self, push: Push) -> Reply:
        reply = self.answer(push)
        self.pushes.append(push)
        if reply.status == 204 and push.path.startswith("/api/v2/write"):
            self.kept.setdefault(push.key, push)
        return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = double.take(Push(self.path, headers, body))
                if reply.drop or reply.hang:
                    double.released.wait(30 if reply.hang else 0)
                    self.close_connection = True
                    return
                if reply.drip:
                    while not double.released.wait(0.05):
                        self.wfile.write(b"H")
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


@contextmanager
def collector_double(port: int = 0) -> Iterator[CollectorDouble]:
    double = CollectorDouble(port)
    try:
        yield double
    finally:
        double.close()
