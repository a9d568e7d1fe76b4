"""The wire of the fleet: many agents over a bounded pool of kept connections to one or several collectors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

WRITE = "/api/v2/write?org=xiaotong&bucket=raw&precision=ns"
HEARTBEAT = "/api/v1/heartbeat"
ANSWER_SECONDS = 30.0


class Answer(NamedTuple):
    """Status, how long the server asks to wait, and how many points it set aside."""

    status: int
    retry_after: float
    set_aside: int


class Connection:
    """One kept connection; after a failure it opens the next collector's, as a balancer would."""

    def __init__(self, ports: Sequence[int], number: int) -> None:
        self._ports = ports
        self._turn = number
        self._source = f"127.0.0.{2 + number // 64 % 200}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, head: str, body: bytes) -> Answer:
        """Raises OSError, EOFError or TimeoutError when no whole answer came."""
        request = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._open()
                writer.write(request)
                return await _answer(reader)
        except (OSError, EOFError, TimeoutError):
            self.drop()
            raise

    def close(self) -> None:
        """Close."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    def drop(self) -> None:
        """Close; the next request goes to the next collector."""
        self.close()
        self._turn += 1

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            port = self._ports[self._turn % len(self._ports)]
            self._streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(self._source, 0))
        return self._streams


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    length = int(fields.get("content-length", "0"))
    if length:
        await reader.readexactly(length)
    retry = 0.0
    with contextlib.suppress(ValueError):
        retry = float(fields.get("retry-after", "0"))
    return Answer(int(lines[0].split()[1]), retry, int(fields.get("x-xiaotong-set-aside", "0")))
