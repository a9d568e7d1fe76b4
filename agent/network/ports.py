"""What kind of thing an interface is: its type, speed, duplex, state and connector."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

LOOPBACK = 772
ETHERNET = 1
PPP = 512
"""ARPHRD_* of /sys/class/net/IF/type; linux/if_arp.h."""

ETHERNET_HEADER = 14
_DEEPEST = 4
_BITS_PER_MEGABIT = 1_000_000

PORT_TYPES = {0: "copper", 1: "copper", 2: "copper", 3: "fibre", 5: "direct_attach"}
"""PORT_TP, PORT_AUI, PORT_MII, PORT_FIBRE, PORT_DA of linux/ethtool.h; 0xef (none) tells nothing."""
_PORT_NONE = 0xEF

Connector = Callable[[str], int | None]
"""Interface → PORT_* as the driver tells it, None when it does not."""


class Port(msgspec.Struct, frozen=True):
    """An interface as it stands. None means that the kernel or the driver does not say."""

    index: int | None = None
    kind: int | None = None
    device_type: str = ""
    speed_bits_per_second: int | None = None
    port_type: str | None = None
    duplex: str | None = None
    operational: bool | None = None

    @property
    def is_loopback(self) -> bool:
        return self.kind == LOOPBACK

    @property
    def rx_header_bytes(self) -> int:
        """Link header octets in each received packet's count.

        14 on Ethernet, none on loopback and tunnels. Bridges and VLANs count after the header was taken off
        (measured on a bridge: 1,000 packets of 1,000 octets add 1,000,000 received, 1,014,000 sent).
        """
        return 0 if self.device_type in {"bridge", "vlan"} else self.tx_header_bytes

    @property
    def tx_header_bytes(self) -> int:
        """Link header octets in each sent packet's count."""
        return ETHERNET_HEADER if self.kind == ETHERNET else 0


def read_port(sys: Path, name: str, connector: Connector, pppoe: str | None = None) -> Port:
    """Read one interface below ``sys``; whatever cannot be read is None.

    A PPP interface has the speed, duplex and connector of ``pppoe``, the Ethernet port it is carried by.
    Speed, duplex and connector are told only of ports with hardware below (a VLAN or bond has that of its
    ports): what the kernel says of veth (10 Gbit/s) and tun (10 Mbit/s) was never negotiated.
    """
    directory = sys / "class/net" / name
    device_type = _device_type(directory)
    port = Port(
        index=parse_number(_text(directory / "ifindex")),
        kind=parse_number(_text(directory / "type")),
        device_type=device_type,
        operational=parse_operational(_text(directory / "operstate"), _text(directory / "carrier")),
    )
    if port.kind == PPP and pppoe is not None:
        name, directory = pppoe, directory.with_name(pppoe)
    if device_type == "bridge" or not _has_hardware(directory):
        return port
    return msgspec.structs.replace(
        port,
        speed_bits_per_second=parse_speed(_text(directory / "speed")),
        duplex=parse_duplex(_text(directory / "duplex")),
        port_type=parse_connector(_connector_of(sys, name, connector)),
    )


def parse_number(text: str) -> int | None:
    """A whole number, or None."""
    return int(text) if re.fullmatch(r"\d{1,10}", text.strip(), re.ASCII) else None


def parse_speed(text: str) -> int | None:
    """Mbit/s as the kernel writes them → bit/s; None for -1, 0 and 4294967295 («unknown»)."""
    megabits = parse_number(text)
    return megabits * _BITS_PER_MEGABIT if megabits and megabits < 2**32 - 1 else None


def parse_duplex(text: str) -> str | None:
    """``full``, ``half`` or None."""
    return text.strip() if text.strip() in {"full", "half"} else None


def parse_operational(operstate: str, carrier: str) -> bool | None:
    """RFC 2863's state; where a driver leaves it «unknown» (tun, PPP, loopback) the carrier tells."""
    state = operstate.strip()
    if state in {"", "unknown"}:
        return {"1": True, "0": False}.get(carrier.strip())
    return state == "up"


def parse_connector(port: int | None) -> str | None:
    """PORT_* → word of the schema; None where nothing is told."""
    return None if port is None or port == _PORT_NONE else PORT_TYPES.get(port, "other")


def pppoe_port(proc: Path) -> str | None:
    """The Ethernet port that carries the PPPoE sessions of this host; None without one, or with several."""
    try:
        return parse_pppoe((proc / "net/pppoe").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None


def parse_pppoe(text: str) -> str | None:
    """Text of /proc/net/pppoe («Id Address Device») → the one device of all sessions.

    The file does not tell which ppp interface a session is, so sessions of two ports give none.
    """
    rows = (line.split() for line in text.splitlines()[1:])
    devices = {words[2] for words in rows if len(words) == 3}
    return devices.pop() if len(devices) == 1 else None


def lower_interfaces(directory: Path) -> list[str]:
    """Names of the interfaces that this one is made of (VLAN, bond, bridge)."""
    return sorted(path.name.removeprefix("lower_") for path in directory.glob("lower_*"))


def _connector_of(sys: Path, name: str, connector: Connector, depth: int = 0) -> int | None:
    """The connector of the hardware below; None when the ports below differ."""
    lower = lower_interfaces(sys / "class/net" / name)
    if not lower or depth == _DEEPEST:
        return connector(name)
    told = {_connector_of(sys, below, connector, depth + 1) for below in lower}
    return told.pop() if len(told) == 1 else None


def _has_hardware(directory: Path, depth: int = 0) -> bool:
    if (directory / "device").exists():
        return True
    lower = lower_interfaces(directory) if depth < _DEEPEST else []
    return any(_has_hardware(directory.with_name(name), depth + 1) for name in lower)


def _device_type(directory: Path) -> str:
    match = re.search(r"^DEVTYPE=(\S+)$", _text(directory / "uevent"), re.MULTILINE)
    return match[1] if match else ""


def _text(path: Path) -> str:
    """A small file of sysfs; empty when it is absent or the driver refuses (EINVAL, EOPNOTSUPP)."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
