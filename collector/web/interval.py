"""What is known of a rate against what is needed: an interval, and where to draw it. Pure.

Every bar has the same measure: the rate that is needed stands at the same place of each, so that schools of
12 and of 60 classes can be compared by eye.
"""

from __future__ import annotations

import msgspec

from config.units import format_rate
from config.verdict import Reason, Verdict
from config.words import Language, translate

NEED_AT = 60.0
"""Where the needed rate stands, in percent of the bar's width."""
_BOUNDS = frozenset({"reaches", "falls_short", "between", "contradiction"})


class Interval(msgspec.Struct, frozen=True):
    """Between which rates a capacity lies, bit/s at the IP layer; None where that end is not known."""

    lower: int | None
    upper: int | None
    needed: int | None

    @property
    def is_known(self) -> bool:
        """At least one end is known."""
        return self.lower is not None or self.upper is not None


class Bar(msgspec.Struct, frozen=True):
    """An interval as it is drawn, in percent of the width: known from 0 to ``known``, open up to ``most``.

    ``is_open``: nothing bounds it from above; ``is_cut``: it goes on beyond the bar.
    """

    known: float
    most: float
    need: float
    is_open: bool
    is_cut: bool
    text: str


def interval_of(verdict: Verdict) -> Interval:
    """The two ends that the judge gave its answer by, and the evidence beside them."""
    ends = next((reason for reason in verdict.reasons if reason.code in _BOUNDS), Reason("no_evidence"))
    lower, upper = (_whole(ends.values.get(name)) for name in ("lower", "upper"))
    return Interval(lower, upper, verdict.needed)


def bar_of(interval: Interval, language: Language) -> Bar | None:
    """How an interval is drawn; None where nothing is needed that could be drawn."""
    if not interval.needed:
        return None
    scale = NEED_AT / interval.needed
    known = (interval.lower or 0) * scale
    is_open = interval.upper is None
    most = 100.0 if interval.upper is None else interval.upper * scale
    return Bar(
        known=round(min(known, 100.0), 2),
        most=round(min(max(most, known), 100.0), 2),
        need=NEED_AT,
        is_open=is_open,
        is_cut=known > 100.0,
        text=interval_text(interval, language),
    )


def interval_text(interval: Interval, language: Language) -> str:
    """«≥ 61 Mbit/s of 120 Mbit/s», in words where nothing is known."""
    lower, upper = interval.lower, interval.upper
    if lower is not None and upper is not None and lower != upper:
        known = f"{format_rate(lower)} – {format_rate(upper)}"
    elif lower is not None:
        known = f"{'=' if lower == upper else '≥'} {format_rate(lower)}"
    elif upper is not None:
        known = f"≤ {format_rate(upper)}"
    else:
        known = translate("not measured", language)
    if interval.needed is None:
        return known
    return translate("{known} of {needed}", language, known=known, needed=format_rate(interval.needed))


def _whole(value: str | float | None) -> int | None:
    return round(value) if isinstance(value, int | float) else None
