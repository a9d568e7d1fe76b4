"""``/events``: tells open pages that the county changed, so that they ask for it. Server-sent events.

A page that finds no place here, or whose browser knows no such thing, asks by itself from time to time.
Source: WHATWG HTML, «Server-sent events».
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from collector.web.board import Board

LOOK_SECONDS = 1.0
RETRY_MS = 5000
LIFE_SECONDS = 600.0
"""Then a stream ends and its page asks again, and is asked who it is: nobody's login outlives itself here."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Events:
    """The open streams, bounded in number. ``end`` closes them, so that they hold up no stop."""

    def __init__(
        self, board: Board, most: int, keep_alive_seconds: float, life_seconds: float = LIFE_SECONDS
    ) -> None:
        self._board = board
        self._most = most
        self._keep_alive_seconds = keep_alive_seconds
        self._life_seconds = life_seconds
        self._open = 0
        self._ended = False
        self._run = secrets.token_hex(4)
        """Numbers begin anew with each start of the collector: a page that was open before is told."""

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    def end(self) -> None:
        """Close every stream within a second, and open no more."""
        self._ended = True

    async def stream(self, request: Request) -> Response:
        """One page's stream; 503 when there are too many."""
        if self._open >= self._most or self._ended:
            return PlainTextResponse("too many open pages", 503, {"Retry-After": "60"})
        told = request.headers.get("last-event-id", "")
        self._open += 1
        return StreamingResponse(self._tell(told), media_type="text/event-stream", headers=HEADERS)

    async def _tell(self, told: str) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        try:
            yield f"retry: {RETRY_MS}\n\n"
            began = spoke = loop.time()
            while not self._ended and loop.time() - began < self._life_seconds:
                number = f"{self._run}-{self._board.number()}"
                if number != told:
                    told, spoke = number, loop.time()
                    yield f"id: {number}\nevent: county\ndata: {number}\n\n"
                elif loop.time() - spoke >= self._keep_alive_seconds:
                    spoke = loop.time()
                    yield ": still here\n\n"
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._open -= 1
