"""ICMP echo: packets (pure), and the sockets that carry them. RFC 792, RFC 4443."""

from __future__ import annotations

import errno
import secrets
import socket
import struct
import weakref
from typing import Literal

import msgspec

Family = Literal["ipv4", "ipv6"]
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")

TOKEN_BYTES = 24
PAYLOAD_BYTES = 56
_FILLING = bytes(range(PAYLOAD_BYTES - TOKEN_BYTES))
_HEADER = struct.Struct("!BBHHH")
_TIMESPEC = struct.Struct("@ll")
_REQUEST = {"ipv4": 8, "ipv6": 128}
_REPLY = {"ipv4": 0, "ipv6": 129}

SO_TIMESTAMPNS = 35
SO_BINDTODEVICE = 25
SOL_RAW = 255
ICMP_FILTER = 1
SOL_ICMPV6 = 58
ICMP6_FILTER = 1
"""asm-generic/socket.h, linux/icmp.h, linux/icmpv6.h: Python has no names for them."""

_MOST_BYTES = 2048
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
"""This host knows no way to the target: a probe into a line that is cut. It counts as sent and lost."""


class NotPermitted(Exception):
    """Neither ICMP datagram sockets nor raw sockets may be opened."""


class Reply(msgspec.Struct, frozen=True):
    """One echo reply. ``kernel_wall_ns`` is when the kernel received it, None where it does not tell."""

    sequence: int
    payload: bytes
    source: str
    kernel_wall_ns: int | None


def interface_index(name: str) -> int:
    """The kernel's number of an interface. Raises OSError with ENODEV where there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise OSError(errno.ENODEV, f"no interface {name}") from None


def new_payload() -> bytes:
    """The payload of one probe: a random token and a fixed filling."""
    return secrets.token_bytes(TOKEN_BYTES) + _FILLING


def request(family: Family, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request; the kernel fills in ICMPv6's checksum."""
    head = _HEADER.pack(_REQUEST[family], 0, 0, identifier, sequence)
    if family == "ipv4":
        head = _HEADER.pack(_REQUEST[family], 0, checksum(head + payload), identifier, sequence)
    return head + payload


def parse_reply(
    family: Family, data: bytes, *, identifier: int | None, raw: bool
) -> tuple[int, bytes] | None:
    """Sequence and payload of an echo reply; None for anything else.

    ``identifier`` is None on a datagram socket, where the kernel has matched it. Raw IPv4 sockets deliver the
    IP header too.
    """
    if raw and family == "ipv4":
        if len(data) < 20 or data[0] >> 4 != 4:
            return None
        data = data[4 * (data[0] & 0x0F) :]
    if len(data) < _HEADER.size:
        return None
    kind, code, _, its_identifier, sequence = _HEADER.unpack_from(data)
    if kind != _REPLY[family] or code != 0 or (identifier is not None and its_identifier != identifier):
        return None
    return sequence, data[_HEADER.size :]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


class EchoSocket:
    """A non-blocking socket for echo requests of one family, bound to an interface when one is named.

    Datagram sockets where ``net.ipv4.ping_group_range`` allows them, raw ones else. Raises NotPermitted, or
    OSError where the family or the interface is absent.
    """

    def __init__(self, family: Family, interface: str | None = None) -> None:
        self.family = family
        self._socket, self._raw = _opened(family)
        weakref.finalize(self, self._socket.close)
        self._identifier = secrets.randbelow(0xFFFF) + 1
        try:
            self._prepare(interface)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, address: str, sequence: int, payload: bytes) -> bool:
        """Send one request. False when this host knows no way to ``address``.

        Raises OSError for what says nothing about the line (a firewall of this host, no buffers).
        """
        packet = request(self.family, self._identifier, sequence, payload)
        try:
            self._socket.sendto(packet, _socket_address(self.family, address))
        except OSError as error:
            if error.errno in _NO_WAY:
                return False
            raise
        return True

    def receive(self) -> Reply | None:
        """The next packet that waits, None when it is no reply. Raises BlockingIOError: none waits."""
        try:
            data, extras, flags, source = self._socket.recvmsg(_MOST_BYTES, socket.CMSG_SPACE(_TIMESPEC.size))
        except BlockingIOError:
            raise
        except OSError:
            return None
        if flags & socket.MSG_TRUNC:
            return None
        identifier = self._identifier if self._raw else None
        parsed = parse_reply(self.family, data, identifier=identifier, raw=self._raw)
        return None if parsed is None else Reply(*parsed, str(source[0]), _kernel_time(extras))

    def _prepare(self, interface: str | None) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if interface is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode() + b"\0")
        if self._raw:
            _keep_replies_only(self._socket, self.family)


def _opened(family: Family) -> tuple[socket.socket, bool]:
    address_family = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if family == "ipv4" else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(
                address_family, kind | socket.SOCK_CLOEXEC, protocol
            ), kind == socket.SOCK_RAW
        except PermissionError:
            continue
    raise NotPermitted("needs CAP_NET_RAW, or net.ipv4.ping_group_range that includes the agent's group")


def _keep_replies_only(opened: socket.socket, family: Family) -> None:
    """A bit that is set blocks that ICMP type."""
    if family == "ipv4":
        opened.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("@I", 0xFFFFFFFF & ~(1 << _REPLY["ipv4"])))
        return
    blocked = [0xFFFFFFFF] * 8
    blocked[_REPLY["ipv6"] >> 5] &= ~(1 << (_REPLY["ipv6"] & 31))
    opened.setsockopt(SOL_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *blocked))


def _socket_address(family: Family, address: str) -> tuple[str, int] | tuple[str, int, int, int]:
    if family == "ipv4":
        return (address, 0)
    plain, _, zone = address.partition("%")
    return (plain, 0, 0, interface_index(zone) if zone else 0)


def _kernel_time(extras: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in extras:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 10**9 + int(nanoseconds)
    return None
