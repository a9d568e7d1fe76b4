"""A packet socket that the kernel hands nothing but router advertisements, with the sender's MAC.

A raw ICMPv6 socket would not tell the MAC. The filter is classic BPF and runs in the kernel; what it refuses
costs no copy and wakes nobody.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import weakref

import msgspec

from agent.ipv6.advertisement import NEXT_FRAGMENT, NEXT_ICMPV6, ROUTER_ADVERTISEMENT

SO_ATTACH_FILTER = 26
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_ALLMULTI = 2
PACKET_STATISTICS = 6
SOL_PACKET = 263
ETH_P_IPV6 = 0x86DD
"""asm-generic/socket.h, linux/if_packet.h, linux/if_ether.h: Python has no names for some of them."""

MOST_BYTES = 2048
BUFFER_BYTES = 64 * 1024

_LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x30, 0x15, 0x06
_NEXT_HEADER_AT, _HOP_LIMIT_AT, _TYPE_AT = 6, 7, 40
FILTER = (
    (_LOAD_BYTE, 0, 0, _HOP_LIMIT_AT),
    (_JUMP_EQUAL, 0, 8, 255),  # no router forwards such a packet
    (_LOAD_BYTE, 0, 0, _NEXT_HEADER_AT),
    (_JUMP_EQUAL, 3, 0, NEXT_ICMPV6),
    (_JUMP_EQUAL, 4, 0, 0),  # behind extension headers an advertisement hides from simple guards: RFC 7113
    (_JUMP_EQUAL, 3, 0, 60),
    (_JUMP_EQUAL, 2, 3, NEXT_FRAGMENT),
    (_LOAD_BYTE, 0, 0, _TYPE_AT),
    (_JUMP_EQUAL, 0, 1, ROUTER_ADVERTISEMENT),
    (_RETURN, 0, 0, MOST_BYTES),
    (_RETURN, 0, 0, 0),
)
"""(code, jump if true, jump if false, value), offsets from the IPv6 header."""


class Heard(msgspec.Struct, frozen=True):
    """One packet from the IPv6 header on, and the sender's MAC."""

    packet: bytes
    mac: str


class Capture:
    """Hears the router advertisements that come in by one interface. Raises PermissionError without
    CAP_NET_RAW, OSError where the interface is absent.
    """

    def __init__(self, interface: str) -> None:
        # protocol 0 hears nothing until it is bound: no packet comes in ahead of the filter
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        weakref.finalize(self, self._socket.close)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            _attach(self._socket)
            self._socket.bind((interface, ETH_P_IPV6))
            _hear_all_multicast(self._socket, socket.if_nametoindex(interface))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> Heard | None:
        """The next packet, None when none waits. Raises OSError when the interface is gone."""
        try:
            packet, (_, _, _, _, mac) = self._socket.recvfrom(MOST_BYTES)
        except BlockingIOError:
            return None
        return Heard(packet, mac.hex(":"))

    def dropped(self) -> int:
        """Packets that passed the filter since the last call and found the buffer full."""
        answer = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("@II", answer)[1])


def _attach(opened: socket.socket) -> None:
    program = b"".join(struct.pack("=HBBI", *step) for step in FILTER)
    held = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(FILTER), ctypes.addressof(held))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)


def _hear_all_multicast(opened: socket.socket, index: int) -> None:
    request = struct.pack("@iHH8s", index, PACKET_MR_ALLMULTI, 0, b"")
    opened.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
