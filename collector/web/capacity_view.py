"""A school's capacity tests, the newest first, with what they did to the round-trip time.

Points are kept as measured for days, windows for months: a test that is alone in its window of 5 minutes is
that window, so that older tests are still shown. Their words are not kept, and the page says so; the grade
follows from the round trips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from collector.store.interface import NS, Store
from collector.terminals.result import grade
from config.points import FieldValue
from config.present import DIRECTIONS
from config.units import format_rate
from config.words import Language, message, translate

DAY = 86400
RAW_DAYS = 6
WINDOW_DAYS = 90
SHOWN = 40
NUMBERS = (
    "ip_bits_per_second", "asked_bits_per_second", "idle_rtt_seconds", "loaded_rtt_seconds", "bytes",
    "maximum_1s_bits_per_second",
)  # fmt: skip
FIELDS = (
    *NUMBERS,
    "bound",
    "passed",
    "stop_reason",
    "limited_by",
    "latency_grade",
    "counts_for_line",
    "note",
)
MODES = {"search": message("search"), "verify": message("verify")}
LIMITS = {
    "host_cpu": message("limited by the host's CPU"),
    "far_end": message("limited by the far end"),
    "rate_cap": message("held to a rate"),
    "window": message("limited by the window"),
    "loss_under_reno": message("limited by loss"),
}
PASSED: dict[object, str] = {True: message("passed at"), False: message("failed at")}
FIGURES_ALONE = message("older than six days: its figures alone are kept")
FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
SIGNS = {"equal": "=", "lower": "≥", "upper": "≤"}


class CapacityTest(msgspec.Struct, frozen=True):
    """One test in numbers."""

    at: datetime
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]


class CapacityTestView(msgspec.Struct, frozen=True):
    """One test in words."""

    at: str
    line: str
    direction: str
    mode: str
    result: str
    latency: str
    grade: str
    remark: str


def tests_of(store: Store, school_id: str, now: datetime) -> list[CapacityTest]:
    """The newest tests, newest first. Raises StoreUnavailable."""
    end_ns = round(now.timestamp()) * NS + NS
    raw_from_ns = end_ns - RAW_DAYS * DAY * NS
    found = [*_measured(store, school_id, raw_from_ns, end_ns)]
    if len(found) < SHOWN:
        found += _in_windows(store, school_id, end_ns - WINDOW_DAYS * DAY * NS, raw_from_ns)
    return sorted(found, key=lambda test: test.at, reverse=True)[:SHOWN]


def test_views(tests: Iterable[CapacityTest], language: Language, zone: ZoneInfo) -> list[CapacityTestView]:
    """Each test in words."""
    return [_view(test, language, zone) for test in tests]


def _measured(store: Store, school_id: str, start_ns: int, end_ns: int) -> Iterator[CapacityTest]:
    for series in store.points(school_id, "capacity", fields=FIELDS, start_ns=start_ns, end_ns=end_ns):
        for point in series.points:
            yield CapacityTest(datetime.fromtimestamp(point.time_ns / NS, UTC), series.tags, point.fields)


def _in_windows(store: Store, school_id: str, start_ns: int, end_ns: int) -> Iterator[CapacityTest]:
    found = store.series(
        school_id, "capacity", fields=NUMBERS, start_ns=start_ns, end_ns=end_ns, resolution_seconds=300
    )
    for series in found:
        for window in series.windows:
            fields = {name: each.max for name, each in window.fields.items() if each.count == 1}
            if fields:
                at = datetime.fromtimestamp(window.start_ns / NS, UTC)
                yield CapacityTest(at, series.tags, {**fields, **_words_of(fields)})


def _words_of(figures: Mapping[str, float]) -> Mapping[str, str]:
    """What can still be said of a test whose words are gone."""
    idle, loaded = figures.get("idle_rtt_seconds"), figures.get("loaded_rtt_seconds")
    words = {"note": FIGURES_ALONE}
    return words if idle is None or loaded is None else {**words, "latency_grade": grade(loaded - idle)}


def _view(test: CapacityTest, language: Language, zone: ZoneInfo) -> CapacityTestView:
    tags, fields = test.tags, test.fields
    direction = tags.get("direction", "")
    return CapacityTestView(
        at=f"{test.at.astimezone(zone):%Y-%m-%d %H:%M}",
        line=tags.get("line", "–"),
        direction=translate(DIRECTIONS.get(direction, direction), language),
        mode=_mode(tags, language),
        result=_result(fields, language),
        latency=_latency(fields),
        grade=str(fields.get("latency_grade", "")),
        remark=_remark(fields, language),
    )  # fmt: skip


def _mode(tags: Mapping[str, str], language: Language) -> str:
    mode = translate(MODES.get(tags.get("mode", ""), ""), language)
    return " · ".join(part for part in (mode, FAMILIES.get(tags.get("family", ""), "")) if part)


def _result(fields: Mapping[str, FieldValue], language: Language) -> str:
    rate, asked = _number(fields, "ip_bits_per_second"), _number(fields, "asked_bits_per_second")
    measured = translate("no result", language)
    if rate is not None:
        measured = f"{SIGNS.get(str(fields.get('bound')), '')} {format_rate(rate)}".strip()
    if asked is None:
        return measured
    word = PASSED.get(fields.get("passed"), message("asked"))
    return f"{measured} · {translate(word, language)} {format_rate(asked)}"


def _latency(fields: Mapping[str, FieldValue]) -> str:
    idle, loaded = (_number(fields, f"{name}_rtt_seconds") for name in ("idle", "loaded"))
    texts = ["–" if each is None else f"{each * 1000:.3g}" for each in (idle, loaded)]
    return "–" if idle is None and loaded is None else f"{texts[0]} → {texts[1]} ms"


def _remark(fields: Mapping[str, FieldValue], language: Language) -> str:
    parts = [
        translate(LIMITS.get(str(fields.get("limited_by", "")), ""), language),
        translate("the path left by no declared line", language)
        if fields.get("counts_for_line") is False
        else "",
        translate(str(fields.get("note", "")), language),
    ]
    return " · ".join(dict.fromkeys(part for part in parts if part))


def _number(fields: Mapping[str, FieldValue], name: str) -> float | None:
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
