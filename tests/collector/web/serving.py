"""An application on a real port of loopback, and a client that keeps cookies."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from collector.server import listen
from collector.settings import Listen
from tests.collector.running import wait_until


class Answered(msgspec.Struct):
    """What was answered."""

    status_code: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """Asks one server; sends back the cookies that it set."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._cookies: dict[str, str] = {}

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answered:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(
                "GET", path, headers={**({"Cookie": cookies} if cookies else {}), **(headers or {})}
            )
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("set-cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
            return Answered(answer.status, answer.headers, answer.read())


@contextlib.contextmanager
def serving(routes: list[BaseRoute]) -> Iterator[Client]:
    """Serve the routes until the block ends."""
    with listen(Listen(port=0)) as server_socket:
        config = uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [server_socket]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield Client(server_socket.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(15)
