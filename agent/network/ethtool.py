"""The connector of a port, asked of the kernel by ioctl, without privilege (linux/ethtool.h, sockios.h)."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

SIOCETHTOOL = 0x8946
ETHTOOL_GLINKSETTINGS = 0x4C
_PORT_OFFSET = 9
_WORDS_OFFSET = 15
_HEADER_BYTES = 48
"""struct ethtool_link_settings: u32 cmd, u32 speed, u8 duplex, u8 port, …, s8 link_mode_masks_nwords, …"""
_MASKS = 3
_MOST_WORDS = 127
_NAME_BYTES = 16


def connector(name: str) -> int | None:
    """PORT_* of an interface as its driver tells it; None when the driver or the kernel cannot say."""
    if len(name.encode()) >= _NAME_BYTES:
        return None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            words = -parse_words(_ask(asking, name, 0))
            return parse_port(_ask(asking, name, words)) if 0 < words <= _MOST_WORDS else None
    except OSError:
        return None


def parse_words(settings: bytes) -> int:
    """link_mode_masks_nwords: the first answer tells, as a negative number, how many the kernel wants."""
    return int(struct.unpack_from("=b", settings, _WORDS_OFFSET)[0])


def parse_port(settings: bytes) -> int:
    """The port byte of an ethtool_link_settings."""
    return int(settings[_PORT_OFFSET])


def _ask(asking: socket.socket, name: str, words: int) -> bytes:
    room = array.array("B", bytes(_HEADER_BYTES + 4 * _MASKS * _MOST_WORDS))
    struct.pack_into("=I", room, 0, ETHTOOL_GLINKSETTINGS)
    struct.pack_into("=b", room, _WORDS_OFFSET, words)
    address, _ = room.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)
    fcntl.ioctl(asking.fileno(), SIOCETHTOOL, request)
    return room.tobytes()
