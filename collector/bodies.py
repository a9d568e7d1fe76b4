"""Bodies of requests: read within bounds of bytes and time."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import Request

from config.plain_json import decoded

BODY_SECONDS = 10.0
"""A small body is whole within so long."""


T = TypeVar("T")


class TooLong(Exception):
    """More bytes than are allowed."""


async def body_of(request: Request, most: int, seconds: float = BODY_SECONDS) -> bytes:
    """The body. Raises TooLong past ``most`` bytes, TimeoutError when it is not whole within ``seconds``."""
    body = bytearray()
    async with asyncio.timeout(seconds):
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise TooLong
    return bytes(body)


def json_of(body: bytes, shape: type[T]) -> T:
    """What a body says. Raises msgspec.DecodeError."""
    return decoded(body, msgspec.json.Decoder(shape))
