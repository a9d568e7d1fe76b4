"""What the probes of one window add up to (RFC 2681, RFC 6673, RFC 5481)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from config.points import FieldValue

LONGEST_QUEUE_NS = 10**9
"""A reply does not lie in the socket for longer; more means that the wall clock stepped."""


def round_trip_ns(sent_ns: int, read_ns: int, read_wall_ns: int, kernel_wall_ns: int | None) -> int:
    """Round-trip time by the monotonic clock, less the time that the reply lay in the socket.

    The kernel dates a reply by the wall clock; only the few microseconds from there to the reading are taken
    from it, so a step of that clock never becomes a round-trip time.
    """
    queued_ns = read_wall_ns - kernel_wall_ns if kernel_wall_ns is not None else 0
    if not 0 <= queued_ns <= min(LONGEST_QUEUE_NS, read_ns - sent_ns):
        queued_ns = 0
    return read_ns - sent_ns - queued_ns


def summary(answered_ns: Sequence[int], lost: int, unsent: int) -> dict[str, FieldValue]:
    """Fields of a window: the round trips that came in time, how many were lost, how many never left.

    A lost probe counts as infinite in percentiles; what is infinite or undefined is absent.
    """
    sent = len(answered_ns) + lost
    fields: dict[str, FieldValue] = {"sent": sent, "lost": lost} if sent else {}
    if unsent:
        fields["unsent"] = unsent
    if not answered_ns:
        return fields
    seconds = sorted(each / 1e9 for each in answered_ns)
    fields |= {"rtt_min_seconds": seconds[0], "rtt_max_seconds": seconds[-1]}
    fields |= _present("rtt_median_seconds", _nearest_rank(seconds, 0.5, sent))
    p99 = _nearest_rank(seconds, 0.99, sent)
    fields |= _present("rtt_p99_seconds", p99)
    fields |= _present("delay_variation_seconds", None if p99 is None else p99 - seconds[0])
    return fields


def _nearest_rank(answered: Sequence[float], share: float, sent: int) -> float | None:
    rank = math.ceil(share * sent)
    return answered[rank - 1] if rank <= len(answered) else None


def _present(name: str, value: float | None) -> dict[str, FieldValue]:
    return {} if value is None else {name: value}
