"""What a responder allows and how it is reached: every bound with its default."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.school import NameWithin
from config.units import BitsPerSecond, Bytes, Seconds

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class SlotSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When schools are tested, and how much that may take."""

    county_line: BitsPerSecond | None = None
    """Rate of the line that the responder stands at; absent: ``at_once`` bounds its tests instead."""
    share: Share = 0.5
    """The part of that line which all its tests together may take."""
    at_once: Count = 1
    """Its tests at one time where ``county_line`` is absent."""
    bytes_per_month: Bytes = Bytes(20 * 10**9)
    """Of one school's tests, in a calendar month; one search may move a quarter of it."""
    in_lessons: bool = False
    """true: schools are tested in lessons too."""
    ahead_school_days: Count = 3
    """How many school days before its evidence expires a school is tested again."""
    tries_per_day: Count = 3
    """How often a test that moved bytes and gave nothing is granted on one day."""
    retry: Seconds = Seconds(1800)
    """Pause after a test that gave nothing."""
    poll: Seconds = Seconds(120)
    """How soon an agent that gets no test is asked to come again, at the latest."""


class OtherSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further far end: a responder that runs alone with a copy of the key, or an iperf3 server."""

    id: NameWithin
    """What lines name in their ``responders``, and the agents' settings as ``iperf3.id``."""
    host: str = ""
    """What agents are told to connect to; empty for an iperf3 server, which takes no tickets."""
    host_ipv6: str = ""
    """The same for tests over IPv6, where ``host`` is an IPv4 address; empty: ``host``."""
    port: int = 8081
    """Of the responder."""
    county_line: BitsPerSecond | None = None
    """Rate of the line that it stands at; absent: ``at_once`` bounds its tests instead."""
    share: Share = 0.5
    """The part of that line which all its tests together may take."""
    at_once: Count = 1
    """Its tests at one time where ``county_line`` is absent."""


class ResponderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The far end of capacity tests."""

    id: NameWithin = "county"
    """What lines name in their ``responders``."""
    enabled: bool = True
    """false: only issue tickets, for a responder that runs alone with the same key and id."""
    listen: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104
    """Addresses, each for its own family."""
    port: int = 8081
    """Of the responder; 0 lets the system choose one."""
    host: str = ""
    """What agents are told to connect to; empty: the name by which they reached the collector."""
    host_ipv6: str = ""
    """The same for tests over IPv6, where ``host`` is an IPv4 address; empty: ``host``."""
    max_tests: int = 4
    """At one time."""
    max_streams: int = 8
    """Of one test."""
    max_bytes: Bytes = Bytes(16 * 10**9)
    """Of one test."""
    max_rate: BitsPerSecond | None = None
    """Caps every test; absent: no cap."""
    search: Seconds = Seconds(10)
    """A search ends after that at the latest."""
    verify: Seconds = Seconds(4)
    """How long a verify run lasts."""
    ticket_valid: Seconds = Seconds(15)
    """How long a ticket may wait for its test."""
    tickets_per_hour: int = 60
    """For each agent, by each collector."""
    handshake: Seconds = Seconds(5)
    """A connection that has not shown a ticket by then is closed."""
    max_pending: int = 256
    """Connections that have not shown a ticket yet."""
    slots: SlotSettings = SlotSettings()
    others: tuple[OtherSettings, ...] = ()
    """Further far ends, where some lines lead elsewhere: the education network, another carrier."""
    icmpv6: bool = False
    """Serve the IPv6 checks 9, 10 and 13 by a process of its own, which needs CAP_NET_RAW."""
    icmpv6_port: int = 8081
    """UDP port of that process; 0 lets the system choose one."""
    icmpv6_host: str = ""
    """IPv6 address or name of it for agents; empty: that of ``host``."""

    def contradictions(self) -> list[tuple[bool, str]]:
        """What is not allowed together, each with its message."""
        ids = [self.id, *(each.id for each in self.others)]
        return [(len(set(ids)) < len(ids), "key responder.others: an id of its own for each is allowed")]


def sent(settings: ResponderSettings) -> bytes:
    """Settings as a parent hands them to its responder: one line of JSON with plain numbers."""
    return msgspec.json.encode(settings, enc_hook=lambda quantity: quantity.real)


def received(line: bytes) -> ResponderSettings:
    """The other way round."""
    return msgspec.json.decode(line, type=ResponderSettings, dec_hook=lambda kind, number: kind(number))
