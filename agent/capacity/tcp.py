"""TCP streams that carry a test's load: filling, draining, pacing, and what the kernel counted.

The interpreter never touches the bytes: the sender uses sendfile(2) from memory, the receiver discards with
MSG_TRUNC (tcp(7)), and both count by TCP_INFO, so that a rate is what the receiver's kernel got and when.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence

import msgspec

CHUNK_BYTES = 1024 * 1024
SO_MAX_PACING_RATE = 47
"""asm-generic/socket.h; socket(7) since Linux 3.13. Paces TCP without a queue discipline or a privilege."""
TCP_NOTSENT_LOWAT = 25
"""tcp(7): how much may wait unsent in a socket's buffer; Python has no name for it."""
MOST_UNSENT_BYTES = 1024 * 1024
TIMESTAMP_BYTES = 12
"""RFC 7323: 10 bytes of option and 2 of padding in every segment."""
_TCPI_OPT_TIMESTAMPS = 1
_IP_AND_TCP_BYTES = {socket.AF_INET: 20 + 20, socket.AF_INET6: 40 + 20}


class Totals(msgspec.Struct, frozen=True):
    """Counters of one stream or of several together, as TCP_INFO has them; bytes are payload."""

    bytes_received: int = 0
    segments_received: int = 0
    bytes_sent: int = 0
    segments_sent: int = 0
    segments_retransmitted: int = 0
    busy_microseconds: int = 0
    window_limited_microseconds: int = 0
    segments_duplicate: int = 0
    """Of those sent: what the receiver says it got twice (RFC 2883)."""

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(a + b for a, b in _pairs(self, other)))

    def __sub__(self, other: Totals) -> Totals:
        return Totals(*(a - b for a, b in _pairs(self, other)))


def _pairs(first: Totals, second: Totals) -> zip[tuple[int, int]]:
    return zip(msgspec.structs.astuple(first), msgspec.structs.astuple(second), strict=True)


class TcpInfo(msgspec.Struct, frozen=True):
    """What a test needs of the kernel's struct tcp_info (linux/tcp.h); payload of a segment each way."""

    timestamps: bool
    sent_segment_bytes: int
    received_segment_bytes: int
    totals: Totals


class TooOldError(OSError):
    """The kernel counts too little for a test."""

    def __init__(self) -> None:
        what = "this kernel counts too little of a connection; Linux 4.13 and newer do"
        super().__init__(errno.EOPNOTSUPP, what)


class Framing(msgspec.Struct, frozen=True):
    """A connection's segments: bytes of their IP and TCP headers, options included, and of their payload."""

    header_bytes: int
    payload_bytes: int

    def ip_bits(self, payload: float, segments: float) -> float:
        """So much payload in so many segments, at the IP layer. Where a virtual machine's host handed several
        over as one, they were more.
        """
        return 8.0 * (payload + self.header_bytes * max(segments, payload / self.payload_bytes))


_TCP_INFO_BYTES = 232
_COUNTS_WAITING = 192
_COUNTS_SENT_BYTES = 208
"""How long the structure is since Linux 4.10, which counts segments and what a window held back, and since
4.19. Pacing without a queue discipline came between, with 4.13.
"""
_U32 = {"snd_mss": 16, "rcv_mss": 20, "total_retrans": 100, "data_segs_in": 152, "data_segs_out": 156,
        "dsack_dups": 216}  # fmt: skip
_U64 = {"bytes_received": 128, "busy": 168, "rwnd_limited": 176, "sndbuf_limited": 184, "bytes_sent": 200}


def parse_tcp_info(raw: bytes) -> TcpInfo:
    """The kernel's struct tcp_info. Raises TooOldError."""
    if len(raw) < _COUNTS_WAITING:
        raise TooOldError
    counts_sent_bytes = len(raw) >= _COUNTS_SENT_BYTES
    raw = raw.ljust(_TCP_INFO_BYTES, b"\0")
    small = {name: struct.unpack_from("=I", raw, offset)[0] for name, offset in _U32.items()}
    large = {name: struct.unpack_from("=Q", raw, offset)[0] for name, offset in _U64.items()}
    return TcpInfo(
        timestamps=bool(raw[5] & _TCPI_OPT_TIMESTAMPS),
        sent_segment_bytes=small["snd_mss"],
        received_segment_bytes=small["rcv_mss"],
        totals=Totals(
            bytes_received=large["bytes_received"],
            segments_received=small["data_segs_in"],
            bytes_sent=large["bytes_sent"]
            if counts_sent_bytes
            else small["data_segs_out"] * small["snd_mss"],
            segments_sent=small["data_segs_out"],
            segments_retransmitted=small["total_retrans"],
            busy_microseconds=large["busy"],
            window_limited_microseconds=large["rwnd_limited"] + large["sndbuf_limited"],
            segments_duplicate=small["dsack_dups"],
        ),
    )


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Ask the kernel. Raises OSError on a closed socket, TooOldError where it counts too little."""
    return parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES))


def totals_of(socks: Sequence[socket.socket]) -> Totals:
    """The streams' counters together."""
    return sum((tcp_info(sock).totals for sock in socks), Totals())


def framing(socks: Sequence[socket.socket], *, received: bool = False) -> Framing:
    """Of what connections of one path send, or of what they have ``received`` until now: a connection that
    received nothing yet does not know.
    """
    infos = [tcp_info(sock) for sock in socks]
    header = _IP_AND_TCP_BYTES[socks[0].family] + (TIMESTAMP_BYTES if infos[0].timestamps else 0)
    payloads = [info.received_segment_bytes if received else info.sent_segment_bytes for info in infos]
    return Framing(header, max(1, *payloads))


def sent_once_bits(sender: Totals, framed: Framing) -> float:
    """What a sender sent at the IP layer, without what it sent again."""
    whole = framed.ip_bits(sender.bytes_sent, sender.segments_sent)
    return whole * (1 - sender.segments_retransmitted / max(1, sender.segments_sent))


def pace(socks: Sequence[socket.socket], ip_bits_per_second: float) -> None:
    """Hold the streams together to a rate at the IP layer.

    The kernel paces payload, so the headers' share is taken off. A rate that does not fit 32 bits is given
    in 64, which Linux takes since 4.20.
    """
    for sock in socks:
        framed = framing([sock])
        share = framed.payload_bytes / (framed.payload_bytes + framed.header_bytes)
        rate = max(1, round(ip_bits_per_second * share / 8 / len(socks)))
        sock.setsockopt(
            socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=I" if rate < 2**32 else "=Q", rate)
        )


def congestion_control(sock: socket.socket) -> str:
    """The algorithm that this socket sends by."""
    raw: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return raw.rstrip(b"\0").decode("ascii")


def choose_congestion_control(socks: Sequence[socket.socket], name: str | None) -> None:
    """Send by that algorithm; None keeps the host's own. Raises OSError when the kernel refuses."""
    for sock in socks if name else ():
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, (name or "").encode())


class Budget:
    """Bytes that streams may still send, shared between their threads."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._lock = threading.Lock()

    def take(self, most: int) -> int:
        """Up to ``most`` bytes; 0 when the budget is spent."""
        with self._lock:
            taken = min(most, self._left)
            self._left -= taken
            return taken

    def give_back(self, unused: int) -> None:
        """Bytes taken and not sent."""
        with self._lock:
            self._left += unused

    @property
    def spent(self) -> bool:
        """True once nothing is left."""
        return self._left <= 0


class Load:
    """The streams of one test and a thread for each, which fills or drains it until told to stop."""

    def __init__(self, socks: Sequence[socket.socket]) -> None:
        self.socks = tuple(socks)
        self._threads: list[threading.Thread] = []
        self._before = totals_of(self.socks)
        self._after: Totals | None = None
        self._source: int | None = None
        self._budget: Budget | None = None
        self._stopping = threading.Lock()

    def fill(self, budget: Budget) -> None:
        """Send until the budget is spent or the load is stopped."""
        self._budget = budget
        source = self._source = _source()
        for sock in self.socks:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, MOST_UNSENT_BYTES)
        self._start("fill", lambda sock: _fill(sock, source, budget))

    def drain(self) -> None:
        """Receive and discard."""
        buffer = bytearray(CHUNK_BYTES)  # never written to: MSG_TRUNC leaves its pages untouched
        self._start("drain", lambda sock: _drain(sock, buffer))

    def totals(self) -> Totals:
        """What the streams moved since the load was made."""
        return self._after if self._after is not None else totals_of(self.socks) - self._before

    @property
    def ended(self) -> bool:
        """True once every stream's thread is done: the budget spent, or the other end gone."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def cut(self) -> bool:
        """True when a stream ended before its time: the others do not make up for it."""
        whole = all(thread.is_alive() for thread in self._threads)
        return not whole and not (self._budget is not None and self._budget.spent)

    def wake_every(self, payload_bytes: int) -> None:
        """Let draining threads sleep until so much has come: 1 Gbit/s has 80,000 segments a second."""
        for sock in self.socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(1, payload_bytes // len(self.socks)))

    def stop(self) -> None:
        """Abort the streams: what is still queued is dropped (RST), so that nothing flows after a test."""
        with self._stopping:
            if self._after is None:
                self._after = self.totals()
                self._abort()

    def _abort(self) -> None:
        for sock in self.socks:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self.socks:
            sock.close()
        if self._source is not None:
            os.close(self._source)
            self._source = None

    def _start(self, name: str, work: Callable[[socket.socket], None]) -> None:
        for sock in self.socks:
            sock.settimeout(None)
            thread = threading.Thread(target=work, args=(sock,), name=f"capacity {name}", daemon=True)
            self._threads.append(thread)
            thread.start()


def quiet_bytes(received: int, seconds: float) -> int:
    """What comes in 2 ms at the mean rate so far: a receiver need not wake more often."""
    return min(CHUNK_BYTES // 4, round(received / max(seconds, 0.001) * 0.002))


def _source() -> int:
    """A file in memory of bytes that no box on the way can compress."""
    file = os.memfd_create("capacity")
    os.write(file, os.urandom(CHUNK_BYTES))
    return file


def _fill(sock: socket.socket, source: int, budget: Budget) -> None:
    while size := budget.take(CHUNK_BYTES):
        try:
            sent = os.sendfile(sock.fileno(), source, 0, size)
        except OSError:
            budget.give_back(size)
            return
        budget.give_back(size - sent)


def _drain(sock: socket.socket, buffer: bytearray) -> None:
    with contextlib.suppress(OSError):
        while sock.recv_into(buffer, CHUNK_BYTES, socket.MSG_TRUNC):
            pass
