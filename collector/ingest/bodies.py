"""Receiving and decoding the body of a request within bounds."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from collector.ingest.answers import Answer

GZIP = 16 + zlib.MAX_WBITS
BLOCK_BYTES = 16 * 1024
MAX_MEMBERS = 1000
"""Of one gzip body: each costs a decoder, however little is in it."""


def decode(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a content encoding; gzip may have several members. Raises Answer 400, 413 or 415.

    Never holds more than ``max_bytes`` of decoded data, however well it was packed.
    """
    if encoding in {"", "identity"}:
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise Answer(415, "unsupported media type", f"content encoding {encoding[:20]!r}: gzip is allowed")
    try:
        return _gunzip(body, max_bytes)
    except zlib.error as error:
        raise Answer(400, "invalid", f"the body is not gzip: {error}") from None


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    decoded = bytearray()
    position = members = 0
    while position < len(body):
        members += 1
        if members > MAX_MEMBERS:
            raise _too_large(max_bytes)
        position = _gunzip_member(body, position, decoded, max_bytes)
    return bytes(decoded)


def _gunzip_member(body: bytes, position: int, decoded: bytearray, max_bytes: int) -> int:
    """Append one member to ``decoded``; gives the position behind it."""
    member = zlib.decompressobj(GZIP)
    while not member.eof:
        block = body[position : position + BLOCK_BYTES]
        if not block:
            raise Answer(400, "invalid", "the gzip body ends early")
        decoded += member.decompress(block, max_bytes + 1 - len(decoded))
        if len(decoded) > max_bytes:
            raise _too_large(max_bytes)
        position += len(block) - len(member.unused_data)
    return position


class Receiving:
    """The bodies that are being received: bytes of all, and requests of each agent, are bounded."""

    def __init__(
        self,
        *,
        max_body_bytes: int,
        max_bytes_in_flight: int,
        max_requests_per_agent: int,
        deadline_seconds: float,
        retry_after_seconds: float,
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_bytes_in_flight = max_bytes_in_flight
        self._max_requests_per_agent = max_requests_per_agent
        self._deadline_seconds = deadline_seconds
        self._retry_after_seconds = retry_after_seconds
        self._bytes = 0
        self._requests: dict[str, int] = {}

    @contextmanager
    def turn(self, agent_id: str) -> Iterator[None]:
        """One request of an agent. Raises Answer 429 when it has too many at one time."""
        running = self._requests.get(agent_id, 0)
        if running >= self._max_requests_per_agent:
            raise Answer(
                429,
                "too many requests",
                f"{running} requests of this agent are running",
                self._retry_after_seconds,
            )
        self._requests[agent_id] = running + 1
        try:
            yield
        finally:
            self._requests[agent_id] -= 1
            if not self._requests[agent_id]:
                del self._requests[agent_id]

    @contextmanager
    def room(self, length: int) -> Iterator[None]:
        """Hold so many bytes for one body. Raises Answer 503 when all bodies together hold too many."""
        if self._bytes + length > self._max_bytes_in_flight:
            raise Answer(503, "unavailable", "too many bodies at one time", self._retry_after_seconds)
        self._bytes += length
        try:
            yield
        finally:
            self._bytes -= length

    def expected_bytes(self, request: Request) -> int:
        """What a body may take: as announced, or the most that is allowed. Raises Answer 413."""
        announced = request.headers.get("content-length", "")
        length = int(announced) if announced.isdecimal() and announced.isascii() else self._max_body_bytes
        if length > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        return length

    async def body(self, request: Request) -> bytes:
        """Receive a whole body. Raises Answer 408 or 413."""
        received = bytearray()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                async for chunk in request.stream():
                    received += chunk
                    if len(received) > self._max_body_bytes:
                        raise _too_large(self._max_body_bytes)
        except TimeoutError:
            raise Answer(408, "request timeout", "the body did not come in time") from None
        return bytes(received)


def _too_large(max_bytes: int) -> Answer:
    return Answer(413, "request too large", f"a body of at most {max_bytes} bytes is allowed")
