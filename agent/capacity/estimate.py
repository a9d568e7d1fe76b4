"""From what the receiver counted to a rate, a reason to stop, and the bound that the test gives. Pure."""

from __future__ import annotations

import itertools
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

import msgspec

EVALUATE_EVERY_SAMPLES = 4
EVALUATIONS_IN_A_ROW = 5
CAP_REACHED = 0.95
"""From this part of a cap on the cap is what limited a search."""
OVERLAP = 0.95
"""FastBTS (NSDI 2021): 50 ms samples, judged every 200 ms, five judgements in a row overlapping by 0.95."""
NARROWEST_SHARE = 0.02
"""No interval is taken for narrower than this part of the median: a steady line must not fail on the jitter
of single segments."""
AGREEING_SHARE = 0.08
"""Two intervals are compared as if they reached this far to both sides of their means: their estimates then
agree within about 0.4 %."""
FEWEST_USERS_SHARE = 0.01
"""What the line moved beside a test is users' traffic from this part of it on: below lie pings, neighbour
discovery and the jitter of two readings, which would only make a steady rate unsteady.
"""
LEAST_BITS = 200 * 1500 * 8
WINDOW_ROUND_TRIPS = 4
LONGEST_WINDOW_SECONDS = 0.5
STEP_SLACK_SECONDS = 0.01
"""A sub-interval holds at least 200 packets (50 ms of 10 Mbit/s have 42) and 4 round trips (BBR's swing)."""
UNSTEADY_SHARE = 0.08
STALLED_SHARE = 0.03
"""A line that carries so much more, or so much less, for a whole second than where its rates lie densest was
not what held the rate there: a busy host at an end or on the way does so, in fits and starts.
"""
FULL_SHARE = 0.90
"""A far end whose own line is fuller than this may be what held a test back."""
QUEUED_WINDOW_SHARE = 0.5
WINDOW_SHARE = 0.1
"""Without a queue on the way the window held a rate back that was waited for in this part of the time."""
LEAST_SPAN_SECONDS = 1.0
LATEST_SAMPLES = 10
RISING_SHARE = 0.03
VERIFY_HEADROOM = 1.03
"""A verify run paces this much above what it asks: one packet lost in a thousand costs 2 % of a rate over a
round trip of 40 ms, and a line that reaches its target is not to fail by that.
"""
GROWTH_SHARE = 0.04
GROWTH_SECONDS = 0.02
"""Delay keeps growing when its median rises from the middle to the last third of a run by more than 20 ms and
more than 4 % of the time between: a queue that takes in more than the headroom of a line that does reach
the rate.
"""
QUEUE_SECONDS = 0.003
QUEUE_SHARE = 0.10
LOSS_SHARE = 0.0001
LOSS_BASED = frozenset(
    {"reno", "cubic", "bic", "htcp", "highspeed", "hybla", "illinois", "scalable", "westwood"}
)

Bound = Literal["equal", "lower", "upper", "none"]
Limit = Literal["nothing", "host_cpu", "far_end", "rate_cap", "window", "loss_under_reno"]


class Mark(msgspec.Struct, frozen=True):
    """A cumulative count: bits at the IP layer, so many seconds after the load began."""

    seconds: float
    bits: float


class Step(msgspec.Struct, frozen=True):
    """A count that was still the one before at ``old``, and was ``bits`` at ``at``; seconds since the load
    began.
    """

    old: float
    at: float
    bits: float


class Interval(msgspec.Struct, frozen=True):
    """Where the rates lie densest, and the mean of those that lie in it; bit/s."""

    low: float
    high: float
    mean: float


def window_seconds(marks: Sequence[Mark], idle_rtt: float) -> float:
    """How long a sub-interval of this test has to be to tell a rate: longer than the sampling where packets
    are few in it, or where congestion control swings over round trips; at most ``LONGEST_WINDOW_SECONDS``.
    """
    mean = marks[-1].bits / marks[-1].seconds if marks and marks[-1].seconds > 0 else 0.0
    for_packets = LEAST_BITS / mean if mean else 0.0
    return min(LONGEST_WINDOW_SECONDS, max(for_packets, WINDOW_ROUND_TRIPS * idle_rtt))


def rates(marks: Sequence[Mark], window: float = 0.0) -> list[float]:
    """The rate of the sub-interval of about ``window`` seconds, at least one step, that ends at each mark."""
    found = []
    first = 0
    for after, mark in enumerate(marks[1:], 1):
        while first < after - 1 and mark.seconds - marks[first + 1].seconds >= window - STEP_SLACK_SECONDS:
            first += 1
        seconds = mark.seconds - marks[first].seconds
        if seconds > 0 and (first > 0 or seconds >= window - STEP_SLACK_SECONDS):
            found.append((mark.bits - marks[first].bits) / seconds)
    return found


def crucial_interval(samples: Sequence[float]) -> Interval | None:
    """The interval of sorted samples that maximises K²/L (K samples inside, L long); FastBTS section 3."""
    ordered = sorted(samples)
    narrowest = max(1.0, NARROWEST_SHARE * statistics.median(ordered)) if ordered else 1.0
    best: tuple[float, int, int] | None = None
    for low, first in enumerate(ordered):
        for high in range(low, len(ordered)):
            length = max(ordered[high] - first, narrowest)
            density = (high - low + 1) ** 2 / length
            if best is None or density > best[0]:
                best = (density, low, high)
    if best is None:
        return None
    inside = ordered[best[1] : best[2] + 1]
    return Interval(low=inside[0], high=inside[-1], mean=statistics.fmean(inside))


def overlap(first: Interval, second: Interval) -> float:
    """Intersection over union of two intervals, each widened to ``AGREEING_SHARE`` of its mean."""
    (a, b), (c, d) = _widened(first), _widened(second)
    union = max(b, d) - min(a, c)
    return max(0.0, min(b, d) - max(a, c)) / union if union else 1.0


def _rising(samples: Sequence[float], interval: Interval) -> bool:
    """True while the latest samples lie above the densest ones: those were slow start's."""
    if not samples:
        return True
    return statistics.fmean(samples[-LATEST_SAMPLES:]) > (1 + RISING_SHARE) * interval.mean


def is_steady(marks: Sequence[Mark], estimate: float) -> bool:
    """False when a whole second after the first third of what was counted went well beyond the estimate, or
    none at all reached it: what came in bursts stood still between them.
    """
    latest = [mark for mark in marks if mark.seconds >= marks[-1].seconds / 3]
    most, most_of_all = maximum_1s(latest), maximum_1s(marks)
    stalled = most_of_all is not None and most_of_all < (1 - STALLED_SHARE) * estimate
    return not stalled and (most is None or most <= (1 + UNSTEADY_SHARE) * estimate)


def _widened(interval: Interval) -> tuple[float, float]:
    reach = AGREEING_SHARE * interval.mean
    return min(interval.low, interval.mean - reach), max(interval.high, interval.mean + reach)


class Convergence:
    """Tells when more samples would not change the estimate."""

    def __init__(self, least_seconds: float, idle_rtt: float = 0.0) -> None:
        self._least_seconds = least_seconds
        self._idle_rtt = idle_rtt
        self._judged_marks = 1
        self._agreeing = 0
        self.interval: Interval | None = None

    def reached(self, marks: Sequence[Mark]) -> bool:
        """Look at the marks so far; judges only when four more samples have come since the last time."""
        if len(marks) < self._judged_marks + EVALUATE_EVERY_SAMPLES:
            return False
        self._judged_marks = len(marks)
        samples = rates(marks, window_seconds(marks, self._idle_rtt))
        before, self.interval = self.interval, crucial_interval(samples)
        agrees = (
            before is not None
            and self.interval is not None
            and overlap(before, self.interval) >= OVERLAP
            and not _rising(samples, self.interval)
        )
        self._agreeing = self._agreeing + 1 if agrees else 0
        return self._agreeing >= EVALUATIONS_IN_A_ROW and marks[-1].seconds >= self._least_seconds


def bits_at(marks: Sequence[Mark], seconds: float) -> float:
    """The count at that time, on the straight line between the two marks around it."""
    after = bisect_left(marks, seconds, key=lambda mark: mark.seconds)
    if after == 0:
        return marks[0].bits if marks else 0.0
    if after == len(marks):
        return marks[-1].bits
    low, high = marks[after - 1], marks[after]
    return low.bits + (high.bits - low.bits) * (seconds - low.seconds) / (high.seconds - low.seconds)


def mean_rate(marks: Sequence[Mark], start: float, end: float) -> float | None:
    """Mean rate between two times, bit/s; None without a span."""
    return (bits_at(marks, end) - bits_at(marks, start)) / (end - start) if marks and end > start else None


def last_two_thirds(marks: Sequence[Mark]) -> float | None:
    """Mean rate over the last two thirds of what was counted: what a verify run is judged by."""
    return mean_rate(marks, marks[-1].seconds / 3, marks[-1].seconds) if marks else None


def maximum_1s(marks: Sequence[Mark]) -> float | None:
    """The greatest mean over a whole second (RFC 9097, dt = 1 s) from any mark on; None in a shorter run."""
    means = [
        mean_rate(marks, mark.seconds, mark.seconds + 1.0)
        for mark in marks
        if mark.seconds + 1.0 <= marks[-1].seconds
    ]
    return max((mean for mean in means if mean is not None), default=None)


def rate_of_search(marks: Sequence[Mark], interval: Interval | None, *, converged: bool) -> float:
    """Where a search settled, bit/s, yet never more than the line carried for a whole second: what a busy
    host holds up comes late, and then in bursts. One that did not settle has shown the mean of its last two
    thirds.
    """
    if interval is None or not converged:
        return last_two_thirds(marks) or 0.0
    most = maximum_1s(marks)
    return interval.mean if most is None else min(interval.mean, most)


def added(first: Sequence[Mark], second: Sequence[Mark]) -> list[Mark]:
    """Two counts of the same time together, at the times of the first."""
    return [Mark(mark.seconds, mark.bits + bits_at(second, mark.seconds)) for mark in first]


def carried(received: Sequence[Mark], users: Sequence[Mark]) -> list[Mark]:
    """What the line carried: the test's own and, where enough to be traffic were seen, the users' bits."""
    some = users and users[-1].bits > FEWEST_USERS_SHARE * received[-1].bits
    return added(received, users) if some else list(received)


def steps_of(marks: Sequence[Mark]) -> list[Step]:
    """The readings at which a counter had moved."""
    return [
        Step(before.seconds, after.seconds, after.bits)
        for before, after in itertools.pairwise(marks)
        if after.bits != before.bits
    ]


def is_seldom(marks: Sequence[Mark]) -> bool:
    """True of a counter that stood still at most of its readings: its driver refreshes it more seldom."""
    return len(steps_of(marks)) * 2 < len(marks) - 1


def even(rate: float, marks: Sequence[Mark]) -> list[Mark]:
    """Traffic of that rate at the times of the marks; none where there was none."""
    return [Mark(mark.seconds, rate * mark.seconds) for mark in marks] if rate else []


def users_beside(
    steps: Sequence[Step], own: Sequence[Mark], line_bits: float, sent: float
) -> tuple[float, float]:
    """What users moved at least beside the test's own marks, by the steps of a counter that showed
    ``line_bits`` in the end, and how much more it may have been; bit/s. ``sent``: what the sender sent once:
    what it sent again the line may have carried, or not.
    """
    seconds, span = own[-1].seconds, steps[-1].at - steps[0].at if steps else 0.0
    if span < LEAST_SPAN_SECONDS:
        return 0.0, max(0.0, line_bits - sent) / seconds
    first, last = steps[0], steps[-1]
    rate = (last.bits - first.bits) / span
    beside = rate - (bits_at(own, last.at) - bits_at(own, first.at)) / span
    unsure = rate * max(first.at - first.old, last.at - last.old) / span
    return max(0.0, beside - unsure), 2 * unsure + max(0.0, own[-1].bits - sent) / seconds


def grade(added_seconds: float) -> str:
    """Latency under load, by how much it adds to the round trip: A+ below 5 ms to F from 400 ms."""
    limits = ((0.005, "A+"), (0.030, "A"), (0.060, "B"), (0.200, "C"), (0.400, "D"))
    return next((name for limit, name in limits if added_seconds < limit), "F")


def keeps_growing(round_trips: Sequence[tuple[float, float]], seconds: float) -> bool:
    """True when the delay of (time, round trip) still rises at the end of a run of so many seconds."""
    middle = [rtt for at, rtt in round_trips if seconds / 3 <= at < seconds * 2 / 3]
    last = [rtt for at, rtt in round_trips if at >= seconds * 2 / 3]
    if not middle or not last:
        return False
    rise = statistics.median(last) - statistics.median(middle)
    return rise > max(GROWTH_SECONDS, GROWTH_SHARE * seconds / 3)


def has_queue(idle_rtt: float | None, loaded_rtt: float | None) -> bool:
    """True when the load built a queue: the sign that a bottleneck, and no loss on the way, set the rate."""
    if idle_rtt is None or loaded_rtt is None:
        return False
    return loaded_rtt - idle_rtt > max(QUEUE_SECONDS, QUEUE_SHARE * idle_rtt)


class Circumstances(msgspec.Struct, frozen=True):
    """What may have limited a test other than the line. Shares are 0 to 1; None is not known."""

    host_cpu_share: float | None
    far_cpu_share: float | None
    far_line_share: float | None
    congestion_control: str
    retransmitted_share: float
    window_limited_share: float
    queue: bool
    rate_bits_per_second: float
    cap_bits_per_second: int | None
    cpu_limit: float


def limit_of(seen: Circumstances) -> Limit:
    """What limited the test other than the line, the surest first."""
    if seen.cap_bits_per_second and seen.rate_bits_per_second > CAP_REACHED * seen.cap_bits_per_second:
        return "rate_cap"
    if (seen.host_cpu_share or 0.0) > seen.cpu_limit:
        return "host_cpu"
    if (seen.far_cpu_share or 0.0) > seen.cpu_limit or (seen.far_line_share or 0.0) > FULL_SHARE:
        return "far_end"
    if seen.window_limited_share > (QUEUED_WINDOW_SHARE if seen.queue else WINDOW_SHARE):
        return "window"
    loss = seen.retransmitted_share > LOSS_SHARE and not seen.queue
    return "loss_under_reno" if loss and seen.congestion_control in LOSS_BASED else "nothing"


def bound_of_search(limited_by: Limit, *, converged: bool) -> Bound:
    """A search that settled, limited by nothing but the line, gives the line's rate; else a lower bound."""
    return "equal" if converged and limited_by == "nothing" else "lower"


def bound_of_verify(*, passed: bool, limited_by: Limit) -> Bound:
    """Passed: the line carries at least what was asked. Failed: less, unless something else limited it."""
    return "lower" if passed or limited_by != "nothing" else "upper"
