"""What a simulated agent measures, has in its spool, and says; pure but for chance, which is seeded."""

from __future__ import annotations

import gzip
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NS = 10**9
POINTS_A_MINUTE = 25
PROBES = 13
HISTOGRAM = "353:20,388:25,412:15"
TARGETS = ("gateway", "collector", "dns", "www")


class Span(NamedTuple):
    """Minutes that were measured while nobody listened: ``part`` of ``parts`` of each."""

    first_ns: int
    minutes: int
    part: int = 0
    parts: int = 1


class Batch(NamedTuple):
    """One batch. ``wall_ns`` and ``monotonic_ns`` are the agent's own clocks at recording."""

    sequence: int
    wall_ns: int
    monotonic_ns: int
    body: bytes
    points: int
    has_port: bool


def busy(at_ns: int) -> float:
    """How busy a school's line is, 0 to 1: lessons in the morning and afternoon of China, quiet nights."""
    hour = (at_ns / NS / 3600 + 8) % 24
    return 0.03 + 0.6 * math.exp(-(((hour - 10) / 1.8) ** 2)) + 0.5 * math.exp(-(((hour - 15) / 1.6) ** 2))


class Agent:
    """One agent of one school: its clocks, its spool, its faults."""

    def __init__(self, number: int, token: str, chance: random.Random, monotonic_offset_ns: int) -> None:
        self.school = f"s{number:05d}"
        self.token = token
        self.boot = f"boot-{number}"
        self.spool_id = f"spool-{number}"
        self.skew_ns = 0
        self.port_bits_per_second = 1_000_000_000
        self.away_from = self.away_to = math.inf
        self.resends = False
        self.behind: deque[Span] = deque()
        self.has_told_port = False
        self._sequence = self._turn = 0
        self._scale = chance.uniform(0.2, 1.0)
        self._chance = chance
        self._monotonic_offset_ns = monotonic_offset_ns

    def is_away(self, seconds: float) -> bool:
        """Its line is down at this moment of the run."""
        return self.away_from <= seconds < self.away_to

    def record(self, true_ns: int, parts: int = 1) -> Batch:
        """Measure what falls into one push of ``parts`` a minute, and number it."""
        self._turn += 1
        return self._batch([Span(true_ns, 1, self._turn % parts, parts)])

    def keep(self, true_ns: int, parts: int = 1) -> None:
        """Measure the same while the line is down."""
        self._turn += 1
        self.behind.append(Span(true_ns, 1, self._turn % parts, parts))

    def oldest(self, most_points: int) -> Batch:
        """What waits longest, as one batch as our agent makes it; forgets it."""
        taken: list[Span] = []
        left = most_points
        while self.behind and left >= POINTS_A_MINUTE:
            span = self.behind.popleft()
            minutes = min(span.minutes, left * span.parts // POINTS_A_MINUTE)
            taken.append(span._replace(minutes=minutes))
            left -= minutes * POINTS_A_MINUTE // span.parts
            if minutes < span.minutes:
                first_ns = span.first_ns + minutes * 60 * NS
                self.behind.appendleft(span._replace(first_ns=first_ns, minutes=span.minutes - minutes))
        return self._batch(taken)

    def _batch(self, spans: Sequence[Span]) -> Batch:
        self._sequence += 1
        first_ns = spans[0].first_ns
        lines = [
            line
            for span in spans
            for minute in range(span.minutes)
            for line in [*self._lines(span.first_ns + minute * 60 * NS + self.skew_ns)][
                span.part :: span.parts
            ]
        ]
        body = gzip.compress("\n".join(lines).encode(), 1)
        wall_ns = first_ns + self.skew_ns
        has_port = any(line.startswith("interface,interface=wan0") for line in lines)
        return Batch(self._sequence, wall_ns, self._monotonic(first_ns), body, len(lines), has_port)

    def headers(self, batch: Batch, true_ns: int) -> str:
        """The head of a push, as our agent sends it."""
        return (
            f"Authorization: Token {self.token}\r\nContent-Encoding: gzip\r\n"
            f"X-Xiaotong-Sequence: {batch.sequence}\r\nX-Xiaotong-Spool-Id: {self.spool_id}\r\n"
            f"X-Xiaotong-Boot-Id: {self.boot}\r\nX-Xiaotong-Wall-Ns: {true_ns + self.skew_ns}\r\n"
            f"X-Xiaotong-Monotonic-Ns: {self._monotonic(true_ns)}\r\n"
            f"X-Xiaotong-Recorded-Boot-Id: {self.boot}\r\nX-Xiaotong-Recorded-Wall-Ns: {batch.wall_ns}\r\n"
            f"X-Xiaotong-Recorded-Monotonic-Ns: {batch.monotonic_ns}\r\n"
        )

    def heartbeat(self, true_ns: int) -> bytes:
        """The body of a heartbeat."""
        up = self._monotonic(true_ns)
        return (
            f'{{"boot_id":"{self.boot}","wall_ns":{true_ns + self.skew_ns},"monotonic_ns":{up},'
            f'"uptime_seconds":{up / NS:.1f},"version":"0.1.0","state":"running"}}'
        ).encode()

    def _monotonic(self, true_ns: int) -> int:
        return true_ns - self._monotonic_offset_ns

    def _lines(self, at: int) -> Iterator[str]:
        """About 25 points and 200 values: what a gateway with one line writes in a minute."""
        rate = int(self._scale * busy(at) * 180e6 * self._chance.uniform(0.8, 1.2))
        yield self._interface("wan0", "role=line,line=wan", rate, at)
        yield self._interface("br-lan", "role=lan", rate, at)
        yield self._interface("lan1", "role=trunk", rate // 2, at)
        rtt = 0.002 + 0.02 * busy(at) * self._chance.random()
        for target in TARGETS:
            for family in ("ipv4", "ipv6"):
                yield (
                    f"ping,target={target},family={family} sent=60i,lost=0i,unsent=0i,"
                    f"rtt_min_seconds={rtt:.6f},rtt_median_seconds={rtt * 1.2:.6f},"
                    f"rtt_p99_seconds={rtt * 2:.6f},rtt_max_seconds={rtt * 3:.6f},"
                    f'delay_variation_seconds={rtt:.6f},window_seconds=60.0,place="centre" {at}'
                )
        for number in range(PROBES):
            yield (
                f"probe,probe=p{number} success=true,runs=1i,failures=0i,duration_seconds={rtt * 10:.6f} {at}"
            )
        yield (
            f'agent boot_id="{self.boot}",version="0.1.0",uptime_seconds={self._monotonic(at) / NS:.1f},'
            f"cpu_seconds=1.5,resident_bytes=41943040i,spool_batches=1i,spool_bytes=5000i,"
            f'host_uptime_seconds={self._monotonic(at) / NS:.1f},stands_on="gateway" {at}'
        )

    def _interface(self, name: str, tags: str, rate: int, at: int) -> str:
        many = rate * 60 // 8
        return (
            f'interface,interface={name},{tags} duplex="full",operational=true,'
            f"samples=60i,samples_dropped=0i,window_seconds=60.0,peak_seconds=10.0,refresh_seconds=1.0,"
            f"port_bits_per_second={self.port_bits_per_second}i,rx_bytes={many}i,tx_bytes={many // 5}i,"
            f"rx_packets={many // 900}i,tx_packets={many // 1500}i,rx_ip_bytes={many}i,"
            f"tx_ip_bytes={many // 5}i,rx_errors=0i,tx_errors=0i,rx_drops=0i,tx_drops=0i,"
            f"rx_bits_per_second_sum={rate * 60}.0,rx_bits_per_second_min={rate // 3}.0,"
            f"rx_bits_per_second_max={rate * 2}.0,"
            f"rx_bits_per_second_p99={rate * 2}.0,tx_bits_per_second_sum={rate * 12}.0,"
            f"tx_bits_per_second_min={rate // 9}.0,tx_bits_per_second_max={rate // 2}.0,"
            f"tx_bits_per_second_p99={rate // 2}.0,rx_peak_bits_per_second={rate}i,"
            f'tx_peak_bits_per_second={rate // 5}i,rx_histogram="{HISTOGRAM}",tx_histogram="{HISTOGRAM}" {at}'
        )
