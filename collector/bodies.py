"""Bodies of requests: read within bounds of bytes and time, and never by recursion that breaks."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import Request

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
    """What a body says. Raises msgspec.DecodeError, also for what msgspec itself raises something else for:
    brackets in a thousand brackets, and text that is no UTF-8.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except RecursionError:
        raise msgspec.DecodeError("the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError("the text is not UTF-8") from None
