"""Router advertisements from their bytes, as strictly as RFC 4861 6.1.2 asks. Pure."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

import msgspec

from agent.network.icmp import checksum

ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
SOLICITATION = struct.pack("!BBHI", ROUTER_SOLICITATION, 0, 0, 0)
"""The kernel fills in the checksum (RFC 3542 3.1)."""

IPV6_HEADER_BYTES = 40
NEXT_ICMPV6 = 58
NEXT_FRAGMENT = 44
_NEXT_OPTIONS = (0, 60)
_MOST_EXTENSIONS = 8
_HOP_LIMIT = 255
_HEAD = struct.Struct("!BBHBBHII")
_MANAGED, _OTHER = 0x80, 0x40
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_SOURCE_LINK_ADDRESS, _PREFIX, _INTERVAL, _RDNSS = 1, 3, 7, 25
"""Options of RFC 4861 4.6, RFC 6275 7.3 and RFC 8106 5.1."""


class Malformed(ValueError):
    """Hosts must ignore these bytes; the text says why."""


class Prefix(msgspec.Struct, frozen=True):
    """One Prefix Information option; lifetimes in seconds."""

    network: ipaddress.IPv6Network
    on_link: bool
    autonomous: bool
    valid_seconds: int
    preferred_seconds: int


class Rdnss(msgspec.Struct, frozen=True):
    """One Recursive DNS Server option."""

    servers: tuple[ipaddress.IPv6Address, ...]
    lifetime_seconds: int


class Advertisement(msgspec.Struct, frozen=True):
    """One router advertisement. ``interval_seconds`` is its MaxRtrAdvInterval, where the router says it."""

    router: ipaddress.IPv6Address
    lifetime_seconds: int
    managed: bool = False
    other: bool = False
    prefixes: tuple[Prefix, ...] = ()
    rdnss: tuple[Rdnss, ...] = ()
    interval_seconds: float | None = None
    link_address: str = ""


def parse(packet: bytes) -> Advertisement | None:
    """An IPv6 packet → the advertisement in it; None for another message. Raises Malformed."""
    if len(packet) < IPV6_HEADER_BYTES or packet[0] >> 4 != 6:
        raise Malformed("no IPv6 packet")
    length = int.from_bytes(packet[4:6], "big")
    if len(packet) < IPV6_HEADER_BYTES + length:
        raise Malformed("the packet is cut off")
    router = ipaddress.IPv6Address(packet[8:24])
    message = _icmpv6(packet[6], packet[IPV6_HEADER_BYTES : IPV6_HEADER_BYTES + length])
    if message is None or not message or message[0] != ROUTER_ADVERTISEMENT:
        return None
    if packet[7] != _HOP_LIMIT:
        raise Malformed("hop limit is not 255: it came through a router")
    if not router.is_link_local:
        raise Malformed("the source is not link-local")
    pseudo = packet[8:40] + struct.pack("!II", len(message), NEXT_ICMPV6)
    if checksum(pseudo + message) not in (0, 0xFFFF):
        raise Malformed("wrong checksum")
    return parse_message(router, message)


def parse_message(router: ipaddress.IPv6Address, message: bytes) -> Advertisement:
    """The ICMPv6 message of an advertisement, its checksum seen to. Raises Malformed."""
    if len(message) < _HEAD.size:
        raise Malformed("shorter than 16 bytes")
    _, code, _, _, flags, lifetime, _, _ = _HEAD.unpack_from(message)
    if code != 0:
        raise Malformed("code is not 0")
    options = list(_options(message[_HEAD.size :]))
    return Advertisement(
        router,
        lifetime,
        bool(flags & _MANAGED),
        bool(flags & _OTHER),
        tuple(_prefix(body) for kind, body in options if kind == _PREFIX and len(body) == 30),
        tuple(_rdnss(body) for kind, body in options if kind == _RDNSS and len(body) >= 22),
        next((_interval(body) for kind, body in options if kind == _INTERVAL and len(body) == 6), None),
        next((body[:6].hex(":") for kind, body in options if kind == _SOURCE_LINK_ADDRESS), ""),
    )


def _icmpv6(kind: int, body: bytes) -> bytes | None:
    """The ICMPv6 message behind any options headers, None for another protocol.

    Raises Malformed for fragments, which no router discovery may use (RFC 6980), and for endless headers.
    """
    for _ in range(_MOST_EXTENSIONS):
        if kind == NEXT_ICMPV6:
            return body
        if kind == NEXT_FRAGMENT:
            raise Malformed("fragmented (RFC 6980)")
        if kind not in _NEXT_OPTIONS:
            return None
        if len(body) < 8 or len(body) < 8 * (body[1] + 1):
            raise Malformed("an extension header is cut off")
        kind, body = body[0], body[8 * (body[1] + 1) :]
    raise Malformed("too many extension headers")


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        if len(data) < 2 or data[1] == 0:
            raise Malformed("an option of length 0")
        size = 8 * data[1]
        if size > len(data):
            raise Malformed("an option is cut off")
        yield data[0], data[2:size]
        data = data[size:]


def _prefix(body: bytes) -> Prefix:
    length, flags, valid, preferred = struct.unpack_from("!BBII", body)
    if length > 128:
        raise Malformed("a prefix longer than 128 bits")
    network = ipaddress.IPv6Network((body[14:30], length), strict=False)
    return Prefix(network, bool(flags & _ON_LINK), bool(flags & _AUTONOMOUS), valid, preferred)


def _rdnss(body: bytes) -> Rdnss:
    lifetime = int.from_bytes(body[2:6], "big")
    listed = body[6:]
    servers = tuple(ipaddress.IPv6Address(listed[at : at + 16]) for at in range(0, len(listed) - 15, 16))
    return Rdnss(servers, lifetime)


def _interval(body: bytes) -> float:
    return int.from_bytes(body[2:6], "big") / 1000
