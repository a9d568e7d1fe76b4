"""iperf3 as another method: a county's own server, Debian's program, its JSON, the same result.

iperf3 looks at no users' traffic: its result is a lower bound, and counts for a line when that line's own
counter saw it. Its server takes no ticket, but a collector gives it a slot as for our own tests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import Any

import msgspec

from agent.capacity import estimate
from agent.capacity.estimate import Mark
from agent.capacity.line import COUNTS_FROM_SHARE, LineCounter, Way, way_of
from agent.capacity.order import Grant, Wanted
from agent.lines import line_interfaces
from agent.probe import NoData, ProbeFailed, Run, Site
from config.points import FieldValue, Point

TIMESTAMPED_TCP_BYTES = 20 + 12
IP_BYTES = {"ipv4": 20, "ipv6": 40}
SLACK_SECONDS = 10.0
MOST_OUTPUT_BYTES = 4 * 1024 * 1024
CPU_LIMIT = 0.85
"""Of iperf3's own process, which has one thread."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server that a county has already."""

    id: str = "iperf3"
    """What lines name in their ``responders``."""
    host: str = ""
    """Its name or address."""
    port: int = 5201
    """Its TCP port."""
    seconds: int = 10
    """How long a test lasts."""
    streams: int = 4
    """Of one test."""


class Found(msgspec.Struct, frozen=True):
    """What iperf3 said: marks of the receiver at the IP layer where it tells them, and both ends' CPU."""

    marks: list[Mark]
    goodput_bits_per_second: float
    ip_bytes: int
    retransmitted: int
    congestion_control: str
    host_cpu_share: float
    far_cpu_share: float
    local: str
    peer: str


class Test:
    """One test, in the slot that was granted for it. ``run()`` it once.

    ``moved_bytes`` is payload, and None when it is not known what was moved.
    """

    __test__ = False

    def __init__(self, site: Site, wanted: Wanted, server: Server, grant: Grant | None = None) -> None:
        self.moved_bytes: int | None = 0
        self._site = site
        self._wanted = wanted
        self._server = server
        rate = wanted.bits_per_second
        if grant is not None:
            seconds = max(1, min(server.seconds, int(grant.seconds)))
            self._server = msgspec.structs.replace(server, seconds=seconds)
            rate = grant.bits_per_second
        self._cap = rate if wanted.mode == "search" else None

    def run(self, run: Run) -> Point:
        """Raises NoData without the program, ProbeFailed when it fails."""
        site, wanted, server = self._site, self._wanted, self._server
        program = shutil.which("iperf3")
        if program is None:
            raise NoData("needs the program iperf3")
        at_ns = run.clock.wall_ns()
        lines = line_interfaces(site)
        interface = next((name for name, line in lines.items() if line == wanted.line), None)
        counters = {
            name: LineCounter(site.proc, site.sys, name, wanted.direction == "down")
            for name in lines
            if site.stands_on == "gateway"
        }
        start = time.monotonic()
        self.moved_bytes = None
        argv = [program, *arguments(wanted, server, interface, self._cap)]
        text = _run(argv, server.seconds + SLACK_SECONDS)
        seconds = time.monotonic() - start
        self.moved_bytes = moved_bytes(text)
        found = parse(text, wanted.family, wanted.direction)
        way = way_of(site, found.local, found.peer, lines)
        moved = counters[way.interface].mark(seconds) if way.interface in counters else None
        line_bits = moved.bits if moved else None
        return point_of(wanted, found, way, line_bits, server=server, at_ns=at_ns, cap=self._cap)


def arguments(wanted: Wanted, server: Server, interface: str | None, cap: int | None = None) -> list[str]:
    """What iperf3 is called with: the family forced, the line bound, a verify run or a cap paced."""
    rate = wanted.bits_per_second if wanted.mode == "verify" else cap
    headroom = estimate.VERIFY_HEADROOM if wanted.mode == "verify" else 1.0
    payload_share = 1 - (IP_BYTES[wanted.family] + TIMESTAMPED_TCP_BYTES) / 1500
    per_stream = round((rate or 0) * headroom * payload_share / server.streams)
    return [
        "-J", "-c", server.host, "-p", str(server.port), "-t", str(server.seconds), "-P", str(server.streams),
        "-4" if wanted.family == "ipv4" else "-6",
        *(["-R"] if wanted.direction == "down" else []),
        *(["--bind-dev", interface] if interface and wanted.line else []),
        *(["-b", str(per_stream)] if rate else []),
    ]  # fmt: skip


def moved_bytes(text: str) -> int | None:
    """Payload that a test moved, one that failed too; None when iperf3 did not say."""
    try:
        return sum(int(each["sum"]["bytes"]) for each in json.loads(text)["intervals"])
    except (ValueError, KeyError, TypeError):
        return None


def parse(text: str, family: str, direction: str) -> Found:
    """iperf3's JSON (3.12). Raises ProbeFailed for its error, or for what is not its JSON."""
    try:
        said: dict[str, Any] = json.loads(text)
        if "error" in said:
            raise ProbeFailed(f"iperf3: {said['error']}")
        payload = int(said["start"]["tcp_mss_default"])
        share = (payload + IP_BYTES[family] + TIMESTAMPED_TCP_BYTES) / payload
        end, cpu = said["end"], said["end"]["cpu_utilization_percent"]
        received = end["sum_received"]
        connected = said["start"]["connected"][0]
        algorithm = end.get("sender_tcp_congestion", "")
        return Found(
            marks=_marks(said["intervals"], share) if direction == "down" else [],
            goodput_bits_per_second=float(received["bits_per_second"]),
            ip_bytes=round(received["bytes"] * share),
            retransmitted=int(end["sum_sent"].get("retransmits", 0)),
            congestion_control=algorithm,
            host_cpu_share=min(1.0, cpu["host_total"] / 100),
            far_cpu_share=min(1.0, cpu["remote_total"] / 100),
            local=connected["local_host"],
            peer=connected["remote_host"],
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ProbeFailed(f"iperf3 said what is not its JSON: {type(error).__name__} {error}") from None


def point_of(
    wanted: Wanted,
    found: Found,
    way: Way,
    line_bits: float | None,
    *,
    server: Server,
    at_ns: int,
    cap: int | None = None,
) -> Point:
    """The same point as our own test gives. Without the receiver's seconds a search is a lower bound."""
    share = line_bits / (8 * found.ip_bytes) if line_bits is not None and found.ip_bytes else None
    counts = way.line is not None and (share or 0.0) >= COUNTS_FROM_SHARE
    rate = found.goodput_bits_per_second * found.ip_bytes / max(1, _payload_bytes(found, server))
    if found.marks:
        rate = estimate.last_two_thirds(found.marks) or rate
    tags = {
        "responder": server.id, "direction": wanted.direction, "family": wanted.family,
        "mode": wanted.mode, "method": "iperf3",
    }  # fmt: skip
    fields: dict[str, FieldValue | None] = {
        "ip_bits_per_second": round(rate),
        "goodput_bits_per_second": round(found.goodput_bits_per_second),
        "asked_bits_per_second": wanted.bits_per_second if wanted.mode == "verify" else None,
        "cap_bits_per_second": cap,
        "stop_reason": "time",
        "counts_for_line": counts,
        "line_share": share if way.line else None,
        "bytes": found.ip_bytes,
        "duration_seconds": float(server.seconds),
        "streams": server.streams,
        "retransmitted_segments": found.retransmitted,
        "congestion_control": found.congestion_control or "unknown",
        "host_cpu_share": found.host_cpu_share,
        "far_cpu_share": found.far_cpu_share,
        "note": None if counts else (way.why or "the line's own counter did not see the test"),
        **_meaning(wanted, found, rate, cap),
    }
    named = tags | ({"line": way.line} if way.line else {})
    return Point("capacity", named, {key: value for key, value in fields.items() if value is not None}, at_ns)


def _meaning(wanted: Wanted, found: Found, rate: float, cap: int | None) -> dict[str, FieldValue | None]:
    """Bound and what limited the test. Users beside it are not known here, so no upper bound is given."""
    limit = "rate_cap" if cap is not None and rate > estimate.CAP_REACHED * cap else "nothing"
    if found.far_cpu_share > CPU_LIMIT:
        limit = "far_end"
    if found.host_cpu_share > CPU_LIMIT:
        limit = "host_cpu"
    if wanted.mode == "search":
        return {"bound": "lower", "limited_by": limit}
    passed = rate >= (wanted.bits_per_second or 0)
    return {"bound": "lower" if passed else "none", "limited_by": limit, "passed": passed or None}


def _payload_bytes(found: Found, server: Server) -> int:
    return round(found.goodput_bits_per_second * server.seconds / 8)


def _marks(intervals: list[dict[str, Any]], share: float) -> list[Mark]:
    marks = [Mark(0.0, 0.0)]
    for each in intervals:
        marks.append(Mark(float(each["sum"]["end"]), marks[-1].bits + 8 * each["sum"]["bytes"] * share))
    return marks


def _run(argv: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ProbeFailed(f"iperf3 did not end within {seconds:.0f} s") from None
    return done.stdout[:MOST_OUTPUT_BYTES].decode("utf-8", "replace")
