"""Asks the routers of one link to advertise, and hears them for a while: raw ICMPv6, CAP_NET_RAW."""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterator

from agent.ipv6.advertisement import NEXT_ICMPV6, ROUTER_ADVERTISEMENT, SOLICITATION, Advertisement, Malformed
from agent.ipv6.advertisement import parse_message as parse
from agent.network.icmp import ICMP6_FILTER, SOL_ICMPV6

SETTLE_SECONDS = 1.0
"""How long to go on hearing after the first router, for a second one."""
_MOST_BYTES = 2048
_HOP_LIMIT = 255


def hear_routers(
    interface: str, own: frozenset[ipaddress.IPv6Address], seconds: float
) -> list[Advertisement]:
    """The newest advertisement of each router on ``interface`` within ``seconds`` of asking, and those
    of this host's own router daemon, whose link-local addresses are ``own``.

    Raises PermissionError without CAP_NET_RAW, OSError where the interface is absent.
    """
    index = socket.if_nametoindex(interface)
    heard: dict[ipaddress.IPv6Address, Advertisement] = {}
    with _opened() as asking:
        end = time.monotonic() + seconds
        asking.sendto(SOLICITATION, ("ff02::2", 0, 0, index))
        # what came in time counts, also where a busy host looks at it later
        while select.select([asking], [], [], max(0.0, end - time.monotonic()))[0]:
            late = time.monotonic() > end
            for advertisement, by in _waiting(asking):
                if by == index or advertisement.router in own:
                    heard[advertisement.router] = advertisement
                    end = min(end, time.monotonic() + SETTLE_SECONDS)
            if late:
                break
    return list(heard.values())


def _opened() -> socket.socket:
    asking = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NEXT_ICMPV6)
    try:
        passing = [0xFFFFFFFF] * 8
        passing[ROUTER_ADVERTISEMENT >> 5] &= ~(1 << (ROUTER_ADVERTISEMENT & 31))
        asking.setsockopt(SOL_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *passing))
        asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
        asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        asking.setblocking(False)
    except BaseException:
        asking.close()
        raise
    return asking


def _waiting(asking: socket.socket) -> Iterator[tuple[Advertisement, int]]:
    """What has come in: advertisements, each with its interface's number. The kernel saw to checksums."""
    for _ in range(64):
        try:
            data, extras, _, source = asking.recvmsg(_MOST_BYTES, 128)
        except BlockingIOError:
            return
        told = {kind: value for level, kind, value in extras if level == socket.IPPROTO_IPV6}
        index = struct.unpack_from("@I", told.get(socket.IPV6_PKTINFO, bytes(20)), 16)[0]
        hops = struct.unpack_from("@i", told.get(socket.IPV6_HOPLIMIT, bytes(4)))[0]
        router = ipaddress.IPv6Address(source[0].partition("%")[0])
        if hops != _HOP_LIMIT or not router.is_link_local:
            continue
        try:
            yield parse(router, data), index
        except Malformed:
            continue
