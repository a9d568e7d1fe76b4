"""A real influxd (1.6.7), and before it what 1.8 does by itself: /api/v2/write → /write."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.collector.running import wait_until

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  auth-enabled = {auth}
[monitor]
  store-enabled = false
[logging]
  level = "error"
"""
PRECISIONS = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def influxd(folder: Path, *, port: int | None = None, auth: bool = False) -> Iterator[int]:
    """Run influxd until the block ends; gives its port. With ``auth`` its first user must be made at once."""
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    config = folder / "influxdb.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, rpc=free_port(), auth=str(auth).lower()))
    with running(["influxd", "run", "-config", str(config)], port, "/ping"):
        yield port


@contextlib.contextmanager
def victoria_metrics(folder: Path) -> Iterator[int]:
    """Run victoria-metrics until the block ends; gives its port."""
    port = free_port()
    command = ["victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}",
               "-retentionPeriod=100y", "-loggerLevel=ERROR"]  # fmt: skip
    with running(command, port, "/health"):
        yield port


@contextlib.contextmanager
def running(command: list[str], port: int, path: str) -> Iterator[None]:
    """Run a server until the block ends; it is ready when it answers at ``path``."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or answers(port, path), 30)
            assert process.poll() is None, f"{command[0]} did not start"
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 300
    except OSError:
        return False
    finally:
        connection.close()


class Proxy:
    """Maps the path of the 2.x write API; ``answer`` set, answers that instead. Keeps what it was sent."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.answer: tuple[int, bytes] | None = None
        self.authorizations: list[str] = []
        self.port = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Proxy

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.state.authorizations.append(self.headers.get("Authorization", ""))
        if self.state.answer is not None:
            self._reply(self.state.answer[0], "", self.state.answer[1])
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.state.target, timeout=30)
        with contextlib.closing(connection):
            kept = {key: value for key, value in self.headers.items() if key in _FORWARDED}
            kept["Authorization"] = _basic(self.headers.get("Authorization", ""))
            try:
                connection.request(self.command, mapped(self.path), body, kept)
                answer = connection.getresponse()
                self._reply(answer.status, answer.headers.get("X-Influxdb-Version", ""), answer.read())
            except OSError:
                self._reply(502, "", b'{"message":"away"}')

    def _reply(self, status: int, version: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Influxdb-Version", version)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def proxy(target: int, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A path-mapping proxy before a server of 1.x, until the block ends."""
    state = Proxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_FORWARDED = {"Content-Type", "Content-Encoding"}


def _basic(authorization: str) -> str:
    """«Token user:password», which 1.8 takes for a write, as 1.6 has it."""
    scheme, _, token = authorization.partition(" ")
    return f"Basic {base64.b64encode(token.encode()).decode()}" if scheme == "Token" else authorization


def mapped(path: str) -> str:
    """«/api/v2/write?bucket=b&precision=ns» → «/write?db=b&precision=n»; other paths stay."""
    parts = urlsplit(path)
    if parts.path != "/api/v2/write":
        return path
    query = parse_qs(parts.query)
    precision = PRECISIONS[query.get("precision", ["ns"])[0]]
    return f"/write?{urlencode({'db': query['bucket'][0], 'precision': precision})}"
