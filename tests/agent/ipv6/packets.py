"""Router advertisements as bytes, right or wrong in one way."""

from __future__ import annotations

import ipaddress
import socket
import struct

from agent.network.icmp import checksum

ROUTER = "fe80::1"
PREFIX = "2001:db8:bad::"


def option(kind: int, body: bytes) -> bytes:
    return bytes((kind, (len(body) + 2) // 8)) + body


def prefix(network: str = PREFIX, length: int = 64, flags: int = 0xC0, valid: int = 86400) -> bytes:
    body = struct.pack("!BBIII", length, flags, valid, 14400, 0) + ipaddress.IPv6Address(network).packed
    return option(3, body)


def rdnss(lifetime: int, *servers: str) -> bytes:
    packed = b"".join(ipaddress.IPv6Address(server).packed for server in servers)
    return option(25, struct.pack("!HI", 0, lifetime) + packed)


def message(*options: bytes, lifetime: int = 1800, flags: int = 0, code: int = 0) -> bytes:
    return struct.pack("!BBHBBHII", 134, code, 0, 64, flags, lifetime, 0, 0) + b"".join(options)


def packet(
    body: bytes,
    *,
    source: str = ROUTER,
    hops: int = 255,
    extension: bytes = b"",
    first: int = 58,
    spoil: int = 0,
) -> bytes:
    """An IPv6 packet around an ICMPv6 message, its checksum right unless ``spoil`` is added."""
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "ff02::1")
    total = checksum(addresses + struct.pack("!II", len(body), 58) + body)
    body = body[:2] + struct.pack("!H", (total + spoil) & 0xFFFF) + body[4:]
    payload = extension + body
    return struct.pack("!IHBB", 6 << 28, len(payload), first, hops) + addresses + payload
