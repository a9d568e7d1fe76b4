"""Checks 9, 10 and 13 with the far end: it answers our datagrams, and the kernel tells what came of them.

Errors arrive in a UDP socket's error queue, so this side needs no privilege at all.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence

import msgspec

from agent.link import Link, LinkError
from agent.probe import Site
from agent.settings import Secret
from config.far_end import (
    ERRORS,
    EXCHANGE_BYTES,
    LARGE_BYTES,
    PATH,
    SMALLEST_MTU,
    TICKET_BYTES,
    Ask,
    Grant,
    Kind,
    decode_answer,
    encode_ask,
)
from config.readiness import Finding, failed, passed, unknown

IPV6_RECVERR = 25
IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, IPV6_PMTUDISC_WANT = 23, 2, 1
IPV6_MTU = 24
SO_EE_ORIGIN_ICMP6 = 3
"""linux/in6.h, linux/errqueue.h: Python has no names for them."""

TRIES = 3
_EXTENDED_ERROR = struct.Struct("@IBBBBII")
_HEADERS_BYTES = 48
_MOST_BYTES = 4096
_HTTP_SECONDS = 5.0
_POLL_SECONDS = 0.02


class Unavailable(Exception):
    """There is no far end to ask; ``code`` is the finding's."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def granted(site: Site) -> Grant:
    """Ask the collector for a ticket. Raises Unavailable."""
    token = site.token()
    if not site.collector_url or not token:
        raise Unavailable("no collector")
    link = Link(site.collector_url, Secret(token), _HTTP_SECONDS, site.collector_ca_file)
    try:
        answer = link.post(PATH, b"{}", {"Content-Type": "application/json"})
        if answer.status != 200:
            raise Unavailable(f"the collector answers {answer.status}")
        grant = msgspec.json.decode(answer.body, type=Grant)
        if len(bytes.fromhex(grant.ticket)) != TICKET_BYTES:
            raise Unavailable("the collector gave no ticket")
    except (LinkError, msgspec.DecodeError, ValueError) as error:
        raise Unavailable(str(error)) from None
    finally:
        link.close()
    return grant


class FarEnd:
    """A far end that was granted, over IPv6 and nothing else. Raises OSError where there is no way to it."""

    def __init__(self, grant: Grant, timeout_seconds: float) -> None:
        self._ticket = bytes.fromhex(grant.ticket)
        self._timeout = timeout_seconds
        self._number = 0
        found = socket.getaddrinfo(grant.host, grant.port, socket.AF_INET6, socket.SOCK_DGRAM)
        self._where = found[0][4]

    @contextlib.contextmanager
    def _asking(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            asking.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            asking.connect(self._where)
            asking.setblocking(False)
            yield asking

    def path_mtu(self) -> Finding:
        """Check 9: a Packet Too Big comes through, the path MTU falls, and a large exchange completes.

        From then on the kernel holds the path to the far end for 1280 bytes, as long as its own table says
        (10 minutes): a run within that time begins with the fall seen already.
        """
        with self._asking() as asking:
            asking.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT)
            for _ in range(TRIES):
                self._send(asking, Kind.ERROR, icmp_type=2, size=LARGE_BYTES - _HEADERS_BYTES)
                if self._falls(asking):
                    break
            else:
                return failed(9, "too_big_lost")
        whole = self._asked(Kind.REPEAT, size=EXCHANGE_BYTES - _HEADERS_BYTES)
        if whole is None:
            return failed(9, "exchange_lost", bytes=EXCHANGE_BYTES)
        return passed(9, "path_mtu", bytes=EXCHANGE_BYTES, mtu=SMALLEST_MTU)

    def _falls(self, asking: socket.socket) -> bool:
        end = time.monotonic() + self._timeout / TRIES
        while time.monotonic() < end:
            if asking.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU) <= SMALLEST_MTU:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def require_answer(self) -> None:
        """See that a small datagram comes back at all. Raises Unavailable."""
        if self._asked(Kind.REPEAT) is not True:
            raise Unavailable("it does not answer over IPv6")

    def icmpv6(self) -> Finding:
        """Check 10: every error that must pass does, and echo both ways."""
        lost = list(ERRORS)
        for _ in range(TRIES):
            lost = self._lost(lost)
        if lost:
            listed = ", ".join(f"{kind}/{code}" for kind, code in lost)
            return failed(10, "errors_lost", errors=listed)
        if self._asked(Kind.PING) is not True:
            return failed(10, "echo_in_lost")
        return passed(10, "icmpv6_passes", errors=len(ERRORS))

    def _lost(self, asked: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Ask for each error by a socket of its own; those that did not come in time."""
        with contextlib.ExitStack() as stack:
            waiting = {error: stack.enter_context(self._asking()) for error in asked}
            for (icmp_type, code), asking in waiting.items():
                self._send(asking, Kind.ERROR, icmp_type=icmp_type, code=code)
            end = time.monotonic() + self._timeout / TRIES
            while waiting and time.monotonic() < end:
                waiting = {error: asking for error, asking in waiting.items() if error not in _errors(asking)}
                time.sleep(_POLL_SECONDS)
            return list(waiting)

    def inbound(self) -> Finding:
        """Check 13, from a host in the LAN: a TCP connection that nobody asked for stays out."""
        with self._asking() as asking:
            address = str(asking.getsockname()[0])
        if not ipaddress.IPv6Address(address).is_global and not address.startswith("2001:db8:"):
            return unknown(13, "needs_responder")
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listening:
            listening.bind((address, 0))
            listening.listen(1)
            port = int(listening.getsockname()[1])
            reached = self._asked(Kind.CONNECT, port=port, seconds=2 * self._timeout + 1)
        if reached is None:
            return unknown(13, "far_end_silent")
        if reached:
            return failed(13, "inbound_open", address=address, port=port)
        return passed(13, "inbound_closed", address=address)

    def _asked(self, kind: Kind, *, port: int = 0, size: int = 0, seconds: float = 0.0) -> bool | None:
        """The far end's answer, None when there was none."""
        for _ in range(TRIES):
            with self._asking() as asking:
                number = self._send(asking, kind, port=port, size=size)
                answer = self._answer(asking, number, seconds or self._timeout + 1)
                if answer is not None:
                    return answer
        return None

    def _answer(self, asking: socket.socket, number: int, seconds: float) -> bool | None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([asking], [], [], left)[0]:
            try:
                answer = decode_answer(asking.recv(_MOST_BYTES))
            except OSError:
                list(_errors(asking))
                continue
            if answer is not None and answer[0] == number:
                return answer[1]
        return None

    def _send(
        self,
        asking: socket.socket,
        kind: Kind,
        *,
        icmp_type: int = 0,
        code: int = 0,
        port: int = 0,
        size: int = 0,
    ) -> int:
        self._number = (self._number + 1) % 256
        ask = Ask(kind, self._ticket, icmp_type, code, port, self._number)
        try:
            asking.send(encode_ask(ask, size))
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM, errno.EMSGSIZE}:
                return self._number
            asking.send(encode_ask(ask, size))  # an error of the last datagram came up here: once more
        return self._number


def _errors(asking: socket.socket) -> Iterator[tuple[int, int]]:
    """Type and code of each ICMPv6 error that waits."""
    while True:
        try:
            _, extras, _, _ = asking.recvmsg(_MOST_BYTES, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return
        for level, kind, data in extras:
            if level == socket.IPPROTO_IPV6 and kind == IPV6_RECVERR and len(data) >= _EXTENDED_ERROR.size:
                _, origin, icmp_type, code, _, _, _ = _EXTENDED_ERROR.unpack_from(data)
                if origin == SO_EE_ORIGIN_ICMP6:
                    yield icmp_type, code
