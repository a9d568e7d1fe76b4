"""The kernel's neighbour tables, asked by netlink without privilege (RFC 4861; linux/neighbour.h)."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

import msgspec

RTM_NEWNEIGH = 28
RTM_GETNEIGH = 30
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR = 2
NLMSG_DONE = 3
NDA_DST = 1
NDA_LLADDR = 2
NDA_CACHEINFO = 3

REACHABLE = 0x02
STALE = 0x04
DELAY = 0x08
PROBE = 0x10
FAILED = 0x20
PERMANENT = 0x80

_MESSAGE = struct.Struct("=IHHII")
_NEIGHBOUR = struct.Struct("=BxHiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_ADDRESS_BYTES = {socket.AF_INET: 4, socket.AF_INET6: 16}
_ANSWER_BYTES = 256 * 1024
_MOST_ANSWERS = 64
_TIMEOUT_SECONDS = 2.0


class Neighbour(msgspec.Struct, frozen=True):
    """One entry: how the kernel thinks of it, how long ago it last confirmed it (None where not told), and
    its MAC (empty where it has not answered).
    """

    interface_index: int
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    state: int
    confirmed_seconds: float | None = None
    mac: str = ""

    def answers(self, recent_seconds: float) -> bool | None:
        """True when it answered within ``recent_seconds``, False when it was asked and did not, else None."""
        if self.state & (REACHABLE | PERMANENT):
            return True
        if self.state & FAILED:
            return False
        known = self.state & (STALE | DELAY | PROBE) and self.confirmed_seconds is not None
        return True if known and (self.confirmed_seconds or 0.0) <= recent_seconds else None


def read_neighbours(family: int = socket.AF_INET6) -> list[Neighbour]:
    """Neighbours of the calling thread's network namespace, of IPv6 or (AF_INET) IPv4. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
        netlink.settimeout(_TIMEOUT_SECONDS)
        netlink.bind((0, 0))
        body = _NEIGHBOUR.pack(family, 0, 0, 0, 0, 0)
        head = _MESSAGE.pack(_MESSAGE.size + len(body), RTM_GETNEIGH, NLM_F_REQUEST_DUMP, 1, 0)
        netlink.sendto(head + body, (0, 0))
        found: list[Neighbour] = []
        for _ in range(_MOST_ANSWERS):
            answer = netlink.recv(_ANSWER_BYTES)
            found += parse_neighbours(answer)
            if _is_last(answer):
                break
        return found


def parse_neighbours(data: bytes, ticks_a_second: int | None = None) -> list[Neighbour]:
    """One netlink answer → its neighbours; what is cut off or of another kind is passed over."""
    ticks = ticks_a_second or os.sysconf("SC_CLK_TCK")
    return [
        neighbour
        for kind, body in _messages(data)
        if kind == RTM_NEWNEIGH and (neighbour := _neighbour(body, ticks)) is not None
    ]


def _neighbour(body: bytes, ticks: int) -> Neighbour | None:
    if len(body) < _NEIGHBOUR.size:
        return None
    family, _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
    attributes = dict(_attributes(body[_NEIGHBOUR.size :]))
    address = attributes.get(NDA_DST, b"")
    if len(address) != _ADDRESS_BYTES.get(family):
        return None
    cache = attributes.get(NDA_CACHEINFO, b"")
    confirmed = struct.unpack_from("=I", cache)[0] / ticks if len(cache) >= 4 else None
    mac = attributes.get(NDA_LLADDR, b"").hex(":")
    return Neighbour(index, ipaddress.ip_address(address), state, confirmed, mac)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _MESSAGE.size:
        length, kind, _, _, _ = _MESSAGE.unpack_from(data)
        if not _MESSAGE.size <= length <= len(data):
            return
        yield kind, data[_MESSAGE.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _is_last(answer: bytes) -> bool:
    return any(kind in {NLMSG_DONE, NLMSG_ERROR} for kind, _ in _messages(answer)) or not answer


def _aligned(length: int) -> int:
    return (length + 3) & ~3
