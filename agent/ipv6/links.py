"""Which interfaces of a gateway are LANs, where nobody names them."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

ETHERNET = "1"
"""ARPHRD_ETHER of linux/if_arp.h; tunnels and loopback have other types."""
_UP = {"up", "unknown"}
_MOST = 16


def lan_interfaces(sys: Path, outside: Container[str]) -> list[str]:
    """Ethernet interfaces that are up, belong to no bridge or bond, and are not ``outside``; at most 16."""
    folder = sys / "class/net"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if name not in outside and _is_lan(folder / name)][:_MOST]


def _is_lan(interface: Path) -> bool:
    if (interface / "master").exists() or _text(interface / "type") != ETHERNET:
        return False
    return _text(interface / "operstate") in _UP


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
