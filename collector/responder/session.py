"""One test at the far end: its streams gathered, filled or drained, counted, and ended whatever happens."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
import time

from agent.capacity import tcp, wire
from agent.capacity.cpu import CpuMeter
from agent.capacity.estimate import VERIFY_HEADROOM
from collector.responder.own_line import OwnLine
from collector.responder.ticket import Ticket

SETUP_SECONDS = 10.0
"""From Welcome to Go: the agent opens its streams and measures the idle round trip."""
GATHER_SECONDS = 5.0
SLACK_SECONDS = 1.0
BEYOND_RATE = 1.2
"""An honest sender is paced to ``VERIFY_HEADROOM`` of the rate, headers and all, and payload is counted: the
rest is for kernels that pace roughly. Who goes beyond takes more of the line than was set aside for it.
"""

log = logging.getLogger(__name__)


class Session:
    """A test that was admitted. ``run()`` is its thread; ``attach()`` is called from the acceptor's."""

    def __init__(
        self,
        control: socket.socket,
        hello: wire.Hello,
        ticket: Ticket,
        received: bytes,
        own_line_rate: float | None = None,
    ) -> None:
        self.id = secrets.token_hex(16)
        self.ticket = ticket
        self.moved_bytes = 0
        self._hello = hello
        self._control = control
        self._channel = wire.Channel(control, wire.FROM_AGENT, received)
        self._own_line_rate = own_line_rate
        self._wanted = max(1, min(hello.streams, ticket.streams))
        self._socks: list[socket.socket] = []
        self._gathered = threading.Condition()
        self._load: tcp.Load | None = None
        self._over = False

    def attach(self, sock: socket.socket) -> bool:
        """Take one more stream; False when there are enough or the test is over."""
        with self._gathered:
            if self._over or self._load is not None or len(self._socks) >= self._wanted:
                return False
            self._socks.append(sock)
            self._gathered.notify_all()
            return True

    def run(self) -> None:
        """Serve the test from Welcome to Done; never raises what the other end can cause."""
        try:
            self._channel.send(wire.Welcome(self.id))
            if self._wait_for_go():
                self._serve()
        except (wire.WireError, OSError) as error:
            log.info("capacity test lost agent=%s error=%s", self.ticket.agent, error)
        finally:
            self._close()

    def abort(self) -> None:
        """Make ``run()`` end soon; for any thread."""
        with self._gathered:
            self._over = True
            self._gathered.notify_all()
        for sock in (self._control, *self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        with self._gathered:
            self._over = True
        if self._load is not None:
            self._note_moved(self._load)
            self._load.stop()
        for sock in (*self._socks, self._control):
            sock.close()

    def _note_moved(self, load: tcp.Load) -> None:
        """Both ways of a test count; what was noted stays when the streams are gone."""
        with contextlib.suppress(OSError):
            totals = load.totals()
            self.moved_bytes = max(self.moved_bytes, totals.bytes_sent + totals.bytes_received)

    def _wait_for_go(self) -> bool:
        deadline = time.monotonic() + SETUP_SECONDS
        while (message := self._channel.receive(max(0.0, deadline - time.monotonic()))) is not None:
            if isinstance(message, wire.Go):
                return self._all_gathered()
            if not isinstance(message, wire.Ping):
                return False
            self._channel.send(message)
        return False

    def _all_gathered(self) -> bool:
        with self._gathered:
            whole = self._gathered.wait_for(
                lambda: self._over or len(self._socks) >= self._wanted, GATHER_SECONDS
            )
            return whole and not self._over

    def _serve(self) -> None:
        tcp.choose_congestion_control(self._socks, self._hello.congestion_control)
        load, budget = self._prepare()
        cpu, own_line = CpuMeter(), self._own_line()
        self._channel.send(wire.Started())
        if self.ticket.direction == "down":
            load.fill(budget)
        else:
            load.drain()
        reason = self._until_over(load, budget, own_line)
        totals = load.totals()
        algorithm = tcp.congestion_control(load.socks[0])
        self._note_moved(load)
        load.stop()
        full = own_line.share() if own_line else None
        self._channel.send(wire.Done(reason, totals, cpu.share(), algorithm, full))
        self._linger()
        log.info(
            "capacity test done agent=%s direction=%s family=%s mode=%s reason=%s bytes=%d",
            *(self.ticket.agent, self.ticket.direction, self.ticket.family, self.ticket.mode),
            *(reason, totals.bytes_sent + totals.bytes_received),
        )

    def _own_line(self) -> OwnLine | None:
        if self._own_line_rate is None:
            return None
        local = str(self._control.getsockname()[0]).partition("%")[0]
        return OwnLine(self._own_line_rate, local, incoming=self.ticket.direction == "up")

    def _prepare(self) -> tuple[tcp.Load, tcp.Budget]:
        with self._gathered:
            self._load = tcp.Load(self._socks)
        ticket = self.ticket
        if ticket.bits_per_second and ticket.direction == "down":
            headroom = VERIFY_HEADROOM if ticket.mode == "verify" else 1.0
            tcp.pace(self._load.socks, ticket.bits_per_second * headroom)
        return self._load, tcp.Budget(ticket.bytes)

    def _until_over(self, load: tcp.Load, budget: tcp.Budget, own_line: OwnLine | None) -> wire.EndReason:
        start = time.monotonic()
        tick = 0
        while (reason := self._reason_to_end(load, budget, time.monotonic() - start)) is None:
            tick += 1
            if self._stopped_until(start + tick * wire.SAMPLE_SECONDS):
                return "stopped"
            if own_line:
                own_line.look()
            if self.ticket.direction == "up":
                self._tell(load, start)
        return reason

    def _reason_to_end(self, load: tcp.Load, budget: tcp.Budget, seconds: float) -> wire.EndReason | None:
        moved = load.totals().bytes_received
        if (budget.spent and load.ended) or moved >= self.ticket.bytes:
            return "bytes"
        if load.cut:
            return "lost"
        if self._goes_beyond_its_rate(8 * moved, seconds):
            return "bytes"
        return "time" if seconds > self.ticket.seconds + SLACK_SECONDS else None

    def _goes_beyond_its_rate(self, bits: int, seconds: float) -> bool:
        """Whoever sends to us keeps the rate itself; one who does not has no more to say."""
        rate = self.ticket.bits_per_second
        return rate is not None and bits > BEYOND_RATE * rate * (seconds + SLACK_SECONDS)

    def _stopped_until(self, deadline: float) -> bool:
        """Echo pings until that time; True when the agent says Stop."""
        while (message := self._channel.receive(max(0.0, deadline - time.monotonic()))) is not None:
            if isinstance(message, wire.Stop):
                return True
            if isinstance(message, wire.Ping):
                self._channel.send(message)
        return False

    def _tell(self, load: tcp.Load, start: float) -> None:
        now = time.monotonic()
        totals = load.totals()
        self._channel.send(
            wire.Sample(round((now - start) * 1e9), totals.bytes_received, totals.segments_received)
        )
        load.wake_every(tcp.quiet_bytes(totals.bytes_received, now - start))

    def _linger(self) -> None:
        """Let the agent read Done and close first, so that no reset overtakes it."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
            self._control.settimeout(SLACK_SECONDS)
            for _ in range(wire.MAX_LINE_BYTES):
                if not self._control.recv(wire.MAX_LINE_BYTES):
                    return
