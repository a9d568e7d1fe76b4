"""Users' traffic: TCP of a set rate between a terminal and the outside, held by the kernel's own pacing.

    python -m tests.lab.traffic serve PORT
    python -m tests.lab.traffic down|up HOST PORT BITS_PER_SECOND SECONDS

The rate is one of the IP layer at MTU 1500; 0 means as much as the line gives.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import sys
import time

SO_MAX_PACING_RATE = 47
PAYLOAD_SHARE = 1448 / 1500
CHUNK = bytes(64 * 1024)
UNPACED = 2**63
_REQUEST = struct.Struct("!cQd")


class _Far(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wanted = self.request.recv(_REQUEST.size, socket.MSG_WAITALL)
        if len(wanted) == _REQUEST.size:
            way, bits_per_second, seconds = _REQUEST.unpack(wanted)
            move = send if way == b"d" else receive
            with contextlib.suppress(OSError):
                move(self.request, bits_per_second, seconds)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


def send(sock: socket.socket, bits_per_second: int, seconds: float) -> None:
    """Send at the rate for so long."""
    payload_bytes = round(bits_per_second / 8 * PAYLOAD_SHARE) or UNPACED
    sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("@Q", payload_bytes))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock.send(CHUNK)


def receive(sock: socket.socket, _bits_per_second: int, seconds: float) -> None:
    """Take what comes, for so long and until the far end has finished."""
    sock.settimeout(seconds + 10)
    while sock.recv(1 << 20):
        pass


def main(argv: list[str]) -> None:
    """Serve, or move traffic as a terminal."""
    if argv[1] == "serve":
        _Server(("::", int(argv[2])), _Far).serve_forever()
    way, host, port, bits_per_second, seconds = argv[1], argv[2], int(argv[3]), int(argv[4]), float(argv[5])
    with socket.create_connection((host, port), timeout=20) as sock:
        sock.settimeout(None)
        sock.sendall(_REQUEST.pack(way[:1].encode(), bits_per_second, seconds))
        (receive if way == "down" else send)(sock, bits_per_second, seconds)


if __name__ == "__main__":
    main(sys.argv)
