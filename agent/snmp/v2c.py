"""Version 2c over UDP: one connected socket a device, answers matched by their request's id."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agent.snmp.ber import Malformed, Oid, Pairs, Response, request, response
from agent.snmp.session import Access, Failed, read_secret

_MOST_BYTES = 65535
_MOST_STRAYS = 64
"""Datagrams of one wait that answer nothing we asked: beyond that the device counts as hostile."""


@asynccontextmanager
async def asking(access: Access) -> AsyncIterator[AskerV2c]:
    """Ask a device for as long as the context lasts. Raises Failed."""
    community = read_secret(access.community_file).encode()
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(access.host, access.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        connection = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Failed(f"{access.host} cannot be looked up: {type(error).__name__}") from None
    with connection:
        connection.setblocking(False)
        try:
            connection.connect(address)
        except OSError as error:
            raise Failed(f"{access.host} cannot be reached: {error.strerror}") from None
        yield AskerV2c(connection, community, access)


class AskerV2c:
    """One device, one request in flight."""

    def __init__(self, connection: socket.socket, community: bytes, access: Access) -> None:
        self._connection = connection
        self._community = community
        self._access = access

    async def ask(self, oids: Sequence[Oid], repetitions: int | None) -> tuple[int, Pairs]:
        """Error status and pairs. Raises Failed after the last try; an answer to an earlier try counts."""
        number = secrets.randbelow(2**31)
        datagram = request(self._community, number, oids, repetitions)
        loop = asyncio.get_running_loop()
        refused = "did not answer"
        for _ in range(1 + self._access.retries):
            try:
                await loop.sock_sendall(self._connection, datagram)
                answer = await asyncio.wait_for(self._answer(number), self._access.timeout_seconds)
            except TimeoutError:
                continue
            except OSError as error:
                refused = f"cannot be reached: {error.strerror}"
                await asyncio.sleep(self._access.timeout_seconds / 4)
                continue
            return answer.status, answer.pairs
        raise Failed(refused)

    async def _answer(self, number: int) -> Response:
        loop = asyncio.get_running_loop()
        for _ in range(_MOST_STRAYS):
            data = await loop.sock_recv(self._connection, _MOST_BYTES)
            try:
                found = response(data, self._community)
            except Malformed as fault:
                reason = str(fault)
                continue
            if found.request_id == number:
                return found
            reason = "answers another request"
        raise Failed(f"sends what is no answer: the last one {reason}")
