"""Sends bursts: ``python -m tests.agent.probes.sending HOST PORT BYTES COUNT BURSTS PAUSE``.

``BURSTS`` times ``COUNT`` datagrams of ``BYTES`` spread evenly over 200 ms, ``PAUSE`` seconds apart; prints
how many were sent and how long each burst took.
"""

from __future__ import annotations

import json
import socket
import sys
import time

BURST_SECONDS = 0.2


def main(words: list[str]) -> None:
    host, (port, size, count, bursts), pause = words[0], map(int, words[1:5]), float(words[5])
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        for _ in range(bursts):
            began = time.monotonic()
            for number in range(count):
                sending.sendto(bytes(size), (host, port))
                ahead = began + BURST_SECONDS * (number + 1) / count - time.monotonic()
                if ahead > 0.001:
                    time.sleep(ahead)
            took.append(time.monotonic() - began)
            time.sleep(pause)
    print(json.dumps({"sent": count * bursts, "took": took}))


if __name__ == "__main__":
    main(sys.argv[1:])
