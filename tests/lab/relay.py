"""A cable with a delay: carries Ethernet frames between two TAP ports, each in its own namespace.

The kernel of the test machines has no netem. One process carries each direction. A TAP port also has a speed
that can be set, which a veth has not. Run as a program of its own:

    relay.py NAMESPACE_A PORT_A NAMESPACE_B PORT_B DELAY_FILE

DELAY_FILE holds one little-endian double, the delay of each way in seconds; it may be changed at any time.
Prints «ready» when both ports exist.
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

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
FRAME_BYTES = 65536
BURST = 64
QUEUE_FRAMES = 20_000


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


def carry(source: int, sink: int, delay: mmap.mmap) -> None:
    """Carry frames from ``source`` to ``sink``, each after the delay; drops when 20,000 wait."""
    waiting: deque[tuple[float, bytes]] = deque()
    now = time.monotonic
    while True:
        timeout = max(0.0, waiting[0][0] - now()) if waiting else None
        if select.select((source,), (), (), timeout)[0]:
            due = now() + struct.unpack("<d", delay[:8])[0]
            _receive(source, waiting, due)
        moment = now()
        while waiting and waiting[0][0] <= moment:
            with contextlib.suppress(OSError):  # the far port is down: the frame is lost, as on a cable
                os.write(sink, waiting.popleft()[1])


def _receive(source: int, waiting: deque[tuple[float, bytes]], due: float) -> None:
    read, append = os.read, waiting.append
    try:
        for _ in range(BURST):
            frame = read(source, FRAME_BYTES)
            if len(waiting) < QUEUE_FRAMES:
                append((due, frame))
    except BlockingIOError:
        return
    except OSError:  # the port is down: nothing comes from it until it is up again
        time.sleep(0.02)


def main(argv: list[str]) -> None:
    """Open both ports, then carry each direction in a process of its own until ended."""
    near, far = open_tap(argv[1], argv[2]), open_tap(argv[3], argv[4])
    with open(argv[5], "rb") as file:
        delay = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    print("ready", flush=True)
    gc.disable()
    parent = os.getpid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: the other way ends with this one
        if os.getppid() == parent:
            carry(far, near, delay)
        return
    carry(near, far, delay)


if __name__ == "__main__":
    main(sys.argv)
