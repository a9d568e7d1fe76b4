"""Whether the kernel forwards flows past its own counters (nftables flowtables, «flow offload»).

Such packets are counted by the network card's driver and by no protocol: IPv6's share would read 0 %.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from pathlib import Path

NETLINK_NETFILTER = 12
GET_FLOWTABLE = 10 << 8 | 0x17
NEW_FLOWTABLE = 10 << 8 | 0x16
"""NFNL_SUBSYS_NFTABLES and NFT_MSG_{GET,NEW}FLOWTABLE of linux/netfilter/nf_tables.h."""
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 0x2, 0x3
_HEADER = struct.Struct("=IHHII")
_TIMEOUT_SECONDS = 1.0
_MOST_BYTES = 65536
_MODULES = ("nf_flow_table_inet", "nf_flow_table_ipv4", "nf_flow_table_ipv6", "xt_FLOWOFFLOAD")

Asked = Callable[[], bool | None]


def bypasses_counters(sys: Path, asked: Asked) -> bool | None:
    """True when flows are offloaded, False when they are not, None when that cannot be found out.

    The kernel tells who may administer the network; anybody else sees whether the module that a flowtable
    needs is in use, which is told for all network namespaces at once.
    """
    told = asked()
    if told is not None:
        return told
    users = [_users(sys / "module" / name / "refcnt") for name in _MODULES]
    return True if any(users) else None


def ask_kernel() -> bool | None:
    """Whether this network namespace has a flowtable; None without CAP_NET_ADMIN or nftables."""
    try:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as asking:
            asking.settimeout(_TIMEOUT_SECONDS)
            asking.send(_HEADER.pack(20, GET_FLOWTABLE, _REQUEST | _DUMP, 1, 0) + b"\x00\x00\x00\x00")
            return parse_dump(asking.recv(_MOST_BYTES))
    except OSError:
        return None


def parse_dump(data: bytes) -> bool | None:
    """The first answer of the dump: a flowtable, the end of none, or a refusal (None)."""
    if len(data) < _HEADER.size:
        return None
    _, kind, _, _, _ = _HEADER.unpack_from(data)
    if kind == NEW_FLOWTABLE:
        return True
    if kind == _DONE:
        return False
    return False if kind == _ERROR and _error(data) == errno.ENOENT else None


def _error(data: bytes) -> int:
    return -int(struct.unpack_from("=i", data, _HEADER.size)[0]) if len(data) >= _HEADER.size + 4 else 0


def _users(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
