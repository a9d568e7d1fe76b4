"""What the kernel says to a SYN, before we know whose it is: the sender's address may be another's.

A SYN-ACK names the maximum segment size, and of other options only what the SYN offers (RFC 9293, 3.7.1; RFC
7323). So to a SYN that names its own, as every client's does, the answer is no longer than the question.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import socket
import struct
from pathlib import Path

SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
"""asm-generic/socket.h; socket(7)."""
LOAD_BYTE, LOAD_HALF, AND, IF_EQUAL, IF_AT_LEAST, RETURN = 0x30, 0x28, 0x54, 0x15, 0x35, 0x06
"""Classic BPF (linux/filter.h). Loads count from the TCP header on; a jump says how far if so, and if not."""
SYN, SYN_OR_ACK = 0x02, 0x12
SIX_WORDS = 6 << 4
"""The length of a header that has options, as its byte at offset 12 holds it."""
SEGMENT_SIZE_OPTION = 2 << 8 | 4
"""Kind and length of the option, first in the header as all stacks put it."""
DROP, WHOLE = 0, 0xFFFFFFFF
NAMED_SYN_ONLY = (
    (LOAD_BYTE, 0, 0, 13),
    (AND, 0, 0, SYN_OR_ACK),
    (IF_EQUAL, 0, 5, SYN),
    (LOAD_BYTE, 0, 0, 12),
    (IF_AT_LEAST, 0, 2, SIX_WORDS),
    (LOAD_HALF, 0, 0, 20),
    (IF_EQUAL, 1, 0, SEGMENT_SIZE_OPTION),
    (RETURN, 0, 0, DROP),
    (RETURN, 0, 0, WHOLE),
)
SYNACK_RETRIES = Path("/proc/sys/net/ipv4/tcp_synack_retries")

log = logging.getLogger(__name__)


def answer_sparingly(listener: socket.socket) -> None:
    """Let the kernel drop a SYN without that option, and say SYN-ACK at most twice (tcp(7), TCP_SYNCNT).

    Fewer is for the system alone: a machine where tcp_synack_retries is 0 keeps that.
    """
    try:
        _attach(listener)
    except OSError as error:  # 4 bytes more to whom nobody asked for are no reason not to serve
        log.warning("responder answers SYNs without options too: the kernel takes no filter error=%s", error)
    with contextlib.suppress(OSError, ValueError):
        if int(SYNACK_RETRIES.read_text(encoding="ascii")) > 1:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)


def _attach(listener: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *each) for each in NAMED_SYN_ONLY)
    held = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(NAMED_SYN_ONLY), ctypes.addressof(held))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def take_all(accepted: socket.socket) -> None:
    """A connection inherits its listener's filter, which has done its work."""
    with contextlib.suppress(OSError):  # it had none
        accepted.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
