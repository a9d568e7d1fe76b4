"""What one test counted: its types, shared by who runs a test and who reads it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from agent.capacity import tcp
from agent.capacity.estimate import Mark
from agent.capacity.line import Way
from agent.probe import NoData
from config.units import format_rate

LEAST_ONCE = 0.5
MERGED_FROM = 1.05
"""Segments that hold this much more payload than the connection's own were several each."""

StopReason = Literal["converged", "time", "bytes", "stopped", "deadline"]


class TooBusy(NoData):
    """The host or the line is too busy for a test to prove anything now: try again, then skip."""


class Options(msgspec.Struct, frozen=True):
    """How a test is run; shares are 0 to 1."""

    streams: int | None = None
    congestion_control: str | None = None
    interface: str | None = None
    busy_cpu_share: float = 0.30
    full_share: float = 0.80

    def why_too_busy(self, cpu_share: float, users: float, full: int | None) -> str:
        """Why a test would prove nothing now; empty when it would. ``users`` and ``full``, the rate that the
        test may reach, are in bit/s.
        """
        if cpu_share > self.busy_cpu_share:
            return f"a core is {cpu_share:.0%} busy before the test"
        if full and users > self.full_share * full:
            moved = f"{format_rate(users)} of {format_rate(full)}"
            return f"users alone move {moved}; the passive evidence decides"
        return ""


class Progress(msgspec.Struct, frozen=True):
    """What a live bar shows: rates at the IP layer, the estimate None until there is one."""

    seconds: float
    of_seconds: float
    bits_per_second: float
    estimate: float | None
    bytes: int


class Received(msgspec.Struct, frozen=True):
    """What the receiver had got by then."""

    seconds: float
    bytes: int
    segments: int


class Outcome(msgspec.Struct, frozen=True):
    """Everything one test counted. ``received`` is by the receiver's clock, ``users`` what the line's counter
    moved beside the test (empty when it cannot be told), ``line_share`` the part of the test that it saw,
    ``resent`` what this end sent again, ``users_doubt`` how much more the users may have moved (bit/s),
    ``far_line_share`` how full the far end's own line was.
    """

    received: list[Mark]
    users: list[Mark]
    line_share: float | None
    way: Way
    stop_reason: StopReason
    seconds: float
    framed: tcp.Framing
    resent: list[Mark]
    sender: tcp.Totals
    receiver: tcp.Totals
    streams: int
    idle_round_trips: list[float]
    loaded_round_trips: list[tuple[float, float]]
    congestion_control: str
    host_cpu_share: float | None
    far_cpu_share: float | None
    far_line_share: float | None = None
    users_doubt: float = 0.0


def ip_marks(received: Sequence[Received], framed: tcp.Framing, duplicates: int = 0) -> list[Mark]:
    """Payload and segments → bits at the IP layer, by the segments that came, ``duplicates`` of them twice.

    Payload behind a lost segment is counted only when the gap is filled. So what a segment holds is told by
    the moment at which the least was missing: at any other it would seem too little. Where the host of a
    virtual machine handed several segments over as one, only the payload tells. What came twice, since it
    was late and sent again, took the line twice and holds payload once.
    """
    payload = max((each.bytes / each.segments for each in received if each.segments), default=0.0)
    if payload > MERGED_FROM * framed.payload_bytes:
        return [Mark(each.seconds, framed.ip_bits(each.bytes, 0)) for each in received]
    once = max(LEAST_ONCE, 1 - duplicates / max(1, received[-1].segments))
    payload = min(max(payload, framed.payload_bytes), payload / once)
    return [Mark(each.seconds, 8 * (payload + framed.header_bytes) * each.segments) for each in received]
