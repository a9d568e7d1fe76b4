"""What kernels tell of a connection, old ones and virtual machines' too."""

from __future__ import annotations

import socket
import struct

import pytest

from agent.capacity import tcp
from agent.capacity.tcp import Framing


def raw_info(**numbers: int) -> bytes:
    """A struct tcp_info of Linux 4.19 or later with those counters."""
    places = {"snd_mss": (16, "=I"), "data_segs_in": (152, "=I"), "data_segs_out": (156, "=I"),
              "bytes_received": (128, "=Q"), "bytes_sent": (200, "=Q")}  # fmt: skip
    raw = bytearray(232)
    for name, number in numbers.items():
        offset, form = places[name]
        struct.pack_into(form, raw, offset, number)
    return bytes(raw)


def test_a_kernel_that_does_not_count_sent_bytes_counts_segments() -> None:
    raw = raw_info(snd_mss=1448, data_segs_out=1000, bytes_sent=1_400_000)
    assert tcp.parse_tcp_info(raw).totals.bytes_sent == 1_400_000
    assert tcp.parse_tcp_info(raw[:200]).totals.bytes_sent == 1_448_000


def test_a_kernel_that_counts_no_segments_is_too_old_and_says_so() -> None:
    with pytest.raises(OSError, match=r"Linux 4\.13 and newer"):
        tcp.parse_tcp_info(raw_info(snd_mss=1448)[:160])


def test_headers_are_those_of_the_segments_that_were_on_the_line() -> None:
    framed = Framing(header_bytes=52, payload_bytes=1_448)
    assert framed.ip_bits(144_800, 100) == 8 * 150_000
    assert framed.ip_bits(144_800, 3) == 8 * 150_000  # merged
    assert framed.ip_bits(144_800, 110) == 8 * (144_800 + 110 * 52)  # short ones, or some again


def test_this_kernel_tells_what_a_connection_sent_and_received() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with near, far:
            near.sendall(b"x" * 10_000)
            got = 0
            while got < 10_000:
                got += len(far.recv(10_000))
            assert tcp.tcp_info(near).totals.bytes_sent == 10_000
            assert tcp.tcp_info(far).totals.bytes_received == 10_000
            assert tcp.framing([far], received=True).header_bytes in (40, 52)
