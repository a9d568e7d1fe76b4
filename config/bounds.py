"""Bounds of what something can carry, and the span that is left of them: which beat which, which add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import msgspec

from config.calendar import SchoolCalendar
from config.evidence import Evidence, EvidenceKind, Uplink
from config.units import Seconds


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How evidence is judged; one rule for every kind of it.

    ``met_share``: a nominal rate counts as reached from this share of it at the IP layer, since a 1000M port
    carries 975 Mbit/s there (RFC 9097's layer; 1500-byte packets in Ethernet frames). ``…_school_days``:
    how long evidence counts, holidays not counted. ``port_state``: how long what a port says counts.
    ``same_age``: evidence that lies no further apart than this has one age. ``tries_apart``: how far two
    failed verify runs lie apart at least, to be at different times. ``access_points_share``: the part of the
    installed access points that shall be online, since one in repair is no missing coverage.
    """

    met_share: float = 0.95
    passive_peak_school_days: int = 20
    search_school_days: int = 40
    verify_school_days: int = 20
    plateau_school_days: int = 20
    observed_school_days: int = 1
    terminal_school_days: int = 20
    port_state: Seconds = Seconds(3600)
    same_age: Seconds = Seconds(60)
    tries_apart: Seconds = Seconds(600)
    access_points_share: float = 0.95

    def school_days(self, kind: EvidenceKind) -> int:
        """How many school days evidence of a kind counts."""
        return getattr(self, _SCHOOL_DAYS[kind])  # type: ignore[no-any-return]  # the fields above


_SCHOOL_DAYS = {
    EvidenceKind.PASSIVE_PEAK: "passive_peak_school_days",
    EvidenceKind.SEARCH: "search_school_days",
    EvidenceKind.SEARCH_LIMITED: "search_school_days",
    EvidenceKind.VERIFY_PASSED: "verify_school_days",
    EvidenceKind.VERIFY_FAILED: "verify_school_days",
    EvidenceKind.PLATEAU: "plateau_school_days",
    EvidenceKind.OBSERVED: "observed_school_days",
    EvidenceKind.TERMINAL_TEST: "terminal_school_days",
}

DEFAULT_RULES = Rules()


class Bound(NamedTuple):
    """One side of a capacity (bit/s) or of a level, and the evidence it comes from."""

    value: int
    evidence: Evidence
    fresh: bool


class Span(NamedTuple):
    """What is known: at least ``lower``, at most ``upper``, each with the evidence that says so.

    ``disputed`` is evidence of one age that contradicts itself: neither side of it is in the span.
    """

    lower: int | None = None
    upper: int | None = None
    lower_by: tuple[Evidence, ...] = ()
    upper_by: tuple[Evidence, ...] = ()
    disputed: tuple[Evidence, ...] = ()


NOTHING_KNOWN = Span()


def is_fresh(evidence: Evidence, now: datetime, today: date, calendar: SchoolCalendar, rules: Rules) -> bool:
    """Whether measured evidence is young enough to count at ``now``, which is on the local day ``today``."""
    if evidence.kind is EvidenceKind.PORT_SPEED or isinstance(evidence.observed, Uplink):
        return (now - evidence.at).total_seconds() <= rules.port_state
    return evidence.at >= calendar.counts_from(today, rules.school_days(evidence.kind))


def span_of(lowers: Sequence[Bound], uppers: Sequence[Bound], same_age: timedelta) -> Span:
    """What remains of bounds once newer ones have beaten the older ones that they contradict.

    A bound is beaten by any newer one that contradicts it, whatever the kinds and even when that one is too
    old by now to count itself. Two that contradict each other at one age are disputed.
    """
    live_lowers = [each for each in lowers if each.fresh and not _is_beaten(each, uppers, same_age, _above)]
    live_uppers = [each for each in uppers if each.fresh and not _is_beaten(each, lowers, same_age, _below)]
    least_upper = min((each.value for each in live_uppers), default=None)
    greatest_lower = max((each.value for each in live_lowers), default=None)
    if least_upper is None or greatest_lower is None or greatest_lower <= least_upper:
        return _tightest(live_lowers, live_uppers, ())
    agreed_lowers = [each for each in live_lowers if each.value <= least_upper]
    agreed_uppers = [each for each in live_uppers if each.value >= greatest_lower]
    agreed = {*map(id, agreed_lowers), *map(id, agreed_uppers)}
    disputed = tuple(each.evidence for each in (*live_lowers, *live_uppers) if id(each) not in agreed)
    return _tightest(agreed_lowers, agreed_uppers, disputed)


def total(spans: Sequence[Span]) -> Span:
    """The span of a sum: what is known at least of each adds; an upper end needs that of every one."""
    return _joined(
        spans,
        lower=sum(span.lower for span in spans if span.lower is not None) if _any_lower(spans) else None,
        upper=sum(span.upper or 0 for span in spans) if _all_upper(spans) else None,
    )


def best(spans: Sequence[Span]) -> Span:
    """The span of the greatest: one known lower end suffices; an upper end needs that of every one."""
    return _joined(
        spans,
        lower=max((span.lower for span in spans if span.lower is not None), default=None),
        upper=max((span.upper or 0 for span in spans), default=None) if _all_upper(spans) else None,
    )


def worst(spans: Sequence[Span]) -> Span:
    """The span of the least: one known upper end suffices; a lower end needs that of every one."""
    all_lower = all(span.lower is not None for span in spans)
    return _joined(
        spans,
        lower=min((span.lower or 0 for span in spans), default=None) if all_lower else None,
        upper=min((span.upper for span in spans if span.upper is not None), default=None),
    )


def confirmed_failures(verifies: Sequence[Bound], apart: timedelta) -> list[Bound]:
    """The failed verify runs that stand: two of the last three that bear on their rate failed, at different
    times. ``verifies`` are the passed (value: at least) and the failed (value: at most) ones.
    """
    failed = [each for each in verifies if each.evidence.kind is EvidenceKind.VERIFY_FAILED]
    if len(failed) < 2:
        return []
    by_age = sorted(verifies, key=lambda each: each.evidence.at, reverse=True)
    return [each for each in failed if _is_confirmed(each, by_age, apart)]


def _is_confirmed(failure: Bound, newest_first: Iterable[Bound], apart: timedelta) -> bool:
    bearing = [each for each in newest_first if each.fresh and _bears_on(each, failure)][:3]
    times = [each.evidence.at for each in bearing if each.evidence.kind is EvidenceKind.VERIFY_FAILED]
    return len(times) >= 2 and times[0] - times[-1] >= apart


def _bears_on(verify: Bound, failure: Bound) -> bool:
    """A run at or below the failed rate that failed, or one above it that passed."""
    if verify.evidence.kind is EvidenceKind.VERIFY_FAILED:
        return verify.value <= failure.value
    return verify.value > failure.value


def _is_beaten(
    bound: Bound, others: Sequence[Bound], same_age: timedelta, contradicts: Callable[[int, int], bool]
) -> bool:
    if not others:
        return False
    newer_than = bound.evidence.at + same_age
    return any(contradicts(bound.value, other.value) and other.evidence.at > newer_than for other in others)


def _above(value: int, limit: int) -> bool:
    return value > limit


def _below(value: int, limit: int) -> bool:
    return value < limit


def _tightest(lowers: Sequence[Bound], uppers: Sequence[Bound], disputed: tuple[Evidence, ...]) -> Span:
    """Of equal bounds the newest is named."""
    lower = max(lowers, key=lambda each: (each.value, each.evidence.at), default=None)
    upper = min(uppers, key=lambda each: (each.value, -each.evidence.at.timestamp()), default=None)
    return Span(
        lower.value if lower else None,
        upper.value if upper else None,
        (lower.evidence,) if lower else (),
        (upper.evidence,) if upper else (),
        disputed,
    )


def _joined(spans: Sequence[Span], *, lower: int | None, upper: int | None) -> Span:
    if len(spans) == 1:
        return spans[0]
    return Span(
        lower,
        upper,
        tuple(each for span in spans for each in span.lower_by),
        tuple(each for span in spans for each in span.upper_by),
        tuple(each for span in spans for each in span.disputed),
    )


def _any_lower(spans: Sequence[Span]) -> bool:
    return any(span.lower is not None for span in spans)


def _all_upper(spans: Sequence[Span]) -> bool:
    return bool(spans) and all(span.upper is not None for span in spans)
