"""The far end of the ICMPv6 checks 9, 10 and 13: a small process with CAP_NET_RAW alone, off by default.

It answers only datagrams that show a ticket, each with at most as many bytes as came, a ticket for at most so
many times, and only to the address that showed it first. ICMPv6 errors quote the agent's own packet, which
the kernel of the agent then takes for its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import socket
import struct
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path

import msgspec

from collector.responder.ticket import KEY_FILE, TicketError, load_key
from config.far_end import SMALLEST_MTU, Ask, Kind, decode_ask, encode_answer, ticket_holds

USES_OF_A_TICKET = 64
TICKETS_REMEMBERED = 10_000
MOST_WAITING = 32
WAIT_SECONDS = 2.0
_MOST_BYTES = 2048
_UDP = 17
_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_ERRORS = {1, 2, 3, 4}

log = logging.getLogger(__name__)


class Start(msgspec.Struct, frozen=True):
    """What the parent hands over: one line of JSON."""

    address: str
    port: int
    key_directory: str


class Asked(msgspec.Struct, frozen=True):
    """One datagram with its addresses, as they stood in the packet."""

    data: bytes
    source: tuple[str, int]
    destination: str
    destination_port: int


def quoted(asked: Asked, hop_limit: int = 64) -> bytes:
    """The packet that an error quotes (RFC 4443 2.4 c): IPv6 and UDP headers as they were, and so much of
    what came that the error is no longer than the packet that asked for it.
    """
    length = 8 + len(asked.data)
    source, destination = (
        socket.inet_pton(socket.AF_INET6, address) for address in (asked.source[0], asked.destination)
    )
    head = struct.pack("!IHBB", 6 << 28, length, _UDP, hop_limit) + source + destination
    udp = struct.pack("!HHHH", asked.source[1], asked.destination_port, length, 0)
    return (head + udp + asked.data)[: min(len(asked.data), SMALLEST_MTU - 40 - 8)]


def error_message(asked: Asked, icmp_type: int, code: int) -> bytes:
    """An ICMPv6 error, its checksum left to the kernel; Packet Too Big says 1280."""
    value = SMALLEST_MTU if icmp_type == 2 else 40 if icmp_type == 4 else 0
    return struct.pack("!BBHI", icmp_type, code, 0, value) + quoted(asked)


class FarEnd:
    """Serves one UDP socket. ``raw`` is an ICMPv6 socket."""

    def __init__(self, served: socket.socket, raw: socket.socket, key: bytes) -> None:
        self._served = served
        self._raw = raw
        self._key = key
        self._port = served.getsockname()[1]
        self._uses: OrderedDict[bytes, tuple[str, int]] = OrderedDict()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)

    def serve(self, until: int) -> None:
        """Answer until the descriptor ``until`` is readable (the parent is gone)."""
        while True:
            ready = select.select([self._served.fileno(), until], [], [])[0]
            if until in ready:
                return
            with contextlib.suppress(OSError):
                self._take()

    def _take(self) -> None:
        data, extras, _, source = self._served.recvmsg(_MOST_BYTES, 64)
        ask = decode_ask(data)
        if ask is None or not self._admits(ask, source[0]):
            return
        told = next((value for level, kind, value in extras if kind == socket.IPV6_PKTINFO), bytes(16))
        destination = socket.inet_ntop(socket.AF_INET6, told[:16])
        self._answer(ask, Asked(data, (source[0], source[1]), destination, self._port))

    def _admits(self, ask: Ask, source: str) -> bool:
        """The ticket is good, not used up, and shown by whoever showed it first."""
        if not ticket_holds(self._key, ask.ticket, time.time()):
            return False
        owner, uses = self._uses.get(ask.ticket, (source, 0))
        if source != owner or uses >= USES_OF_A_TICKET:
            return False
        self._uses[ask.ticket] = owner, uses + 1
        if len(self._uses) > TICKETS_REMEMBERED:
            self._uses.popitem(last=False)
        return True

    def _answer(self, ask: Ask, asked: Asked) -> None:
        match ask.kind:
            case Kind.REPEAT:
                self._say(ask, asked, yes=True, size=len(asked.data))
            case Kind.ERROR if ask.type in _ERRORS:
                self._raw.sendto(error_message(asked, ask.type, ask.code), (asked.source[0], 0))
            case Kind.PING | Kind.CONNECT if self._waiting.acquire(blocking=False):
                threading.Thread(target=self._tried, args=(ask, asked), daemon=True).start()

    def _tried(self, ask: Ask, asked: Asked) -> None:
        try:
            work = ping if ask.kind is Kind.PING else connects
            yes = work(asked.source[0], ask.port)
            with contextlib.suppress(OSError):
                self._say(ask, asked, yes=yes)
        finally:
            self._waiting.release()

    def _say(self, ask: Ask, asked: Asked, *, yes: bool, size: int = 0) -> None:
        """Answer from the address that was asked: a host of several addresses would take another."""
        answer = encode_answer(ask.number, yes=yes, size=size)
        own = socket.inet_pton(socket.AF_INET6, asked.destination) + struct.pack("@I", 0)
        extras = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, own)]
        self._served.sendmsg([answer], extras, 0, asked.source)


def ping(address: str, _port: int) -> bool:
    """One echo request, and whether its reply came in time."""
    mark, identifier = secrets.token_bytes(16), secrets.randbelow(65536)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6) as raw:
        raw.sendto(struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identifier, 1) + mark, (address, 0))
        end = time.monotonic() + WAIT_SECONDS
        while (left := end - time.monotonic()) > 0 and select.select([raw], [], [], left)[0]:
            data = raw.recv(_MOST_BYTES)
            if data[:1] == bytes((_ECHO_REPLY,)) and data[8:24] == mark:
                return True
    return False


def connects(address: str, port: int) -> bool:
    """Whether a TCP connection reaches ``port``: taken or refused by the host itself."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as out:
        out.settimeout(WAIT_SECONDS)
        try:
            out.connect((address, port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def open_sockets(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """The UDP socket and the raw one. Raises OSError (PermissionError without CAP_NET_RAW)."""
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
    served = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    served.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    served.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    served.bind((address, port))
    return served, raw


def main() -> None:
    """Serve as the line on standard input says, until that is closed."""
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=Start)
    try:
        key = load_key(Path(start.key_directory) / KEY_FILE)
        served, raw = open_sockets(start.address, start.port)
    except PermissionError:
        say("error: the far end of the ICMPv6 checks needs CAP_NET_RAW")
        return
    except (OSError, TicketError) as error:
        say(f"error: {error}")
        return
    say(f"listening port={served.getsockname()[1]}")
    FarEnd(served, raw, key).serve(sys.stdin.fileno())
    os._exit(0)


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
