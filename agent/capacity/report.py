"""From what a test counted to the point that says it. Pure."""

from __future__ import annotations

import statistics

import msgspec

from agent.capacity import estimate
from agent.capacity.line import COUNTS_FROM_SHARE
from agent.capacity.order import Wanted
from agent.capacity.outcome import Outcome, TooBusy
from config.points import FieldValue, Point

NOT_THE_LINES = "the line's own counter moved by only {share:.0%} of the test"
CUT_SHORT = "the test was cut short ({reason})"
UNSURE_SHARE = 0.02
UNSURE = "the users' part of the line's counter is not sure"
UNSTEADY = "the rate was not steady: whole seconds did not agree with where it settled"
DELAY_GROWS = "the delay kept growing"


class _Reading(msgspec.Struct, frozen=True):
    """What an outcome means. Rates at the IP layer, bit/s."""

    rate: float
    users: float
    limited_by: estimate.Limit
    bound: estimate.Bound
    passed: bool | None
    notes: tuple[str, ...]


def point_of(
    wanted: Wanted, outcome: Outcome, *, responder: str, cap: int | None, at_ns: int, cpu_limit: float
) -> Point:
    """The point of one test. ``cap`` is the rate it was held to, None when it was not."""
    reading = _read(wanted, cap, outcome, cpu_limit)
    tags = {
        "responder": responder,
        "direction": wanted.direction,
        "family": wanted.family,
        "mode": wanted.mode,
        "method": "tcp",
    }
    if outcome.way.line is not None:
        tags["line"] = outcome.way.line
    found = _rate_fields(wanted, cap, outcome, reading) | _circumstances(outcome)
    fields = {name: value for name, value in found.items() if value is not None}
    return Point("capacity", tags, fields, at_ns)


def failed_point(wanted: Wanted, responder: str, why: Exception, at_ns: int) -> Point:
    """The point of a test that gave nothing. A skip is a skip and no failure."""
    named: dict[str, str | None] = {
        "direction": wanted.direction, "family": wanted.family, "mode": wanted.mode, "method": wanted.method,
        "responder": responder, "line": wanted.line,
    }  # fmt: skip
    tags = {name: value for name, value in named.items() if value}
    stop_reason = "skipped" if isinstance(why, TooBusy) else "failed"
    fields: dict[str, FieldValue] = {"bound": "none", "stop_reason": stop_reason, "note": str(why)}
    return Point("capacity", tags, fields, at_ns)


def _read(wanted: Wanted, cap: int | None, outcome: Outcome, cpu_limit: float) -> _Reading:
    carried = estimate.carried(outcome.received, outcome.users)
    users = max(0.0, estimate.last_two_thirds(outcome.users) or 0.0)
    if wanted.mode == "verify":
        return _read_verify(wanted, outcome, estimate.last_two_thirds(carried) or 0.0, users, cpu_limit)
    window = estimate.window_seconds(carried, _median(outcome.idle_round_trips) or 0.0)
    interval = estimate.crucial_interval(estimate.rates(carried, window))
    converged = outcome.stop_reason == "converged"
    rate = estimate.rate_of_search(carried, interval, converged=converged)
    limited_by = estimate.limit_of(_seen(outcome, rate, cap, cpu_limit))
    sure = _doubt(outcome) <= UNSURE_SHARE * rate
    steady = estimate.is_steady(carried, interval.mean if interval else 0.0)
    bound = estimate.bound_of_search(limited_by, converged=converged and sure and steady)
    doubts = (*(() if sure else (UNSURE,)), *(() if steady else (UNSTEADY,)))
    return _Reading(rate, users, limited_by, bound, None, (*_notes(outcome), *doubts))


def _read_verify(wanted: Wanted, outcome: Outcome, rate: float, users: float, cpu_limit: float) -> _Reading:
    growing = estimate.keeps_growing(outcome.loaded_round_trips, outcome.seconds)
    whole = outcome.stop_reason == "time"
    passed = whole and rate >= (wanted.bits_per_second or 0) and not growing
    limited_by = estimate.limit_of(_seen(outcome, rate, None, cpu_limit))
    notes = (*_notes(outcome), *((DELAY_GROWS,) if growing else ()))
    asked = wanted.bits_per_second or 0
    if whole and not passed and rate < asked <= rate + _doubt(outcome):
        return _Reading(rate, users, limited_by, "none", None, (*notes, UNSURE))
    if not whole:
        notes = (*notes, CUT_SHORT.format(reason=outcome.stop_reason))
        return _Reading(rate, users, limited_by, "none", None, notes)
    return _Reading(
        rate, users, limited_by, estimate.bound_of_verify(passed=passed, limited_by=limited_by), passed, notes
    )


def _doubt(outcome: Outcome) -> float:
    """How much more the users may have moved, bit/s: what we sent again may have been lost beyond the line,
    as is taken, or before it. Where line and test agree neither is so: users who move just what was lost
    would be a strange accident. A counter that is shown late is not sure of them either.
    """
    return outcome.users_doubt + _doubt_of_losses(outcome)


def _doubt_of_losses(outcome: Outcome) -> float:
    least = estimate.last_two_thirds(outcome.users)
    received = estimate.last_two_thirds(outcome.received) or 0.0
    if least is None or abs(least) <= estimate.FEWEST_USERS_SHARE * received:
        return 0.0
    resent = estimate.last_two_thirds(outcome.resent) or 0.0
    lost = max(0.0, least) * _retransmitted_share(outcome)
    return max(0.0, least + resent) - max(0.0, least) + lost


def _retransmitted_share(outcome: Outcome) -> float:
    return outcome.sender.segments_retransmitted / max(1, outcome.sender.segments_sent)


def _seen(outcome: Outcome, rate: float, cap: int | None, cpu_limit: float) -> estimate.Circumstances:
    sender = outcome.sender
    return estimate.Circumstances(
        host_cpu_share=outcome.host_cpu_share,
        far_cpu_share=outcome.far_cpu_share,
        far_line_share=outcome.far_line_share,
        congestion_control=outcome.congestion_control,
        retransmitted_share=_retransmitted_share(outcome),
        window_limited_share=sender.window_limited_microseconds / max(1, sender.busy_microseconds),
        queue=estimate.has_queue(_median(outcome.idle_round_trips), _loaded(outcome)),
        rate_bits_per_second=rate,
        cap_bits_per_second=cap,
        cpu_limit=cpu_limit,
    )


def _notes(outcome: Outcome) -> tuple[str, ...]:
    if outcome.way.line is None:
        return (outcome.way.why,)
    if outcome.line_share is None or outcome.line_share < COUNTS_FROM_SHARE:
        return (NOT_THE_LINES.format(share=outcome.line_share or 0.0),)
    return ()


def _rate_fields(
    wanted: Wanted, cap: int | None, outcome: Outcome, reading: _Reading
) -> dict[str, FieldValue | None]:
    carried = estimate.carried(outcome.received, outcome.users)
    maximum = estimate.maximum_1s(carried)
    receiver = outcome.receiver
    ip_bytes = outcome.framed.ip_bits(receiver.bytes_received, receiver.segments_received) / 8
    whole = outcome.received[-1].bits / 8 if outcome.received else 0.0
    payload_share = min(1.0, receiver.bytes_received / whole) if whole else 0.0
    counts = outcome.way.line is not None and (outcome.line_share or 0.0) >= COUNTS_FROM_SHARE
    return {
        "ip_bits_per_second": round(reading.rate),
        "goodput_bits_per_second": round(max(0.0, reading.rate - reading.users) * payload_share),
        "asked_bits_per_second": wanted.bits_per_second if wanted.mode == "verify" else None,
        "cap_bits_per_second": cap if wanted.mode == "search" else None,
        "maximum_1s_bits_per_second": round(maximum) if maximum is not None else None,
        "users_bits_per_second": max(0, round(reading.users)) if outcome.users else None,
        "bound": reading.bound,
        "passed": reading.passed,
        "stop_reason": outcome.stop_reason,
        "limited_by": reading.limited_by,
        "counts_for_line": counts,
        "line_share": outcome.line_share if outcome.way.line is not None else None,
        "bytes": round(ip_bytes),
        "note": "; ".join(reading.notes) or None,
    }


def _circumstances(outcome: Outcome) -> dict[str, FieldValue | None]:
    idle, loaded = _median(outcome.idle_round_trips), _loaded(outcome)
    trips = [rtt for _, rtt in outcome.loaded_round_trips]
    return {
        "duration_seconds": outcome.seconds,
        "streams": outcome.streams,
        "idle_rtt_seconds": idle,
        "loaded_rtt_seconds": loaded,
        "latency_grade": estimate.grade(loaded - idle) if idle is not None and loaded is not None else None,
        "round_trips_per_minute": round(60 / statistics.fmean(trips)) if trips else None,
        "retransmitted_segments": outcome.sender.segments_retransmitted,
        "congestion_control": outcome.congestion_control,
        "host_cpu_share": outcome.host_cpu_share,
        "far_cpu_share": outcome.far_cpu_share,
    }


def _loaded(outcome: Outcome) -> float | None:
    return _median([rtt for _, rtt in outcome.loaded_round_trips])


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
