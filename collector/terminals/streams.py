"""The load itself: bytes to a browser and bytes from it, counted, bounded, and never held in memory.

Plain ASGI: a response object would cost more for each chunk than the chunk. Every chunk waits until the
socket took the last one, so the event loop is everybody's between two chunks.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from collector.connections import SOCKET
from collector.terminals.room import TerminalRoom
from collector.terminals.running import Direction, Load, Stream, Test, TooMuch

HEADERS: dict[str, str] = {
    "Cache-Control": "no-store, no-transform",
    "Content-Encoding": "identity",  # no middleware or proxy shall press it
    "X-Accel-Buffering": "no",  # nginx shall hand it on as it comes
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}

FindTest = Callable[[Request], Test | None]


class LoadStream:
    """One direction's endpoint."""

    def __init__(self, room: TerminalRoom, direction: Direction, find: FindTest) -> None:
        self._chunks = room.chunks
        self._direction: Direction = direction
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry load until the browser ends it, the time is over, or the bytes are spent."""
        request = Request(scope, receive)
        test = self._find(request)
        refusal = self._refusal(request, test)
        if test is None or refusal is not None:
            await (refusal or _closing(404))(scope, receive, send)
            return
        load = test.loads[self._direction]
        try:
            with load.stream(scope.get("extensions", {}).get(SOCKET)) as stream:
                await self._carry(load, stream, receive, send)
        except TooMuch:
            await _closing(429)(scope, receive, send)
            return
        if self._direction == "up":
            await Response(b"", 204, HEADERS)(scope, receive, send)

    def _refusal(self, request: Request, test: Test | None) -> Response | None:
        """Only one direction at a time: two at once would measure each other."""
        wanted = "GET" if self._direction == "down" else "POST"
        if request.method != wanted:
            return _closing(405)
        other: Direction = "up" if self._direction == "down" else "down"
        return _closing(409) if test is not None and test.loads[other].is_open else None

    async def _carry(self, load: Load, stream: Stream, receive: Receive, send: Send) -> None:
        if self._direction == "up":
            await _take(load, stream, receive)
        else:
            await _give(load, stream, self._chunks, receive, send)


async def _give(load: Load, stream: Stream, chunks: Sequence[bytes], receive: Receive, send: Send) -> None:
    headers = {**HEADERS, "Content-Type": "application/octet-stream"}
    await send({"type": "http.response.start", "status": 200, "headers": _raw(headers)})
    gone = asyncio.create_task(_gone(receive))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(load.seconds_left):
            for chunk in itertools.cycle(chunks):
                if gone.done() or load.left() < len(chunk):
                    break
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                stream.moved += len(chunk)
                await asyncio.sleep(0)
    gone.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _take(load: Load, stream: Stream, receive: Receive) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(load.seconds_left):
            more = True
            while more and load.left():
                message = await receive()
                stream.moved += len(message.get("body", b""))
                more = message["type"] == "http.request" and message.get("more_body", False)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _closing(status: int) -> Response:
    return Response(b"", status, {**HEADERS, "Connection": "close"})


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
