"""Looks at silent schools from outside: does the public address of a line still answer? Off by default."""

from __future__ import annotations

import ipaddress
import logging
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from agent.network.icmp import EchoSocket, Family, NotPermitted, Reply, new_payload

log = logging.getLogger(__name__)

WAIT_SECONDS = 2.0

Addresses = Callable[[], Mapping[str, Sequence[str]]]
"""The public addresses of the schools that are silent now."""


class OutsideLook:
    """Asks at most ``at_most`` addresses by one echo request a round; an answer must bring our token back."""

    def __init__(self, addresses: Addresses, every_seconds: float, at_most: int) -> None:
        self._addresses = addresses
        self._every_seconds = every_seconds
        self._at_most = at_most
        self._found: dict[str, bool] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outside", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def answers(self, school_id: str) -> bool | None:
        """Whether an address of a silent school answered in the last round; None when none was asked."""
        return self._found.get(school_id)

    def look(self) -> None:
        """One round."""
        wanted = [(school, each) for school, known in self._addresses().items() for each in known]
        asked = wanted[: self._at_most]
        answered = ask([address for _, address in asked])
        found: dict[str, bool] = {}
        for school, address in asked:
            if address in answered:
                found[school] = found.get(school, False) or answered[address]
        self._found = found

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            try:
                self.look()
            except OSError as error:
                log.warning("not looked from outside error=%s", error)


def ask(addresses: Sequence[str], wait_seconds: float = WAIT_SECONDS) -> dict[str, bool]:
    """Which addresses answer an echo request within ``wait_seconds``; one that cannot be asked is absent."""
    found: dict[str, bool] = {}
    sockets: dict[Family, EchoSocket] = {}
    waiting: dict[tuple[Family, int], tuple[str, bytes]] = {}
    try:
        for sequence, address in enumerate(addresses):
            payload = new_payload()
            try:
                family: Family = "ipv4" if ipaddress.ip_address(address).version == 4 else "ipv6"
                echo = sockets.setdefault(family, sockets.get(family) or EchoSocket(family))
                found[address] = False
                if echo.send(address, sequence, payload):
                    waiting[family, sequence] = (address, payload)
            except (NotPermitted, OSError, ValueError) as error:
                log.info("not asked address=%s error=%s", address, error)
                found.pop(address, None)
        _collect(list(sockets.values()), waiting, found, wait_seconds)
    finally:
        for echo in sockets.values():
            echo.close()
    return found


def _collect(
    sockets: Sequence[EchoSocket],
    waiting: dict[tuple[Family, int], tuple[str, bytes]],
    found: dict[str, bool],
    wait_seconds: float,
) -> None:
    deadline = time.monotonic() + wait_seconds
    while waiting and (left := deadline - time.monotonic()) > 0:
        for echo in select.select(sockets, [], [], left)[0]:
            reply = _received(echo)
            known = waiting.get((echo.family, reply.sequence)) if reply else None
            if reply and known and reply.payload == known[1] and reply.source == known[0]:
                found[known[0]] = True
                del waiting[echo.family, reply.sequence]


def _received(echo: EchoSocket) -> Reply | None:
    try:
        return echo.receive()
    except BlockingIOError:
        return None
