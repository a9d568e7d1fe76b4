"""Names looked up beside the thread that needs them, so that a name server that is silent stops nobody."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Mapping

from agent.network.icmp import Family

Lookup = Callable[[str], Mapping[Family, str]]

_FAMILIES: dict[int, Family] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


def literal(host: str) -> Mapping[Family, str] | None:
    """The address that ``host`` is, by its family; None when it is a name."""
    try:
        return {"ipv4" if ipaddress.ip_address(host).version == 4 else "ipv6": host}
    except ValueError:
        return None


def look_up(host: str) -> dict[Family, str]:
    """One address of each family that a name has, in the resolver's order. Raises OSError. May block long."""
    found: dict[Family, str] = {}
    for family, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM):
        if family in _FAMILIES:
            found.setdefault(_FAMILIES[family], str(address[0]))
    return found


class Names:
    """The last known addresses of names; a lookup that fails keeps what was known."""

    def __init__(self, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._known: dict[str, Mapping[Family, str]] = {}
        self._thread: threading.Thread | None = None

    def addresses(self, host: str) -> Mapping[Family, str]:
        """Addresses by family; empty while nothing is known."""
        return literal(host) or self._known.get(host, {})

    def refresh(self, hosts: Iterable[str], wait_seconds: float) -> None:
        """Look all names up anew in the background, and wait for that at most ``wait_seconds``.

        While an earlier lookup is still under way no second one begins.
        """
        names = sorted({host for host in hosts if literal(host) is None})
        if self._thread is None or not self._thread.is_alive():
            if not names:
                return
            self._thread = threading.Thread(target=self._work, args=(names,), name="names", daemon=True)
            self._thread.start()
        self._thread.join(wait_seconds)

    def _work(self, names: list[str]) -> None:
        for name in names:
            try:
                self._known[name] = self._lookup(name)
            except OSError:
                continue
