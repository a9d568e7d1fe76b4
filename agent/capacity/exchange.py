"""One test against the responder, from Hello to Done: what was counted, and why it stopped."""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from agent.capacity import estimate, tcp, wire
from agent.capacity.box import Moved, RouterWatch, Seen, targets_of
from agent.capacity.connect import Dialer
from agent.capacity.cpu import CpuMeter
from agent.capacity.estimate import Mark
from agent.capacity.line import IN_LAN, Counter, LineCounter, Way, way_of
from agent.capacity.order import Grant, Wanted
from agent.capacity.outcome import Options, Outcome, Progress, StopReason, TooBusy
from agent.capacity.tally import Tally
from agent.probe import ProbeFailed, Run, Site
from config.school import contract_on

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
LATE_COUNTER_SECONDS = 3.5
"""Drivers that refresh their counters seldom do so each second or two, and the refresh may come late."""
CUT = "a stream was cut in the middle of the test"
PACED_SEGMENT_BYTES = 1460
"""Paced 64 KiB segments of loopback would come in lumps; a line's are no larger than this."""


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
        self._open_pings: dict[int, float] = {}
        self._numbers = itertools.count(1)
        self._loaded: list[tuple[float, float]] = []
        self._done: wire.Done | None = None
        self._watch: RouterWatch | None = None
        self._load: tcp.Load | None = None

    @property
    def moved_bytes(self) -> int:
        """Payload that the test moved both ways until now, or until it ended however it did."""
        totals = self._load.totals() if self._load is not None else tcp.Totals()
        return totals.bytes_sent + totals.bytes_received

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
            except tcp.TooOldError as error:
                raise ProbeFailed(str(error.strerror)) from None

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
        if self._site.stands_on == "lan" and way.why == IN_LAN and targets_of(self._site):
            self._watch = closing.enter_context(
                RouterWatch(self._site, self._wanted.direction, self._wanted.line)
            )
        idle = self._idle(way)
        segment = PACED_SEGMENT_BYTES if self._wanted.mode == "verify" else None
        socks = [closing.enter_context(dialer.attach(session, segment)) for _ in range(streams)]
        self._tune(socks)
        load = self._load = tcp.Load(socks)
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
        if way.line is not None or self._watch is not None:
            self._refuse_busy(cpu.share(), counter.mark(time.monotonic() - start) if counter else None, way)
        return trips

    def _round_trip(self) -> float:
        sent = time.monotonic()
        self._channel.send(wire.Ping(next(self._numbers)))
        self._channel.expect(wire.Ping, ANSWER_SECONDS)
        return time.monotonic() - sent

    def _refuse_busy(self, cpu_share: float | None, users: Mark | None, way: Way) -> None:
        port = _port_rate(self._site, way.interface or "")
        known = (self._grant.bits_per_second, self._contracted(way), port)
        full = min((rate for rate in known if rate), default=None)
        rate = users.bits / users.seconds if users and users.seconds else 0.0
        if why := self._options.why_too_busy(cpu_share or 0.0, rate, full):
            raise TooBusy(f"skipped: {why}")

    def _contracted(self, way: Way) -> int | None:
        """What the line is to carry in the test's direction, where the school says so."""
        line = next((each for each in self._site.school.lines if each.id == way.line), None)
        if line is None:
            return None
        contract = contract_on(line, datetime.now().astimezone().date())
        rate = contract.down if self._wanted.direction == "down" else contract.up
        return None if rate is None else int(rate)

    def _counter(self, way: Way) -> Counter | None:
        down = self._wanted.direction == "down"
        return LineCounter(self._site.proc, self._site.sys, way.interface, down) if way.interface else None

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
        cpu = CpuMeter(self._site.proc, self._site.sys)
        self._channel.send(wire.Go())
        self._channel.expect(wire.Started, ANSWER_SECONDS)
        counter = self._counter(way)
        start = time.monotonic()
        tally = Tally(self._wanted.direction, tcp.framing(load.socks), counter, start)
        self._begin(load)
        reason = self._until_enough(load, tally, start, statistics.median(idle))
        seconds = time.monotonic() - start
        near = load.totals()
        algorithm = tcp.congestion_control(load.socks[0])
        done = self._ended(tally)
        up = self._wanted.direction == "up"
        sender, receiver = (near, done.totals) if up else (done.totals, near)
        tally.duplicates = sender.segments_duplicate
        host_cpu_share = cpu.share()
        self._wait_for_line(tally)
        seen = self._seen(way, tally, start, tcp.sent_once_bits(sender, tally.framed))
        return Outcome(
            received=tally.received(),
            users=tally.users()
            if self._watch is None
            else estimate.even(seen.users_bits_per_second, tally.own),
            line_share=seen.share,
            way=seen.way,
            stop_reason=reason,
            seconds=seconds,
            framed=tally.framed,
            resent=tally.resent,
            sender=sender,
            receiver=receiver,
            streams=len(load.socks),
            idle_round_trips=idle,
            loaded_round_trips=self._loaded,
            congestion_control=algorithm if up else done.congestion_control,
            host_cpu_share=host_cpu_share,
            far_cpu_share=done.cpu_share,
            far_line_share=done.line_share,
            users_doubt=seen.doubt_bits_per_second,
        )

    def _wait_for_line(self, tally: Tally) -> None:
        deadline = time.monotonic() + min(LATE_COUNTER_SECONDS, self._run.remaining_seconds())
        while tally.waits_for_line() and time.monotonic() < deadline:
            if not self._run.wait(LATE_COUNTER_SECONDS / 10):
                return

    def _seen(self, way: Way, tally: Tally, start: float, sent: float) -> Seen:
        """What the counters say of the test's line: this host's own, else the router's."""
        if self._watch is None:
            return Seen(way, tally.line_share(), doubt_bits_per_second=tally.users_doubt())
        return self._watch.seen(Moved(start, tally.own, sent), self._run)

    def _begin(self, load: tcp.Load) -> None:
        if self._wanted.direction == "up":
            load.fill(tcp.Budget(self._grant.bytes))
        else:
            load.drain()

    def _until_enough(self, load: tcp.Load, tally: Tally, start: float, idle: float) -> StopReason:
        settled = estimate.Convergence(max(LEAST_SEARCH_SECONDS, LEAST_SEARCH_ROUND_TRIPS * idle), idle)
        most = min(self._grant.seconds, self._run.remaining_seconds() - ANSWER_SECONDS)
        due = start
        for tick in itertools.count(1):
            due = max(due + wire.SAMPLE_SECONDS, time.monotonic() + LEAST_SAMPLE_SECONDS)
            self._listen(tally, start, due)
            tally.count(load)
            if load.cut:
                self._await_done(tally, CUT)
            now = time.monotonic() - start
            if tick % 2 and len(self._open_pings) < MOST_PINGS_OPEN:
                self._ping()
            converged = tick % 4 == 0 and self._converged(settled, tally, most)
            if reason := self._reason(now, most, converged=converged):
                return reason
        raise AssertionError("unreachable")

    def _reason(self, seconds: float, most: float, *, converged: bool) -> StopReason | None:
        if self._done is not None and self._done.reason in ("bytes", "time"):
            return "bytes" if self._done.reason == "bytes" else "time"
        if self._done is not None:
            raise ProbeFailed(CUT)
        if self._run.stopped:
            return "stopped"
        if seconds >= most:
            return "time" if most >= self._grant.seconds else "deadline"
        return "converged" if converged and self._wanted.mode == "search" else None

    def _converged(self, settled: estimate.Convergence, tally: Tally, most: float) -> bool:
        carried = tally.carried()
        reached = settled.reached(carried)
        last = carried[-1]
        self._show(
            Progress(
                seconds=last.seconds,
                of_seconds=most,
                bits_per_second=estimate.mean_rate(carried, max(0.0, last.seconds - 0.2), last.seconds)
                or 0.0,
                estimate=settled.interval.mean if settled.interval else None,
                bytes=tally.bytes,
            )
        )
        return reached

    def _listen(self, tally: Tally, start: float, until: float) -> None:
        """Take what the responder says until that time."""
        while self._done is None and (left := until - time.monotonic()) > 0:
            message = self._channel.receive(left)
            if isinstance(message, wire.Ping) and (sent := self._open_pings.pop(message.n, None)):
                now = time.monotonic()
                self._loaded.append((now - start, now - sent))
            else:
                self._take(message, tally)
        time.sleep(max(0.0, until - time.monotonic()))

    def _take(self, message: object, tally: Tally) -> None:
        if isinstance(message, wire.Sample):
            tally.told(message)
        elif isinstance(message, wire.Done):
            self._done = message

    def _ping(self) -> None:
        number = next(self._numbers)
        self._open_pings[number] = time.monotonic()
        self._channel.send(wire.Ping(number))

    def _ended(self, tally: Tally) -> wire.Done:
        """Tell the responder to stop, and what it counted."""
        if self._done is None:
            self._channel.send(wire.Stop())
        return self._await_done(tally, "the responder did not say what it counted")

    def _await_done(self, tally: Tally, otherwise: str) -> wire.Done:
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._done is None and time.monotonic() < deadline:
            self._take(self._channel.receive(deadline - time.monotonic()), tally)
        if self._done is None:
            raise ProbeFailed(otherwise)
        return self._done


def _port_rate(site: Site, interface: str) -> int | None:
    try:
        speed = int((site.sys / "class/net" / interface / "speed").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return speed * 1_000_000 if speed > 0 else None
