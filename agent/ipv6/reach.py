"""Checks 7 and 11: TCP connections to several targets by each family, side by side. Judgement is pure.

TCP and not echo: a network that drops ICMPv6 is reachable, and has its own check.
"""

from __future__ import annotations

import errno
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from agent.network.icmp import FAMILIES, Family
from agent.network.names import literal
from config.readiness import Finding, failed, passed, unknown

LEAST_TARGETS = 3
LEAST_NETWORKS = 2
REACHED_SHARE = 0.95
SLOWER_SHARE = 1.1
SLOWER_SECONDS = 0.001
"""A millisecond more is no slower: below that a tenth is this host's own noise."""
ATTEMPT_SECONDS = 0.25
"""A client waits so long for IPv6 before it tries IPv4 (RFC 8305 5)."""
LOSS_POINTS = 0.01
MOST_SECONDS = 12.0
SYN_AGAIN_SECONDS = 0.9
"""A SYN without an answer is sent again after a second (RFC 6298 2)."""
_TCP_INFO_BYTES, _TCP_INFO_RTT = 104, 68
"""linux/tcp.h: the microseconds tcpi_rtt of struct tcp_info."""
_SOCKET_FAMILY = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_ANSWERED = {0, errno.ECONNREFUSED}
"""A refusal comes from the target's own network as well."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host that answers TCP on ``port``, by name or address (``ipv4`` and ``ipv6`` where it has no name);
    ``network`` tells networks apart: at least two are asked.
    """

    host: str = ""
    """Name or address."""
    ipv4: str = ""
    """Address, in place of a name."""
    ipv6: str = ""
    """Address, in place of a name."""
    port: int = 443
    """TCP port."""
    network: str = ""
    """Whose network it is in; targets of one network share this word."""

    def __post_init__(self) -> None:
        if not self.host and not self.ipv6:
            raise ValueError("a target needs host, or ipv6")
        if not 1 <= self.port <= 65535:
            raise ValueError("port is from 1 to 65535")

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.host or self.ipv6


class Tried(msgspec.Struct, frozen=True):
    """Tries of one target by one family: how many, and the seconds of each that was answered."""

    target: str
    network: str
    family: Family
    tries: int
    seconds: tuple[float, ...]


def addresses_of(target: Target) -> dict[Family, str]:
    """The addresses to try. Raises OSError where the name has none."""
    given: dict[Family, str] = {}
    if target.ipv4:
        given["ipv4"] = target.ipv4
    if target.ipv6:
        given["ipv6"] = target.ipv6
    if given:
        return given
    plain = literal(target.host)
    return dict(plain) if plain is not None else _looked_up(target.host)


def _looked_up(host: str) -> dict[Family, str]:
    found: dict[Family, str] = {}
    for family, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        name: Family = "ipv4" if family == socket.AF_INET else "ipv6"
        found.setdefault(name, str(address[0]))
    return found


def try_targets(
    targets: Sequence[Target],
    resolved: Mapping[str, Mapping[Family, str]],
    *,
    tries: int,
    timeout_seconds: float,
) -> list[Tried]:
    """Connect ``tries`` times to each target by each family, the families in turn, all targets side by side.

    Fewer times when that would take more than MOST_SECONDS: a dead network is known to be dead by then.
    """
    found: dict[tuple[int, Family], list[float]] = {}
    end = time.monotonic() + MOST_SECONDS
    done = 0
    while done < tries and time.monotonic() < end:
        done += 1
        for family in FAMILIES:
            for number, seconds in _round(targets, resolved, family, timeout_seconds):
                answered = found.setdefault((number, family), [])
                if seconds is not None:
                    answered.append(seconds)
    return [
        Tried(targets[number].name, targets[number].network, family, done, tuple(seconds))
        for (number, family), seconds in sorted(found.items())
    ]


def _round(
    targets: Sequence[Target], resolved: Mapping[str, Mapping[Family, str]], family: Family, timeout: float
) -> Iterator[tuple[int, float | None]]:
    """One connection to each target that has an address of ``family``: its number and the seconds."""
    with selectors.DefaultSelector() as selector:
        for number, target in enumerate(targets):
            address = resolved.get(target.name, {}).get(family)
            if address is None:
                continue
            begun = time.monotonic()
            sock = socket.socket(_SOCKET_FAMILY[family], socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            sock.setblocking(False)
            if sock.connect_ex((address, target.port)) in {*_ANSWERED, errno.EINPROGRESS}:
                selector.register(sock, selectors.EVENT_WRITE, (number, begun))
            else:
                sock.close()
                yield number, None
        yield from _ended(selector, timeout)


def _ended(selector: selectors.BaseSelector, timeout: float) -> Iterator[tuple[int, float | None]]:
    end = time.monotonic() + timeout
    while selector.get_map() and (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            selector.unregister(sock)
            number, begun = key.data
            answered = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in _ANSWERED
            seconds = _round_trip(sock, time.monotonic() - begun)
            sock.close()
            yield number, seconds if answered else None
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
        yield key.data[0], None


def _round_trip(sock: socket.socket, waited_seconds: float) -> float:
    """The handshake's round trip as the kernel measured it, which a busy host does not lengthen; what was
    waited where the kernel has none (a refusal) or the SYN was sent again.
    """
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    measured = int.from_bytes(told[_TCP_INFO_RTT : _TCP_INFO_RTT + 4], sys.byteorder) / 1e6
    return measured if measured and waited_seconds - measured < SYN_AGAIN_SECONDS else waited_seconds


def together(first: Iterable[Tried], second: Iterable[Tried]) -> list[Tried]:
    """Two rounds of tries as one."""
    by_target: dict[tuple[str, Family], Tried] = {}
    for each in (*first, *second):
        known = by_target.get((each.target, each.family))
        if known is not None:
            each = msgspec.structs.replace(  # noqa: PLW2901 (the sum takes its place)
                each, tries=known.tries + each.tries, seconds=known.seconds + each.seconds
            )
        by_target[each.target, each.family] = each
    return list(by_target.values())


def reachability(tried: Iterable[Tried]) -> Finding:
    """Check 7: 95 % of the tries over IPv6 answered, by 3 targets in 2 networks."""
    ours = [each for each in tried if each.family == "ipv6"]
    networks = {each.network or each.target for each in ours}
    if len(ours) < LEAST_TARGETS or len(networks) < LEAST_NETWORKS:
        return unknown(7, "no_targets", targets=LEAST_TARGETS, networks=LEAST_NETWORKS)
    answered, tries = sum(len(each.seconds) for each in ours), sum(each.tries for each in ours)
    if answered < REACHED_SHARE * tries:
        silent = ", ".join(each.target for each in ours if len(each.seconds) < each.tries)
        return failed(7, "not_reached", answered=answered, tries=tries, silent=silent)
    return passed(7, "reached", answered=answered, tries=tries, targets=len(ours), networks=len(networks))


def parity(tried: Iterable[Tried]) -> Finding:
    """Check 11: IPv6 is no slower and loses no more than IPv4 to the same targets, and wins its connection
    before a client would turn to IPv4.
    """
    pairs = _pairs(tried)
    if not pairs:
        return unknown(11, "no_dual_target")
    six, four = (_median(side) for side in zip(*pairs, strict=True))
    loss_six, loss_four = (_loss(side) for side in zip(*pairs, strict=True))
    values = {
        "ipv6_ms": round(six * 1000, 1),
        "ipv4_ms": round(four * 1000, 1),
        "ipv6_loss": round(loss_six * 100, 1),
        "ipv4_loss": round(loss_four * 100, 1),
    }
    if six > max(SLOWER_SHARE * four, four + SLOWER_SECONDS) or six - four > ATTEMPT_SECONDS:
        return failed(11, "slower", **values)
    if loss_six - loss_four > LOSS_POINTS:
        return failed(11, "lossier", **values)
    return passed(11, "parity", **values)


def _pairs(tried: Iterable[Tried]) -> list[tuple[Tried, Tried]]:
    """(IPv6, IPv4) of each target that answered by both."""
    by_target: dict[str, dict[str, Tried]] = {}
    for each in tried:
        if each.seconds:
            by_target.setdefault(each.target, {})[each.family] = each
    return [(both["ipv6"], both["ipv4"]) for both in by_target.values() if len(both) == 2]


def _median(side: Iterable[Tried]) -> float:
    """The median over targets of each one's median: a far target counts no more than a near one."""
    return statistics.median(statistics.median(each.seconds) for each in side)


def _loss(side: Iterable[Tried]) -> float:
    listed = list(side)
    tries = sum(each.tries for each in listed)
    return 1 - sum(len(each.seconds) for each in listed) / tries
