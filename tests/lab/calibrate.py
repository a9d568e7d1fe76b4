"""Checks the lab against tools that no one here wrote: rates by iperf3, delays and losses by fping."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from config.units import Seconds, format_rate, parse_rate
from tests.lab import addresses, links, programs
from tests.lab.county import BuiltCounty, BuiltLine
from tests.lab.description import County, Line, School
from tests.lab.netns import Lab, Namespace

RATE_TOLERANCE = 0.02
DELAY_TOLERANCE_SECONDS = 0.001
IPERF_PORT = 5201
STRAY_PACKETS = 2  # the kernels' own (neighbour discovery) may be lost beside those of fping
MOST_UDP_BITS_PER_SECOND = 150_000_000
_OVERFILL = 1.3
_DATAGRAM_BYTES = 1400
_IPV4_UDP_HEADERS_BYTES = 28
_IPV4_TCP_HEADERS_BYTES = 40 + 12  # with the timestamps option


class Row(msgspec.Struct, frozen=True):
    """One thing that was set, and what the other tool found of it."""

    line: str
    what: str
    was_set: str
    found: str
    right: bool


def _line(id: str, down: str | None = None, up: str | None = None, **more: Any) -> Line:  # noqa: A002
    return Line(
        id=id,
        carrier=id,
        rate_down=parse_rate(down) if down else None,
        rate_up=parse_rate(up) if up else None,
        queue=Seconds(0.02),  # what a queue holds at either end of a short run is no rate
        **more,
    )


COUNTY = County(
    schools=(
        School(
            id="cal",
            agent="none",
            lines=(
                _line("slow", "20M", "10M"),
                _line("mid", "100M", "100M"),
                _line("fast", "300M", "300M"),
                _line("far", "50M", "50M", delay=Seconds(0.015), port=parse_rate("1G")),
                _line("lossy", delay=Seconds(0.003), loss=0.02),
                _line("small", mtu=1400),
            ),
        ),
    )
)


def calibrate(lab: Lab, seconds: int = 2) -> list[Row]:
    """Build a county of one school with six lines and measure each; one row for each thing that was set."""
    county = BuiltCounty(lab, COUNTY)
    terminal = county.schools["cal"].terminals[0]
    rows: list[Row] = []
    for line in county.schools["cal"].lines:
        far = addresses.centre_on(line.carrier_number)[0]
        _serve_iperf(county, far)
        rows += _rates(line, terminal, far, seconds)
        rows += _delay_and_loss(line, terminal, far)
        rows += [_wire(report) for report in line.verify_wire()]
    return rows


def _serve_iperf(county: BuiltCounty, address: str) -> None:
    argv = ["iperf3", "-s", "-B", address, "-p", str(IPERF_PORT)]
    server = county.lab.start(county.centre, argv, log=f"iperf3-{address}")
    programs.wait_for_port(county.centre, address, IPERF_PORT, server)


def show(rows: list[Row]) -> None:
    """Print the rows."""
    Console(width=120).print(table(rows))


def table(rows: list[Row]) -> Table:
    """The rows for people."""
    shown = Table(title="the lab against iperf3 and fping")
    for column in ("line", "what", "set", "found", ""):
        shown.add_column(column)
    for row in rows:
        shown.add_row(row.line, row.what, row.was_set, row.found, "ok" if row.right else "[red]off[/red]")
    return shown


def _rates(line: BuiltLine, terminal: Namespace, far: str, seconds: int) -> list[Row]:
    rows = []
    for way, rate in (("down", line.line.rate_down), ("up", line.line.rate_up)):
        if rate is not None:
            found = _iperf_ip_rate(terminal, far, way, rate, seconds)
            if found < rate * (1 - RATE_TOLERANCE):  # iperf3 was starved, or the line is slow
                found = _iperf_ip_rate(terminal, far, way, rate, seconds)
            right = abs(found / rate - 1) <= RATE_TOLERANCE
            rows.append(Row(line.name, f"rate {way}", format_rate(rate), format_rate(found), right))
    return rows


def _iperf_ip_rate(terminal: Namespace, far: str, way: str, rate: int, seconds: int) -> float:
    """What the receiver got at the IP layer: UDP that overfills the line, where iperf3 can send enough of it;
    else TCP. iperf3 counts payload; the headers are added here.
    """
    argv = ["iperf3", "-J", "-c", far, "-p", str(IPERF_PORT), "-t", str(seconds), "-O", "1"]
    datagrams = rate <= MOST_UDP_BITS_PER_SECOND
    if datagrams:
        argv += ["-u", "-l", str(_DATAGRAM_BYTES), "-b", str(round(rate * _OVERFILL))]
    said = json.loads(terminal.run(*argv, *(["-R"] if way == "down" else [])))
    payload = _DATAGRAM_BYTES if datagrams else int(said["start"]["tcp_mss_default"])
    packet = payload + (_IPV4_UDP_HEADERS_BYTES if datagrams else _IPV4_TCP_HEADERS_BYTES)
    return float(said["end"]["sum_received"]["bits_per_second"]) * packet / payload


def _delay_and_loss(line: BuiltLine, terminal: Namespace, far: str) -> list[Row]:
    _round_trips(terminal, far, 2, 20)
    delay, loss = _asked(line, terminal, far)
    if not delay.right:  # a busy machine holds packets up for a while
        delay, loss = _asked(line, terminal, far)
    return [delay, loss]


def _asked(line: BuiltLine, terminal: Namespace, far: str) -> tuple[Row, Row]:
    lossy = line.line.loss > 0
    count = 3000 if lossy else 40
    before = _dropped(line)
    trips = _round_trips(terminal, far, count, 1 if lossy else 20)
    dropped = _dropped(line) - before
    answered = [trip for trip in trips if trip is not None]
    median = statistics.median(answered)
    delay = 2 * line.line.delay
    right = 0 <= median - delay <= DELAY_TOLERANCE_SECONDS
    row = Row(line.name, "round trip", f"{delay * 1e3:.1f} ms", f"{median * 1e3:.2f} ms", right)
    return row, _loss(line, count, count - len(answered), dropped)


def _loss(line: BuiltLine, sent: int, lost: int, dropped: int) -> Row:
    """Every packet that fping misses is one that nftables dropped, and there are as many as were set."""
    share = 1 - (1 - line.line.loss) ** 2
    allowed = 4 * math.sqrt(sent * share * (1 - share))
    right = 0 <= dropped - lost <= STRAY_PACKETS and abs(lost - sent * share) <= allowed
    return Row(
        line.name,
        "loss, both ways",
        f"{share:.2%}",
        f"{lost / sent:.2%} ({lost} lost, {dropped} dropped)",
        right,
    )


def _dropped(line: BuiltLine) -> int:
    return sum(count.dropped for count in links.count_wire(line.access).values())


def _round_trips(terminal: Namespace, far: str, count: int, period_milliseconds: int) -> list[float | None]:
    """Each round trip in seconds as fping saw it; None is a lost one."""
    argv = ["fping", "-C", str(count), "-i", "1", "-p", str(period_milliseconds), "-t", "1000", "-q", far]
    text = terminal.run("sh", "-c", " ".join(argv) + " 2>&1 || true")
    fields = text.strip().splitlines()[-1].partition(" : ")[2].split()
    return [None if field == "-" else float(field) / 1e3 for field in fields]


def _wire(report: links.WireReport) -> Row:
    found = "; ".join(report.problems) or f"{report.seen} packets, none larger, {report.dropped} dropped"
    return Row(
        report.line, f"wire {report.direction}", f"loss {report.set_loss:.1%}", found, not report.problems
    )
