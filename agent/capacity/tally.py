"""What a test has counted so far: what the receiver got, and what the line's counter moved beside it."""

from __future__ import annotations

import time

from agent.capacity import estimate, tcp, wire
from agent.capacity.estimate import Mark
from agent.capacity.line import COUNTS_FROM_SHARE, Counter
from agent.capacity.outcome import Received, ip_marks


class Tally:
    """The counts of one test. Times are seconds since ``start`` on the monotonic clock."""

    def __init__(
        self, direction: wire.Direction, framed: tcp.Framing, counter: Counter | None, start: float
    ) -> None:
        self._down = direction == "down"
        self.framed = framed
        self.duplicates = 0
        """What the receiver got twice, known in the end: a count that changes would unsettle a search."""
        self._counter = counter
        self._start = start
        self._received = [Received(0.0, 0, 0)]
        self._line_marks = [Mark(0.0, 0.0)]
        self._line_bits = 0.0
        self._sent = [Mark(0.0, 0.0)]
        self._resent = [Mark(0.0, 0.0)]

    @property
    def bytes(self) -> int:
        """Payload that the receiver got."""
        return self._received[-1].bytes

    def told(self, sample: wire.Sample) -> None:
        """Take what the responder received, by its own clock."""
        self._received.append(Received(sample.at_ns / 1e9, sample.bytes, sample.segments))

    def count(self, load: tcp.Load) -> None:
        """Read this end's streams and the line's counter now."""
        self._read_line()
        before = time.monotonic()
        totals = load.totals()
        now = (before + time.monotonic()) / 2 - self._start
        if self._down:
            self._received.append(Received(now, totals.bytes_received, totals.segments_received))
            self.framed = tcp.framing(load.socks, received=True)
            load.wake_every(tcp.quiet_bytes(totals.bytes_received, now))
        else:
            own = self.framed.ip_bits(totals.bytes_sent, totals.segments_sent)
            self._sent.append(Mark(now, own))
            again = totals.segments_retransmitted / max(1, totals.segments_sent)
            self._resent.append(Mark(now, own * again))

    def _read_line(self) -> None:
        before = time.monotonic()
        mark = self._counter.mark(before - self._start) if self._counter else None
        if mark is not None:
            late = (time.monotonic() - before) / 2
            self._line_marks.append(Mark(mark.seconds + late, mark.bits))
            self._line_bits = mark.bits

    @property
    def own(self) -> list[Mark]:
        """What the test itself moved by this host's counts, at the IP layer."""
        return self.received() if self._down else list(self._sent)

    @property
    def resent(self) -> list[Mark]:
        """What this end has sent again; nothing where the other end sends."""
        return list(self._resent)

    def received(self) -> list[Mark]:
        """What the receiver got, at the IP layer."""
        return ip_marks(self._received, self.framed, self.duplicates)

    def carried(self) -> list[Mark]:
        """What the line carried: the test, and the users' traffic where the line's counter saw the test."""
        return estimate.carried(self.received(), self.users())

    def line_share(self) -> float | None:
        """The part of what the receiver got that the line's counter saw; above 1 with users beside it."""
        got = self.received()[-1].bits
        return self._line_bits / got if got and len(self._line_marks) > 1 else None

    def waits_for_line(self) -> bool:
        """True while a counter that its driver refreshes seldom has not shown enough of the test, nor been
        refreshed since: the first refresh shows all of it, what comes later are users.
        """
        if self._counter is None or not estimate.is_seldom(self._line_marks):
            return False
        if mark := self._counter.mark(time.monotonic() - self._start):
            self._line_bits = mark.bits
        is_old = self._line_bits == self._line_marks[-1].bits
        return is_old and (self.line_share() or 0.0) < COUNTS_FROM_SHARE

    def users(self) -> list[Mark]:
        """What the line moved beside the test; empty where its counter did not see the test. Sent segments
        that were dropped before the line make it too small, below 0 even: then there is nothing to add. Of
        what users sent as much was lost behind the counter as of what we sent.
        """
        share, own = self.line_share(), self.own
        if share is None or share < COUNTS_FROM_SHARE:
            return []
        if estimate.is_seldom(self._line_marks):
            return estimate.even(self._users_of_steps()[0], own)
        arrived = 1.0 - self._resent[-1].bits / own[-1].bits if own[-1].bits else 1.0
        return [
            Mark(mark.seconds, arrived * (mark.bits - estimate.bits_at(own, mark.seconds)))
            for mark in self._line_marks
        ]

    def users_doubt(self) -> float:
        """How much more users may have moved than a counter tells that is refreshed seldom, bit/s."""
        if (self.line_share() or 0.0) < COUNTS_FROM_SHARE or not estimate.is_seldom(self._line_marks):
            return 0.0
        return self._users_of_steps()[1]

    def _users_of_steps(self) -> tuple[float, float]:
        """See users_beside."""
        own = self.own
        sent = own[-1].bits - self._resent[-1].bits
        return estimate.users_beside(estimate.steps_of(self._line_marks), own, self._line_bits, sent)
