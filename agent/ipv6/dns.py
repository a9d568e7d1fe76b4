"""Check 8: a resolver reached over IPv6 alone answers AAAA. DNS messages from and to bytes (RFC 1035)."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from config.readiness import Finding, failed, passed, unknown

AAAA = 28
A = 1
NS = 2
DNS_PORT = 53
TRIES = 2
_HEAD = struct.Struct("!6H")
_RECURSION_DESIRED = 0x0100
_RESPONSE = 0x8000
_MOST_BYTES = 4096
_MOST_JUMPS = 32
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class NoAnswer(Exception):
    """What came is no answer to the question."""


class Answer(msgspec.Struct, frozen=True):
    """What a resolver said: its code, and the records of the type that was asked for, as text."""

    rcode: str
    records: tuple[str, ...]


def question(identifier: int, name: str, kind: int) -> bytes:
    """A recursive question. Raises ValueError for what is no name."""
    labels = name.rstrip(".").encode("idna").split(b".")
    if not all(1 <= len(label) <= 63 for label in labels):
        raise ValueError(f"{name!r} is no name")
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return _HEAD.pack(identifier, _RECURSION_DESIRED, 1, 0, 0, 0) + encoded + struct.pack("!HH", kind, 1)


def parse_answer(data: bytes, asked: bytes) -> Answer:
    """The records of the asked type. Raises NoAnswer for anything that does not answer ``asked``."""
    try:
        return _parsed(data, asked)
    except (struct.error, IndexError, ValueError) as error:
        raise NoAnswer(f"not understood: {error}") from None


def _parsed(data: bytes, asked: bytes) -> Answer:
    identifier, flags, questions, answers, _, _ = _HEAD.unpack_from(data)
    body = asked[_HEAD.size :]
    if identifier != _HEAD.unpack_from(asked)[0] or not flags & _RESPONSE or questions != 1:
        raise NoAnswer("another message")
    if data[_HEAD.size : _HEAD.size + len(body)].lower() != body.lower():
        raise NoAnswer("another question")
    kind = int.from_bytes(body[-4:-2], "big")
    at, records = _HEAD.size + len(body), []
    for _ in range(answers):
        _, at = _name(data, at)
        its_kind, _, _, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        if at + length > len(data):
            raise NoAnswer("cut off")
        if its_kind == kind:
            records.append(_record(data, at, length, kind))
        at += length
    return Answer(RCODES.get(flags & 0xF, str(flags & 0xF)), tuple(records))


def _record(data: bytes, at: int, length: int, kind: int) -> str:
    if kind == NS:
        return _name(data, at)[0]
    return str(ipaddress.ip_address(data[at : at + length]))


def _name(data: bytes, at: int) -> tuple[str, int]:
    """The name at a place, and where it ends there. Raises NoAnswer for one that points in circles."""
    labels: list[str] = []
    end: int | None = None
    for _ in range(_MOST_JUMPS + 128):
        size = data[at]
        if size == 0:
            return ".".join(labels), end if end is not None else at + 1
        if size >= 0xC0:
            end = at + 2 if end is None else end
            at = (size & 0x3F) << 8 | data[at + 1]
        else:
            labels.append(data[at + 1 : at + 1 + size].decode("ascii", "replace"))
            at += 1 + size
    raise NoAnswer("a name without an end")


def ask(resolver: str, name: str, kind: int, timeout_seconds: float) -> Answer:
    """Ask a resolver, by the family of its address alone. Raises OSError (TimeoutError too) or NoAnswer."""
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    message = question(secrets.randbelow(65536), name, kind)
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        asking.connect(socket.getaddrinfo(resolver, DNS_PORT, family, socket.SOCK_DGRAM)[0][4])
        for _ in range(TRIES):
            asking.send(message)
            answer = _heard(asking, message, timeout_seconds)
            if answer is not None:
                return answer
    raise TimeoutError(f"{resolver} does not answer")


def _heard(asking: socket.socket, message: bytes, timeout_seconds: float) -> Answer | None:
    end = time.monotonic() + timeout_seconds
    while (left := end - time.monotonic()) > 0:
        asking.settimeout(left)
        try:
            return parse_answer(asking.recv(_MOST_BYTES), message)
        except TimeoutError:
            return None
        except NoAnswer:
            continue
    return None


def resolvers_of(resolv_conf: Path) -> list[str]:
    """The name servers of /etc/resolv.conf, at most eight."""
    try:
        lines = resolv_conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = (line.split() for line in lines)
    return [each[1] for each in words if len(each) >= 2 and each[0] == "nameserver"][:8]


def over_ipv6(resolvers: Sequence[str], name: str, timeout_seconds: float) -> Finding:
    """Check 8, with the first of ``resolvers`` that answers."""
    ours = [resolver for resolver in resolvers if ":" in resolver]
    if not ours:
        return unknown(8, "no_resolver")
    if not name:
        return unknown(8, "no_name")
    for resolver in ours:
        try:
            answer = ask(resolver, name, AAAA, timeout_seconds)
        except (OSError, NoAnswer):
            continue
        if answer.records:
            return passed(8, "resolved", resolver=resolver, name=name, address=answer.records[0])
        return failed(8, "no_aaaa", resolver=resolver, name=name, rcode=answer.rcode)
    return failed(8, "resolver_silent", resolver=", ".join(ours))
