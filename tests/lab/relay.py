"""A cable with a rate and a delay: carries Ethernet frames between two TAP ports, each in its own namespace.

The kernel of the test machines has no netem. One process carries each direction. A TAP port also has a speed
that can be set, which a veth has not. The rate is kept here and not by a queue discipline behind the port,
which would be asked, and set a timer, for each frame. Run as a program of its own:

    relay.py NAMESPACE_A PORT_A NAMESPACE_B PORT_B CABLE_FILE

CABLE_FILE holds a ``Cable``, which may be changed at any time. Prints «ready» when both ports exist.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import mmap
import os
import select
import struct
import sys
import time
from collections import deque
from typing import NamedTuple

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
FRAME_BYTES = 65536
BURST = 64
QUEUE_FRAMES = 20_000
HEADER_BYTES = 14
BURST_SECONDS = 0.002
"""So much of the past may be made up for: a cable does not stand still while its program is not scheduled."""


class Cable(NamedTuple):
    """What a cable does to frames. Delay of each way in seconds; bits of the IP layer in a second from A to B
    and from B to A, 0 where it is not held to a rate; how many seconds' worth may wait for the rate.
    """

    delay: float
    rate_there: float
    rate_back: float
    queue: float

    def packed(self) -> bytes:
        """As the file has it."""
        return CABLE.pack(*self)


CABLE = struct.Struct("<4d")


def open_tap(namespace: str, port: str) -> int:
    """Make the TAP device ``port`` in the namespace with that path; gives its descriptor, not blocking."""
    libc = ctypes.CDLL(None, use_errno=True)
    inside = os.open(namespace, os.O_RDONLY)
    if libc.setns(inside, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(inside)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", port.encode(), IFF_TAP | IFF_NO_PI))
    return tap


class Direction:
    """Frames of one direction, each with the time at which it is to leave."""

    def __init__(self, source: int, cable: mmap.mmap, rate: int) -> None:
        """``rate``: which field of the cable is this direction's."""
        self.waiting: deque[tuple[float, bytes]] = deque()
        self._source = source
        self._cable = cable
        self._rate = rate
        self._free_at = 0.0

    def receive(self) -> None:
        """Take what has come. Frames that would wait for the rate for longer than its queue are dropped."""
        cable = Cable(*CABLE.unpack(self._cable[: CABLE.size]))
        rate, delay, now = cable[self._rate], cable.delay, time.monotonic()
        read, append, waiting = os.read, self.waiting.append, self.waiting
        free_at, latest = max(self._free_at, now - BURST_SECONDS), now + cable.queue
        try:
            for _ in range(BURST):
                frame = read(self._source, FRAME_BYTES)
                if len(waiting) >= QUEUE_FRAMES:
                    continue
                if not rate:
                    append((now + delay, frame))
                elif free_at <= latest:
                    free_at += 8 * (len(frame) - HEADER_BYTES) / rate
                    append((max(now, free_at) + delay, frame))
        except BlockingIOError:
            pass
        except OSError:  # the port is down: nothing comes from it until it is up again
            time.sleep(0.02)
        self._free_at = free_at


def carry(direction: Direction, source: int, sink: int) -> None:
    """Carry frames from ``source`` to ``sink``, each when it is due; drops when 20,000 wait."""
    waiting, now = direction.waiting, time.monotonic
    while True:
        timeout = max(0.0, waiting[0][0] - now()) if waiting else None
        if select.select((source,), (), (), timeout)[0]:
            direction.receive()
        moment = now()
        while waiting and waiting[0][0] <= moment:
            with contextlib.suppress(OSError):  # the far port is down: the frame is lost, as on a cable
                os.write(sink, waiting.popleft()[1])


def main(argv: list[str]) -> None:
    """Open both ports, then carry each direction in a process of its own until ended."""
    near, far = open_tap(argv[1], argv[2]), open_tap(argv[3], argv[4])
    with open(argv[5], "rb") as file:
        cable = mmap.mmap(file.fileno(), CABLE.size, prot=mmap.PROT_READ)
    print("ready", flush=True)
    gc.disable()
    parent = os.getpid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: the other way ends with this one
        if os.getppid() == parent:
            carry(Direction(far, cable, Cable._fields.index("rate_back")), far, near)
        return
    carry(Direction(near, cable, Cable._fields.index("rate_there")), near, far)


if __name__ == "__main__":
    main(sys.argv)
