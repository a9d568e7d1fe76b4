"""The strict YAML description of a county's network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from config import settings
from config.school import Area, Level
from config.units import BitsPerSecond, Seconds

Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9]{0,7}\Z")]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Mtu = Annotated[int, msgspec.Meta(ge=576, le=9000)]
LineState = Literal["up", "link_down", "path_down"]
Ipv6Fault = Literal[
    "no_wan_address", "ula_only", "no_default_route", "dead_next_hop", "no_lan_prefix",
    "no_router_advertisement", "zero_router_lifetime", "no_autoconfiguration", "no_rdnss",
    "short_rdnss_lifetime", "rogue_router", "packet_too_big_dropped", "icmpv6_dropped", "blackhole",
    "inbound_open",
]  # fmt: skip


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One uplink. Rates are at the IP layer; delay and loss are of each direction; ``queue`` is the shaper's.

    ``port`` is the negotiated speed of the gateway's port, ``connector`` its kind (without a speed the port
    is a veth, which no one takes for hardware); a line with a delay or a port speed runs over a relay, which
    carries 400 Mbit/s without loss.
    """

    id: Name
    carrier: Name
    kind: Literal["internet", "education"] = "internet"
    rate_down: BitsPerSecond | None = None
    rate_up: BitsPerSecond | None = None
    delay: Seconds = Seconds(0)
    loss: Share = 0.0
    mtu: Mtu = 1500
    queue: Seconds = Seconds(0.05)
    port: BitsPerSecond | None = None
    connector: Literal["tp", "fibre"] = "fibre"
    state: LineState = "up"
    ipv6: Literal["on", "off"] = "on"

    @property
    def relayed(self) -> bool:
        """It needs the relay: a delay, or a port whose speed is said."""
        return self.delay > 0 or self.port is not None


class School(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A school: gateway, LAN with terminals, and where its agent stands (``box``: a host in the LAN).

    With ``snmp`` off the gateway answers no SNMP, so that a box cannot read the lines. ``without`` names
    probes that its agent does not run.
    """

    id: Name
    lines: tuple[Line, ...]
    name: str = ""
    classes: int | None = None
    area: Area = "rural"
    level: Level = "primary"
    township: str = ""
    longitude: float | None = None
    latitude: float | None = None
    agent: Literal["gateway", "box", "none"] = "gateway"
    terminals: Annotated[int, msgspec.Meta(ge=1, le=50)] = 1
    ipv6_faults: tuple[Ipv6Fault, ...] = ()
    snmp: bool = True
    without: tuple[str, ...] = ()


class County(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole network: the carriers are those that the lines name.

    ``outline`` names a GeoJSON file in this folder, which becomes the county's map.
    """

    schools: tuple[School, ...]
    outline: str = ""

    def __post_init__(self) -> None:
        _unique([school.id for school in self.schools], "school")
        for school in self.schools:
            _unique([line.id for line in school.lines], f"line of {school.id}")
        if not self.schools or not all(school.lines for school in self.schools):
            raise ValueError("a county needs a school, and each school a line")

    @property
    def carriers(self) -> tuple[str, ...]:
        """The names of all carriers, in the order of their first line."""
        return tuple(dict.fromkeys(line.carrier for school in self.schools for line in school.lines))


def load(path: Path) -> County:
    """Read a county. Raises SettingsError, one line."""
    return settings.load(path, County)


def _unique(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what} {name} is given twice")
