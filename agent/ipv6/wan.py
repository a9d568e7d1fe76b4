"""Checks 1 and 2: what the kernel says of each line's interface. Pure, but for asking the next hop."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence

import msgspec

from agent.network.addresses import DADFAILED, Address
from agent.network.neighbours import FAILED, Neighbour
from agent.network.routes import DefaultRoute
from config.readiness import Finding, Result, failed, passed, unknown

RECENT_SECONDS = 600.0
_ASK_SECONDS = 6.0
"""A stale neighbour is asked again after 5 s (RFC 4861 10, DELAY_FIRST_PROBE_TIME)."""
_DISCARD_PORT = 9
INCOMPLETE = 0x01
"""linux/neighbour.h: three solicitations, a second apart, have not been answered yet (RFC 4861 7.3.3)."""
_BEST_FIRST = (Result.PASS, Result.UNKNOWN, Result.FAIL)


class Wan(msgspec.Struct, frozen=True):
    """One line's interface. ``addresses`` is None when the kernel has no IPv6, ``neighbours`` when they
    cannot be read.
    """

    interface: str
    index: int | None
    addresses: Sequence[Address] | None
    routes: Sequence[DefaultRoute]
    neighbours: Sequence[Neighbour] | None


def wan_address(wans: Sequence[Wan]) -> Finding:
    """Check 1: some line has a global address, duplicate address detection done."""
    return _best([_address(wan) for wan in wans]) or unknown(1, "no_wan")


def default_route(wans: Sequence[Wan]) -> Finding:
    """Check 2: an IPv6 default route by a line, whose next hop answers neighbour discovery."""
    if not wans:
        return unknown(2, "no_wan")
    found = [_next_hop(wan, route) for wan in wans for route in wan.routes]
    return _best(found) or failed(2, "no_route")


def _best(findings: Sequence[Finding]) -> Finding | None:
    return min(findings, key=lambda finding: _BEST_FIRST.index(finding.result), default=None)


def _address(wan: Wan) -> Finding:
    if wan.addresses is None:
        return failed(1, "no_ipv6_in_kernel")
    wide = [each for each in wan.addresses if each.is_global]
    for each in wide:
        if each.is_settled:
            return passed(1, "wan_address", address=str(each.address), interface=wan.interface)
    for each in wide:
        if each.flags & DADFAILED:
            return failed(1, "duplicate", address=str(each.address), interface=wan.interface)
        return unknown(1, "tentative", address=str(each.address))
    if wan.addresses:
        listed = ", ".join(str(each.address) for each in wan.addresses)
        return failed(1, "not_global", interface=wan.interface, addresses=listed)
    return failed(1, "no_address", interface=wan.interface)


def _next_hop(wan: Wan, route: DefaultRoute) -> Finding:
    if route.gateway is None:
        return unknown(2, "no_next_hop", interface=wan.interface)
    if wan.neighbours is None:
        return unknown(2, "neighbours_unreadable")
    where = {"next_hop": route.gateway, "interface": wan.interface}
    answer = _answer(wan, route.gateway)
    if answer is None:
        return unknown(2, "next_hop_not_asked", **where)
    return passed(2, "route", **where) if answer else failed(2, "next_hop_silent", **where)


def _answer(wan: Wan, hop: str) -> bool | None:
    for neighbour in wan.neighbours or ():
        if str(neighbour.address) == hop and wan.index in {None, neighbour.interface_index}:
            return neighbour.answers(RECENT_SECONDS)
    return None


def ask_next_hops(
    wans: Sequence[Wan], read: Callable[[], list[Neighbour]], seconds: float = _ASK_SECONDS
) -> list[Neighbour] | None:
    """Let the kernel ask each next hop that it has not heard of lately, and wait for what comes of it.

    A datagram to the discard port is enough (RFC 863): it cannot leave before neighbour discovery is done.
    None where the neighbour table cannot be read.
    """
    hops = {(wan.index, route.gateway) for wan in wans for route in wan.routes if route.gateway}
    end = time.monotonic() + seconds
    try:
        known = read()
        waiting = {hop for hop in hops if _state(known, hop) is not True}
        for index, hop in waiting:
            _touch(hop, index or 0)
        while waiting and time.monotonic() < end:
            time.sleep(0.1)
            known = read()
            waiting = {hop for hop in waiting if _state(known, hop) is None}
    except OSError:
        return None
    return [
        _given_up(each) if (each.interface_index, str(each.address)) in waiting else each for each in known
    ]


def _given_up(neighbour: Neighbour) -> Neighbour:
    """One that is still being asked for after all that time has not answered: users' packets keep asking."""
    if neighbour.state == INCOMPLETE:
        return msgspec.structs.replace(neighbour, state=FAILED)
    return neighbour


def _state(known: Sequence[Neighbour], hop: tuple[int | None, str]) -> bool | None:
    index, address = hop
    for each in known:
        if str(each.address) == address and index in {None, each.interface_index}:
            return each.answers(RECENT_SECONDS)
    return None


def _touch(hop: str, index: int) -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as out:
        out.sendto(b"", (hop, _DISCARD_PORT, 0, index))
