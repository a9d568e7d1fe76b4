"""One test against the responder, from Hello to Done: what was counted, and why it stopped."""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from agent.capacity import estimate, tcp, wire
from agent.capacity.connect import Dialer
from agent.capacity.cpu import CpuMeter
from agent.capacity.estimate import Mark
from agent.capacity.line import COUNTS_FROM_SHARE, LineCounter, Way, way_of
from agent.capacity.order import Grant, Wanted
from agent.probe import NoData, ProbeFailed, Run, Site

IDLE_PINGS = 10
IDLE_PING_PAUSE_SECONDS = 0.05
IDLE_SECONDS_MOST = 3.0
ANSWER_SECONDS = 6.0
LEAST_SEARCH_SECONDS = 1.5
LEAST_SEARCH_ROUND_TRIPS = 25
"""A search goes on for at least so many round trips: slow start is not the line's rate."""
MOST_PINGS_OPEN = 8
LEAST_SAMPLE_SECONDS = wire.SAMPLE_SECONDS / 2
"""A sub-interval that began late is not made up for by one so short that its rate is noise."""
PACED_SEGMENT_BYTES = 1460
"""Paced 64 KiB segments of loopback would come in lumps; a line's are no larger than this."""

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
    moved beside the test (empty when it cannot be told), ``line_share`` the part of the test that it saw.
    """

    received: list[Mark]
    users: list[Mark]
    line_share: float | None
    way: Way
    stop_reason: StopReason
    seconds: float
    header_bytes: int
    retransmitted_bits: float
    sender: tcp.Totals
    receiver: tcp.Totals
    streams: int
    idle_round_trips: list[float]
    loaded_round_trips: list[tuple[float, float]]
    congestion_control: str
    host_cpu_share: float | None
    far_cpu_share: float | None


def ip_marks(received: Sequence[Received], header_bytes: int) -> list[Mark]:
    """Payload and segments → bits at the IP layer.

    The times follow the segments, since payload behind a lost one is counted only when the gap is filled; the
    total is that of payload and headers.
    """
    if not received or not received[-1].segments:
        return [Mark(each.seconds, 0.0) for each in received]
    last = received[-1]
    bits_a_segment = 8 * (last.bytes / last.segments + header_bytes)
    return [Mark(each.seconds, each.segments * bits_a_segment) for each in received]


class Exchange:
    """One test. ``run()`` it once."""

    def __init__(
        self,
        site: Site,
        wanted: Wanted,
        granted: tuple[Grant, str],
        *,
        lines: Mapping[str, str],
        run: Run,
        options: Options,
        show: Callable[[Progress], None],
    ) -> None:
        self._site = site
        self._wanted = wanted
        self._grant, self._secret = granted
        self._lines = lines
        self._run = run
        self._options = options
        self._show = show
        self._received = [Received(0.0, 0, 0)]
        self._line_marks = [Mark(0.0, 0.0)]
        self._own_marks = [Mark(0.0, 0.0)]
        self._open_pings: dict[int, float] = {}
        self._numbers = itertools.count(1)
        self._loaded: list[tuple[float, float]] = []
        self._done: wire.Done | None = None
        self._header_bytes = 0

    def run(self) -> Outcome:
        """Connect, load, count, stop. Raises ProbeFailed, and NoData when a test would prove nothing now."""
        dialer = Dialer(self._grant.responder, self._wanted.family, self._options.interface)
        with contextlib.ExitStack() as closing:
            control = closing.enter_context(dialer.connect())
            self._channel = wire.Channel(control, wire.FROM_RESPONDER)
            try:
                return self._run_on(control, dialer, closing)
            except wire.WireError as error:
                raise ProbeFailed(f"the responder {error}") from None

    def _run_on(self, control: socket.socket, dialer: Dialer, closing: contextlib.ExitStack) -> Outcome:
        streams = min(self._grant.streams, self._options.streams or self._grant.streams)
        self._channel.send(
            wire.Hello(
                wire.VERSION, self._grant.ticket, self._secret, streams, self._options.congestion_control
            )
        )
        session = self._channel.expect(wire.Welcome, ANSWER_SECONDS).session
        local, peer = control.getsockname()[0], control.getpeername()[0]
        way = way_of(self._site, local.partition("%")[0], peer.partition("%")[0], self._lines)
        idle = self._idle(way)
        segment = PACED_SEGMENT_BYTES if self._wanted.mode == "verify" else None
        socks = [closing.enter_context(dialer.attach(session, segment)) for _ in range(streams)]
        self._tune(socks)
        load = tcp.Load(socks)
        closing.callback(load.stop)
        return self._loaded_part(load, way, idle)

    def _idle(self, way: Way) -> list[float]:
        """Round trips before the load. Raises NoData when the host or the line is too busy for a test."""
        cpu = CpuMeter(self._site.proc, self._site.sys)
        counter = self._counter(way)
        start = time.monotonic()
        trips = []
        for _ in range(IDLE_PINGS):
            trips.append(self._round_trip())
            if time.monotonic() - start > IDLE_SECONDS_MOST:
                break
            time.sleep(IDLE_PING_PAUSE_SECONDS)
        if way.line is not None:
            self._refuse_busy(cpu.share(), counter.mark(time.monotonic() - start) if counter else None, way)
        return trips

    def _round_trip(self) -> float:
        sent = time.monotonic()
        self._channel.send(wire.Ping(next(self._numbers)))
        self._channel.expect(wire.Ping, ANSWER_SECONDS)
        return time.monotonic() - sent

    def _refuse_busy(self, cpu_share: float | None, users: Mark | None, way: Way) -> None:
        if (cpu_share or 0.0) > self._options.busy_cpu_share:
            raise TooBusy(f"skipped: a core is {cpu_share:.0%} busy before the test")
        full = self._grant.bits_per_second or _port_rate(self._site, way.interface or "")
        rate = users.bits / users.seconds if users and users.seconds else 0.0
        if full and rate > self._options.full_share * full:
            raise TooBusy(
                f"skipped: users alone move {rate:.0f} of {full} bit/s; the passive evidence decides"
            )

    def _counter(self, way: Way) -> LineCounter | None:
        return LineCounter(self._site, way.interface, self._wanted.direction) if way.interface else None

    def _tune(self, socks: Sequence[socket.socket]) -> None:
        if self._wanted.direction == "down":
            return
        try:
            tcp.choose_congestion_control(socks, self._options.congestion_control)
        except OSError as error:
            raise ProbeFailed(
                f"congestion control {self._options.congestion_control} is refused: {error.strerror}"
            ) from None
        rate = self._grant.bits_per_second
        if rate:
            tcp.pace(socks, rate * (estimate.VERIFY_HEADROOM if self._wanted.mode == "verify" else 1.0))

    def _loaded_part(self, load: tcp.Load, way: Way, idle: list[float]) -> Outcome:
        header_bytes = self._header_bytes = tcp.header_bytes(load.socks[0])
        cpu = CpuMeter(self._site.proc, self._site.sys)
        self._channel.send(wire.Go())
        self._channel.expect(wire.Started, ANSWER_SECONDS)
        counter = self._counter(way)
        start = time.monotonic()
        if self._wanted.direction == "up":
            load.fill(tcp.Budget(self._grant.bytes))
        else:
            load.drain()
        reason = self._until_enough(load, counter, header_bytes, start, statistics.median(idle))
        seconds = time.monotonic() - start
        near = load.totals()
        algorithm = tcp.congestion_control(load.socks[0])
        done = self._ended()
        up = self._wanted.direction == "up"
        share = self._line_share()
        return Outcome(
            received=ip_marks(self._received, header_bytes),
            users=self._users() if share is not None and share >= COUNTS_FROM_SHARE else [],
            line_share=share,
            way=way,
            stop_reason=reason,
            seconds=seconds,
            header_bytes=header_bytes,
            retransmitted_bits=8.0 * near.segments_retransmitted * _segment_bytes(near, header_bytes)
            if up
            else 0.0,
            sender=near if up else done.totals,
            receiver=done.totals if up else near,
            streams=len(load.socks),
            idle_round_trips=idle,
            loaded_round_trips=self._loaded,
            congestion_control=algorithm if up else done.congestion_control,
            host_cpu_share=cpu.share(),
            far_cpu_share=done.cpu_share,
        )

    def _until_enough(
        self, load: tcp.Load, counter: LineCounter | None, header_bytes: int, start: float, idle: float
    ) -> StopReason:
        settled = estimate.Convergence(max(LEAST_SEARCH_SECONDS, LEAST_SEARCH_ROUND_TRIPS * idle))
        most = min(self._grant.seconds, self._run.remaining_seconds() - ANSWER_SECONDS)
        due = start
        for tick in itertools.count(1):
            due = max(due + wire.SAMPLE_SECONDS, time.monotonic() + LEAST_SAMPLE_SECONDS)
            self._listen(start, due)
            self._count(load, counter, header_bytes, start)
            now = time.monotonic() - start
            if tick % 2 and len(self._open_pings) < MOST_PINGS_OPEN:
                self._ping()
            converged = tick % 4 == 0 and self._converged(settled, header_bytes, most)
            if reason := self._reason(now, most, converged=converged):
                return reason
        raise AssertionError("unreachable")

    def _reason(self, seconds: float, most: float, *, converged: bool) -> StopReason | None:
        if self._done is not None and self._done.reason in ("bytes", "time"):
            return "bytes" if self._done.reason == "bytes" else "time"
        if self._done is not None:
            raise ProbeFailed("the streams were cut in the middle of the test")
        if self._run.stopped:
            return "stopped"
        if seconds >= most:
            return "time" if most >= self._grant.seconds else "deadline"
        return "converged" if converged and self._wanted.mode == "search" else None

    def _converged(self, settled: estimate.Convergence, header_bytes: int, most: float) -> bool:
        carried = ip_marks(self._received, header_bytes)
        share = self._line_share()
        if share is not None and share >= COUNTS_FROM_SHARE:
            carried = estimate.carried(carried, self._users())
        reached = settled.reached(carried)
        last = carried[-1]
        self._show(
            Progress(
                seconds=last.seconds,
                of_seconds=most,
                bits_per_second=estimate.mean_rate(carried, max(0.0, last.seconds - 0.2), last.seconds)
                or 0.0,
                estimate=settled.interval.mean if settled.interval else None,
                bytes=self._received[-1].bytes,
            )
        )
        return reached

    def _listen(self, start: float, until: float) -> None:
        """Take what the responder says until that time."""
        while self._done is None and (left := until - time.monotonic()) > 0:
            message = self._channel.receive(left)
            if isinstance(message, wire.Ping) and (sent := self._open_pings.pop(message.n, None)):
                now = time.monotonic()
                self._loaded.append((now - start, now - sent))
            elif isinstance(message, wire.Sample):
                self._received.append(Received(message.at_ns / 1e9, message.bytes, message.segments))
            elif isinstance(message, wire.Done):
                self._done = message
        time.sleep(max(0.0, until - time.monotonic()))

    def _ping(self) -> None:
        number = next(self._numbers)
        self._open_pings[number] = time.monotonic()
        self._channel.send(wire.Ping(number))

    def _count(self, load: tcp.Load, counter: LineCounter | None, header_bytes: int, start: float) -> None:
        before = time.monotonic()
        totals = load.totals()
        now = (before + time.monotonic()) / 2 - start
        if self._wanted.direction == "down":
            self._received.append(Received(now, totals.bytes_received, totals.segments_received))
            load.wake_every(_quiet_bytes(totals.bytes_received, now))
            own = totals.bytes_received + header_bytes * totals.segments_received
        else:
            own = totals.bytes_sent + header_bytes * totals.segments_sent
        mark = counter.mark(now) if counter else None
        if mark is not None:
            self._line_marks.append(mark)
            self._own_marks.append(Mark(now, 8.0 * own))

    def _line_share(self) -> float | None:
        """The part of what the receiver got that the line's counter saw; above 1 with users beside it."""
        got = ip_marks(self._received, self._header_bytes)[-1].bits
        return self._line_marks[-1].bits / got if got and len(self._line_marks) > 1 else None

    def _users(self) -> list[Mark]:
        """What the line moved beside the test. Sent segments that were dropped before the line make it too
        small, below 0 even: then there is nothing to add.
        """
        line = estimate.straightened(self._line_marks)
        return [
            Mark(own.seconds, line_mark.bits - own.bits)
            for line_mark, own in zip(line, self._own_marks, strict=True)
        ]

    def _ended(self) -> wire.Done:
        """Tell the responder to stop, and what it counted."""
        if self._done is None:
            self._channel.send(wire.Stop())
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._done is None and time.monotonic() < deadline:
            message = self._channel.receive(deadline - time.monotonic())
            if isinstance(message, wire.Done):
                self._done = message
        if self._done is None:
            raise ProbeFailed("the responder did not say what it counted")
        return self._done


def _quiet_bytes(received: int, seconds: float) -> int:
    """What comes in 2 ms at the mean rate so far."""
    return min(tcp.CHUNK_BYTES // 4, round(received / max(seconds, 0.001) * 0.002))


def _segment_bytes(totals: tcp.Totals, header_bytes: int) -> float:
    return header_bytes + totals.bytes_sent / max(1, totals.segments_sent)


def _port_rate(site: Site, interface: str) -> int | None:
    try:
        speed = int((site.sys / "class/net" / interface / "speed").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return speed * 1_000_000 if speed > 0 else None
