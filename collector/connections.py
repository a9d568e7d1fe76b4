"""Connections are bounded: how many, how many of one address, and how long a request's head may take.

uvicorn bounds none of these by itself: a client that sends one byte a second would hold its connection
for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.settings import Listen

log = logging.getLogger(__name__)

SOCKET = "xiaotong.socket"
"""The extension of a request's scope that holds its socket, for who asks the kernel of the connection."""

_REFUSAL_BODY = b'{"code":"unavailable","message":"too many open connections"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_REFUSAL_BODY), _REFUSAL_BODY)
)


class Connections:
    """The connections that are open, by address. One for each server."""

    def __init__(self, limits: Listen) -> None:
        self.header_deadline_seconds = float(limits.header_deadline)
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._open = 0

    def enter(self, address: str) -> bool:
        """Count a new connection. False when it is one too many."""
        too_many = self._open >= self._limits.max_connections
        if too_many or self._by_address[address] >= self._limits.max_connections_per_address:
            return False
        self._open += 1
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that entered is gone."""
        self._open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for HTTP/1.1 with a deadline for each request's head and for what follows an answer
    that was given before the whole body came.
    """

    bounds: Connections
    _address: str | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else "local"
        if self.bounds.enter(address):
            self._address = address
            self._expect_more()
        else:
            transport.write(_REFUSAL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        if self._address is not None:
            self.bounds.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if self._deadline is None:
            self._expect_more()
        super().on_message_begin()
        self.scope["extensions"] = {SOCKET: self.transport.get_extra_info("socket")}

    def on_headers_complete(self) -> None:
        self._came()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._came()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.cycle.more_body and self._deadline is None:
            self._expect_more()
        super().on_response_complete()

    def _expect_more(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self.bounds.header_deadline_seconds, self._too_slow)

    def _came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        log.info("connection closed address=%s reason=slow", self._address)
        self.transport.close()


def bounded_protocol(connections: Connections) -> type[asyncio.Protocol]:
    """The protocol class of one server, bounded by ``connections``."""
    return type("BoundedProtocol", (BoundedProtocol,), {"bounds": connections})
