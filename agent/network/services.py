"""Tries a service phase by phase: name, connect, TLS, first byte, transfer. The caller owns the deadline."""

from __future__ import annotations

import contextlib
import http.client
import io
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from agent.network.icmp import Family
from agent.network.names import literal

Phase: TypeAlias = Literal["name", "connect", "tls", "first_byte", "transfer", "expectation"]
CHUNK_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
DNS_BYTES = 4096
_QUESTION = struct.Struct("!HHHHHH")
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
QUERY_TYPES = {"A": 1, "NS": 2, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28}


class Failed(Exception):
    """A phase that did not succeed, and why in one line."""

    def __init__(self, phase: Phase, why: str) -> None:
        super().__init__(why)
        self.phase = phase


class Answered(msgspec.Struct):
    """What a service answered. ``body`` is at most what the caller wanted to read."""

    status: int
    body: bytes = b""
    answers: int = 0


class Attempt:
    """One try against one address family: how long each phase took, and what must be over by when."""

    def __init__(self, family: Family, timeout_seconds: float) -> None:
        self.family = family
        self.seconds: dict[str, float] = {}
        self.address: str | None = None
        self.certificate_ends: float | None = None
        self._began = time.monotonic()
        self._deadline = self._began + timeout_seconds

    @property
    def total_seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def left_seconds(self) -> float:
        """Until the deadline. Raises TimeoutError when there is nothing left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("took too long")
        return left

    @contextlib.contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Time a phase; what fails in it becomes Failed."""
        began = time.monotonic()
        try:
            yield
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Failed(name, str(error) or type(error).__name__) from None
        finally:
            self.seconds[name] = time.monotonic() - began

    def find(self, host: str) -> str:
        """The host's address of this family; looked up in time only when it is a name."""
        known = literal(host)
        if known is None:
            with self.phase("name"):
                self.address = _look_up(host, self.family, self.left_seconds())
        elif self.family in known:
            self.address = known[self.family]
        else:
            raise Failed("name", f"is no {self.family} address")
        return self.address

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection by this family only."""
        address = self.find(host)
        with self.phase("connect"):
            opened = socket.socket(_FAMILIES[self.family], socket.SOCK_STREAM)
            try:
                opened.settimeout(self.left_seconds())
                opened.connect((address, port))
            except BaseException:
                opened.close()
                raise
            return opened

    def secure(self, plain: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        """The TLS handshake; keeps when the certificate ends."""
        with self.phase("tls"):
            plain.settimeout(self.left_seconds())
            secured = context.wrap_socket(plain, server_hostname=host)
            certificate = secured.getpeercert() or {}
            ends = certificate.get("notAfter")
            if isinstance(ends, str):
                self.certificate_ends = float(ssl.cert_time_to_seconds(ends))
            return secured

    def get(self, opened: socket.socket, host: str, path: str, body_bytes: int) -> Answered:
        """One HTTP request; reads at most ``body_bytes`` of the body. Follows no redirect."""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: xiaotong\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
        with self.phase("first_byte"):
            opened.settimeout(self.left_seconds())
            opened.sendall(request.encode("ascii"))
            received = self._some(opened)
            if not received:
                raise OSError("closed without an answer")
        with self.phase("transfer"):
            most = body_bytes + MAX_HEAD_BYTES
            while len(received) < most and (more := self._some(opened)):
                received += more
            return _parsed(received[:most], body_bytes)

    def ask(self, server: str, port: int, name: str, kind: str) -> Answered:
        """One DNS question by UDP; only an answer to this very question counts (RFC 1035, RFC 5452)."""
        address = self.find(server)
        query, identifier = dns_query(name, kind)
        with self.phase("first_byte"), socket.socket(_FAMILIES[self.family], socket.SOCK_DGRAM) as asking:
            asking.connect((address, port))
            asking.send(query)
            while True:
                asking.settimeout(self.left_seconds())
                answered = dns_answer(asking.recv(DNS_BYTES), identifier, query[_QUESTION.size :])
                if answered is not None:
                    return answered

    def _some(self, opened: socket.socket) -> bytes:
        opened.settimeout(self.left_seconds())
        return opened.recv(CHUNK_BYTES)


def dns_query(name: str, kind: str) -> tuple[bytes, int]:
    """A recursive question with a random identifier. Raises Failed for a name that DNS cannot carry."""
    labels = name.rstrip(".").split(".")
    try:
        encoded = b"".join(bytes([len(raw)]) + raw for raw in (label.encode("idna") for label in labels))
    except (UnicodeError, ValueError) as error:
        raise Failed("name", f"{name!r} is no name: {error}") from None
    identifier = secrets.randbelow(2**16)
    head = _QUESTION.pack(identifier, 0x0100, 1, 0, 0, 0)
    return head + encoded + b"\0" + struct.pack("!HH", QUERY_TYPES[kind], 1), identifier


def dns_answer(data: bytes, identifier: int, question: bytes) -> Answered | None:
    """Response code and number of answers; None for what answers another question."""
    if len(data) < _QUESTION.size:
        return None
    its_identifier, flags, questions, answers, _, _ = _QUESTION.unpack_from(data)
    asked = data[_QUESTION.size : _QUESTION.size + len(question)]
    if its_identifier != identifier or not flags & 0x8000 or questions != 1:
        return None
    if asked.lower() != question.lower():
        return None
    return Answered(status=flags & 0x000F, answers=answers)


def _parsed(received: bytes, body_bytes: int) -> Answered:
    response = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]  # it only needs makefile
    response.begin()
    try:
        return Answered(response.status, response.read(body_bytes))
    except http.client.IncompleteRead as error:
        return Answered(response.status, bytes(error.partial)[:body_bytes])


class _Received:
    """What was received, as http.client reads it."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BufferedIOBase:
        return io.BytesIO(self._received)


def _look_up(host: str, family: Family, wait_seconds: float) -> str:
    """The first address, by a thread of its own: a silent resolver must not hold the probe."""
    found: list[str] = []
    errors: list[OSError] = []

    def work() -> None:
        try:
            listed = socket.getaddrinfo(host, None, _FAMILIES[family], socket.SOCK_STREAM)
            found.extend(str(each[4][0]) for each in listed)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(wait_seconds)
    if found:
        return found[0]
    raise OSError(f"no {family} address of {host}: {errors[0].strerror if errors else 'no answer in time'}")
