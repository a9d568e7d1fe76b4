"""Verdicts as rows of words for people, in zh-CN and English. Knows no screen: pages, tables and JSON use it.

An answer is always a symbol with a word, so that nothing depends on colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from config.evidence import (
    AccessPoints,
    Declared,
    Evidence,
    EvidenceKind,
    Ipv6Checks,
    Ipv6Level,
    Observed,
    Uplink,
)
from config.reasons import DECLARED, PHRASES, RATES, REASONS, SETTLES
from config.units import format_rate
from config.verdict import Answer, Reason, Settles, Verdict
from config.words import Language, message, translate

if TYPE_CHECKING:
    from rich.table import Table


class Row(msgspec.Struct, frozen=True):
    """One verdict in words. ``verdict`` is «met», «not_met» or «unknown»; ``counts`` is False for the row on
    delivery that stands beside an access target. ``evidence`` and ``notes`` are lines, the weightiest first.
    """

    verdict: str
    symbol: str
    word: str
    target: str
    needed: str
    evidence: tuple[str, ...]
    notes: tuple[str, ...]
    quote: str
    counts: bool = True


class Look(NamedTuple):
    """How an answer is written: never by its colour alone."""

    symbol: str
    word: str
    style: str


LOOKS = {
    Answer.MET: Look("✓", message("met"), "green"),
    Answer.NOT_MET: Look("✗", message("not met"), "red"),
    Answer.UNKNOWN: Look("?", message("unknown"), "yellow"),
}
STYLES = {answer.value: look.style for answer, look in LOOKS.items()}

TITLES = {
    "egress_per_class": message("Egress bandwidth for all classes"),
    "county_backbone": message("County backbone"),
    "uplink_port": message("Uplink port"),
    "campus_backbone": message("Campus backbone"),
    "terminal_speed": message("Speed of every terminal"),
    "two_fibre_networks": message("Two fibre networks"),
    "campus_coverage": message("Campus network coverage"),
    "wireless_coverage": message("Wireless coverage"),
    "ipv6": message("IPv6"),
    "declared": message("Declared, not measured"),
    "delivery": message("What the line delivers"),
}

EVIDENCE_KINDS = {
    EvidenceKind.PASSIVE_PEAK: message("traffic peak"),
    EvidenceKind.PORT_SPEED: message("port speed"),
    EvidenceKind.SEARCH: message("capacity test"),
    EvidenceKind.SEARCH_LIMITED: message("capacity test: at least that much"),
    EvidenceKind.VERIFY_PASSED: message("verify test passed"),
    EvidenceKind.VERIFY_FAILED: message("verify test failed"),
    EvidenceKind.PLATEAU: message("plateau in the traffic"),
    EvidenceKind.DECLARED: message("declared"),
    EvidenceKind.OBSERVED: message("observed"),
    EvidenceKind.TERMINAL_TEST: message("test from a browser"),
}

DIRECTIONS = {"down": message("down"), "up": message("up"), "both": message("both directions")}

_AGES = (
    (86400, message("{n} d ago")),
    (3600, message("{n} h ago")),
    (60, message("{n} min ago")),
    (1, message("{n} s ago")),
)


def rows(verdicts: Iterable[Verdict], language: Language, now: datetime) -> list[Row]:
    """Each verdict in words; ages are those at ``now``."""
    return [row(verdict, language, now) for verdict in verdicts]


def row(verdict: Verdict, language: Language, now: datetime) -> Row:
    """One verdict in words."""
    look = LOOKS[verdict.answer]
    judging = [evidence_text(evidence, language, now) for evidence in verdict.evidence]
    beside = [
        translate("did not judge: {evidence}", language, evidence=evidence_text(evidence, language, now))
        for evidence in verdict.beside
    ]
    return Row(
        verdict=verdict.answer.value,
        symbol=look.symbol,
        word=translate(look.word, language),
        target=_title(verdict, language),
        needed=_needed(verdict, language),
        evidence=(*judging, *beside),
        notes=tuple(_notes(verdict, language)),
        quote=verdict.quote,
        counts=verdict.counts,
    )


def age(seconds: float, language: Language) -> str:
    """How long ago: «3 min ago», «3 分钟前»."""
    for unit, text in _AGES:
        if seconds >= unit:
            return translate(text, language, n=int(seconds // unit))
    return translate("just now", language)


def evidence_text(evidence: Evidence, language: Language, now: datetime) -> str:
    """«down ≥ 61.2 Mbit/s · traffic peak · wan · 3 min ago», with its note if it has one."""
    parts = (
        _bounds(evidence, language),
        _observed(evidence.observed, language) if evidence.observed else "",
        translate(EVIDENCE_KINDS[evidence.kind], language),
        evidence.subject,
        age((now - evidence.at).total_seconds(), language),
        translate(evidence.note, language),
    )
    return " · ".join(part for part in parts if part)


def reason_text(reason: Reason, language: Language) -> str:
    """A reason in words; a code that has none yet is shown as it is, with its values."""
    values = {name: _value_text(name, value, language) for name, value in reason.values.items()}
    code = _code_of(reason)
    if code in REASONS:
        return translate(REASONS[code], language, **values)
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return f"{code.replace('_', ' ')}{f' ({listed})' if listed else ''}"


def settles_text(settles: Settles, language: Language) -> str:
    """What would settle an unknown, in words."""
    what = translate(SETTLES.get(settles.code, settles.code.replace("_", " ")), language)
    details = (
        settles.line or "",
        translate(DIRECTIONS[settles.direction], language) if settles.direction else "",
        format_rate(settles.bits_per_second) if settles.bits_per_second else "",
        _format_bytes(settles.bytes) if settles.bytes else "",
    )
    detail = ", ".join(part for part in details if part)
    text = f"{what} ({detail})" if detail else what
    return translate("Would settle it: {what}", language, what=text)


def probe_state(success: bool | None, unknown: str | None, error: str | None, language: Language) -> str:
    """How a probe fared: «✓ measures», «? unknown: needs CAP_NET_RAW» or «✗ failed: …»."""
    if unknown:
        return "? " + translate("unknown: {why}", language, why=translate(unknown, language))
    if error or success is False:
        return "✗ " + translate("failed: {why}", language, why=error or "?")
    return "✓ " + translate("measures", language)


def table(shown: Sequence[Row], language: Language) -> Table:
    """The rows as a table for a terminal; rich is loaded only here: most of our processes have no screen."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(expand=True, show_lines=True)
    for heading, ratio in (
        (message("Target"), 3), (message("Verdict"), 0), (message("Needed"), 2),
        (message("Evidence"), 5), (message("Remarks"), 4),
    ):  # fmt: skip
        made.add_column(translate(heading, language), ratio=ratio or None, no_wrap=not ratio)
    for one in shown:
        answer = Text(f"{one.symbol} {one.word}", style=STYLES[one.verdict])
        evidence, notes = "\n".join(one.evidence), "\n".join(one.notes)
        made.add_row(Text(one.target), answer, Text(one.needed), Text(evidence), Text(notes))
    return folding(made)


def folding(table: Table) -> Table:
    """The table with cells that fold where they are too long: rich would cut Chinese, which has no spaces."""
    for column in table.columns:
        column.overflow = "fold"
    return table


def _code_of(reason: Reason) -> str:
    ends = {"lower", "upper"} & reason.values.keys()
    one_end = reason.code == "between" and len(ends) == 1
    return f"between_{ends.pop()}" if one_end else reason.code


def _value_text(name: str, value: str | float, language: Language) -> str:
    if isinstance(value, str):
        phrases = value.split(", ") if name in PHRASES else []
        return ", ".join(translate(phrase, language) for phrase in phrases) or value
    return format_rate(value) if name in RATES else f"{value:g}"


def _format_bytes(count: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:g} B"


def _title(verdict: Verdict, language: Language) -> str:
    kind = translate(TITLES.get(verdict.kind, verdict.kind.replace("_", " ")), language)
    text = message("{target} (by {deadline})")
    return translate(text, language, target=kind, deadline=verdict.deadline.isoformat())


def _needed(verdict: Verdict, language: Language) -> str:
    if verdict.needed is None:
        return ""
    return translate("at least {rate}", language, rate=format_rate(verdict.needed))


def _bounds(evidence: Evidence, language: Language) -> str:
    low, high = evidence.lower_bits_per_second, evidence.upper_bits_per_second
    if low is None and high is None:
        return ""
    if low == high and low is not None:
        bound = f"= {format_rate(low)}"
    else:
        limits = (("≥", low), ("≤" if evidence.kind is EvidenceKind.PORT_SPEED else "<", high))
        bound = ", ".join(f"{sign} {format_rate(rate)}" for sign, rate in limits if rate is not None)
    direction = "" if evidence.direction == "both" else translate(DIRECTIONS[evidence.direction], language)
    return f"{direction} {bound}".strip()


def _observed(observed: Observed, language: Language) -> str:
    match observed:
        case AccessPoints():
            text = message("{online} of {installed} access points online")
            return translate(text, language, online=observed.online, installed=observed.installed)
        case Ipv6Level():
            text = message("IPv6 readiness between level {least} and {most}")
            return translate(text, language, least=observed.at_least, most=observed.at_most)
        case Ipv6Checks():
            text = message("IPv6 checks: {passed} pass, {failed} fail")
            return translate(text, language, passed=len(observed.passed), failed=len(observed.failed))
        case Declared():
            by = translate(message(", said by {who}"), language, who=observed.declared_by)
            what = translate(DECLARED.get(observed.what, observed.what), language)
            value = translate(observed.value, language)
            return f"{what}: {value}{by if observed.declared_by else ''}"
        case Uplink():
            return ", ".join(_uplink(observed, language))


def _uplink(uplink: Uplink, language: Language) -> Iterable[str]:
    if uplink.up is not None:
        yield translate(message("port up") if uplink.up else message("port down"), language)
    if uplink.port_type:
        yield translate(PORT_TYPES.get(uplink.port_type, uplink.port_type), language)
    if uplink.next_hop:
        yield translate("next hop {address}", language, address=uplink.next_hop)


PORT_TYPES = {
    "copper": message("copper"),
    "fibre": message("fibre"),
    "direct_attach": message("direct attach cable"),
    "other": message("other medium"),
}


def _notes(verdict: Verdict, language: Language) -> Iterable[str]:
    yield from (reason_text(reason, language) for reason in verdict.reasons)
    if verdict.settles:
        yield settles_text(verdict.settles, language)
    if verdict.due != "due":
        yield translate(DUE[verdict.due], language)
    if not verdict.counts:
        yield translate("Shown, in no total.", language)


DUE = {
    "overdue": message("The plan's date has passed."),
    "lapsed": message("The plan has been declared lapsed."),
}
