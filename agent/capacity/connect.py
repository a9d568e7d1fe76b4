"""Connections of one test: the asked family and no other, bound to the asked line.

A socket is bound to the line's interface, so that no route can lead it elsewhere. A kernel that refuses that
(before 5.7 without CAP_NET_RAW) gets the interface's own address instead: the host's routes by source then
choose the line, and its counter says whether they did.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket

from agent.capacity import wire
from agent.capacity.order import ResponderAddress
from agent.probe import NoData, ProbeFailed

CONNECT_SECONDS = 5.0


class Dialer:
    """Connects to one responder over one family, each time to the same address."""

    def __init__(
        self, responder: ResponderAddress, family: wire.Family, interface: str | None = None
    ) -> None:
        self._family = wire.SOCKET_FAMILY[family]
        self._interface = interface
        self._address = _resolved(responder, self._family, family)

    def connect(self, most_segment_bytes: int | None = None) -> socket.socket:
        """A connected socket. Raises ProbeFailed, or NoData when it may not be bound to the line."""
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            self._bind(sock)
            if most_segment_bytes is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, most_segment_bytes)
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(self._address)
        except NoData:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise ProbeFailed(f"no connection to the responder at {self._address[0]}: {error}") from None
        return sock

    def attach(self, session: str, most_segment_bytes: int | None = None) -> socket.socket:
        """A connected stream of that session, its segments at most so large."""
        sock = self.connect(most_segment_bytes)
        with contextlib.suppress(OSError):  # a stream that was refused shows when the load begins
            sock.sendall(wire.line_of(wire.Attach(session)))
        return sock

    def _bind(self, sock: socket.socket) -> None:
        if self._interface is None:
            return
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode() + b"\0")
        except PermissionError:
            bind_source(sock, self._interface)


def bind_source(sock: socket.socket, interface: str) -> None:
    """Send from that interface's own address of the socket's family. Raises NoData when it has none."""
    import psutil  # noqa: PLC0415

    held = [each.address for each in psutil.net_if_addrs().get(interface, []) if each.family == sock.family]
    usable = [
        address for address in held if not ipaddress.ip_address(address.partition("%")[0]).is_link_local
    ]
    if not usable:
        raise NoData(f"{interface} has no address to send from, and binding to it needs CAP_NET_RAW")
    sock.bind((usable[0], 0))


def _resolved(responder: ResponderAddress, family: int, name: str) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(responder.host, responder.port, family, socket.SOCK_STREAM)
    except socket.gaierror:
        raise NoData(f"the responder {responder.id} at {responder.host} has no {name} address") from None
    host, port = found[0][4][:2]
    return str(host), int(port)
