"""The settings of the terminals' speed test."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.units import Bytes, Seconds

Few = Annotated[int, msgspec.Meta(ge=1, le=6)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class TerminalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The test that a classroom's browser makes on the page /speed."""

    enabled: bool = True
    """Off, the page says so and nothing is sent."""
    load: Seconds = Seconds(8)
    """How long each direction is loaded; the first quarter is ramp-up and not counted."""
    streams: Few = 4
    """Connections at once in each direction; browsers allow six to one host."""
    max_bytes: Bytes = Bytes(1_000_000_000)
    """What a test moves at most in each direction; a faster terminal ends sooner."""
    at_once: Count = 3
    """Tests at one time; of one school there is never more than one, for two would measure each other."""
    per_address: Count = 12
    """Tests from one address in an hour; all terminals behind a school's NAT are one address."""
    per_school: Count = 200
    """Tests of one school in 24 hours."""
    per_day: Count = 2000
    """Tests of all schools in 24 hours."""
    code_tries: Count = 20
    """Wrong codes from one address in an hour."""
    keep: Seconds = Seconds(400 * 86400)
    """How long the list of tests is kept, with the terminals' addresses."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of reverse proxies («127.0.0.1/32») whose X-Forwarded-For is believed; of nobody else's."""
    url: str = ""
    """Where browsers reach this collector («https://net.example.cn»): what the QR codes hold."""
    ipv4_url: str = ""
    """The same by a name or address that is IPv4 only; a test there refuses to run over IPv6."""
    ipv6_url: str = ""
    """The same by a name or address that is IPv6 only; a test there refuses to run over IPv4."""
