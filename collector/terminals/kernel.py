"""What the kernel says of one TCP connection: what the other end acknowledged, and how long its way is."""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

_BYTES = 160


class Connection(msgspec.Struct, frozen=True):
    """Of the kernel's struct tcp_info (linux/tcp.h). ``acknowledged_bytes`` are payload, since the start."""

    acknowledged_bytes: int
    least_rtt_seconds: float | None
    payload_bytes: int
    """Payload of a full segment."""
    packet_bytes: int
    """The path's MTU: what a full segment is at the IP layer."""

    @property
    def ip_share(self) -> float:
        """Octets at the IP layer for each of payload in full segments."""
        return self.packet_bytes / self.payload_bytes


def parse(raw: bytes) -> Connection | None:
    """The struct as it was given; None where the kernel is too old to count (before 4.6)."""
    if len(raw) < _BYTES - 8:
        return None
    payload, packet = struct.unpack_from("=I", raw, 16)[0], struct.unpack_from("=I", raw, 60)[0]
    least_us = struct.unpack_from("=I", raw, 148)[0]
    if not 0 < payload < packet:
        return None
    return Connection(
        acknowledged_bytes=struct.unpack_from("=Q", raw, 120)[0],
        least_rtt_seconds=least_us / 1e6 if 0 < least_us < 2**32 - 1 else None,
        payload_bytes=payload,
        packet_bytes=packet,
    )


def peer(sock: Any) -> str:
    """The address at the other end; empty when it is closed or none is given."""
    try:
        return str(sock.getpeername()[0])
    except (OSError, AttributeError, ValueError, IndexError):
        return ""


def ask(sock: Any) -> Connection | None:
    """Of a socket (or a transport's stand-in for one); None when it is closed or no TCP socket."""
    try:
        return parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES))
    except (OSError, AttributeError, ValueError):  # ValueError: uvloop's word for a closed one
        return None
