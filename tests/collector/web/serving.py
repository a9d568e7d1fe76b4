"""An application on a real port of loopback, and a client that keeps cookies."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute

from collector.access import Role, Who
from collector.access.routes import guarded
from collector.access.who import Via, somebody
from collector.ingest.intake import AgentIdentity
from collector.server import listen
from collector.settings import Listen
from collector.web.errors import answer_missing
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


class LetsIn:
    """A doorkeeper who takes everybody for one person."""

    def __init__(self, who: Who) -> None:
        self._who = who

    async def who(self, request: Request) -> Who:
        return self._who

    def agent(self, request: Request, *, in_query: bool) -> AgentIdentity:
        raise NotImplementedError

    def knows_school(self, school_id: str) -> bool:
        return True


COUNTY = somebody("tests", Role.COUNTY_ADMIN, Via.SESSION)


@contextlib.contextmanager
def serving(routes: Sequence[BaseRoute], who: Who = COUNTY) -> Iterator[Client]:
    """Serve the routes to ``who`` until the block ends."""
    with listen(Listen(port=0)) as server_socket:
        config = uvicorn.Config(
            Starlette(routes=guarded(routes, LetsIn(who)), exception_handlers={404: answer_missing}),
            log_level="warning",
            lifespan="off",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [server_socket]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield Client(server_socket.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(15)
