"""IPv6 readiness: the fifteen checks, what each needs, and the level they add up to. A table, no I/O.

A check passes, fails or is unknown. One that rests on a check that failed is unknown because of that one,
whatever it seemed to show itself, so that every cause is named once. Unknown is never a pass.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from config.points import FieldValue
from config.words import message

MEASUREMENT = "ipv6_check"
SUMMARY = "ipv6_readiness"
HIGHEST_LEVEL = 4


class Result(enum.Enum):
    """What a check says."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"


class Check(NamedTuple):
    """One row: its number, the level it belongs to, the checks it rests on, its name, its standard."""

    number: int
    level: int
    needs: tuple[int, ...]
    title: str
    standard: str


CHECKS = (
    Check(1, 1, (), message("WAN address"), "RFC 4291, RFC 4862 5.4"),
    Check(2, 1, (), message("Default route"), "RFC 4861 7.3, RFC 7084 W-3"),
    Check(3, 2, (), message("Prefix for the LANs"), "RFC 7084 WPD-1, L-2; RFC 8415"),
    Check(4, 2, (3,), message("Router advertisement on the LAN"), "RFC 4861 6.2, RFC 7084 L-6, G-4, G-5"),
    Check(5, 2, (4,), message("DNS on the LAN"), "RFC 8106 5.1, RFC 7084 L-11"),
    Check(6, 2, (4,), message("Client address"), "RFC 4862 5.5"),
    Check(7, 3, (1, 2), message("Reachability"), "RFC 7084 W-3"),
    Check(8, 3, (7,), message("DNS over IPv6"), "RFC 3596, RFC 3901"),
    Check(9, 3, (7,), message("Path MTU"), "RFC 8201"),
    Check(10, 3, (7,), message("ICMPv6"), "RFC 4890 4.3.1"),
    Check(11, 4, (7,), message("Parity with IPv4"), "RFC 8305 5"),
    Check(12, 4, (), message("Rogue router advertisements"), "RFC 6104, RFC 6105"),
    Check(13, 4, (6, 7, 10), message("Inbound"), "RFC 4890 4.3, RFC 6092 3.1"),
    Check(14, 4, (7, 8), message("Site and platforms"), "RFC 3596, RFC 9110"),
    Check(15, 4, (7, 6), message("Actual use"), "RFC 2465"),
)
"""In this order a check stands after all that it rests on."""
BY_NUMBER = {check.number: check for check in CHECKS}


class Finding(msgspec.Struct, frozen=True):
    """What one check found. ``code`` is one of ``config.readiness_words.FINDINGS``, ``values`` its places;
    ``because`` is the number of the check that failed, where this one is unknown for that.
    """

    check: int
    result: Result
    code: str
    values: dict[str, str | int | float] = {}
    because: int | None = None


class Levels(NamedTuple):
    """The level is at least this, at most that."""

    at_least: int
    at_most: int


def passed(check: int, code: str, **values: str | float) -> Finding:
    """A finding that passes."""
    return Finding(check, Result.PASS, code, values)


def failed(check: int, code: str, **values: str | float) -> Finding:
    """A finding that fails."""
    return Finding(check, Result.FAIL, code, values)


def unknown(check: int, code: str, **values: str | float) -> Finding:
    """A finding that is not known, and why."""
    return Finding(check, Result.UNKNOWN, code, values)


def settle(found: Iterable[Finding]) -> list[Finding]:
    """All fifteen in order: what was found, what was not looked at, and what rests on a failure."""
    by_number = {finding.check: finding for finding in found}
    roots: dict[int, int] = {}
    settled = []
    for check in CHECKS:
        finding = by_number.get(check.number) or unknown(check.number, "not_checked")
        root = next((roots[need] for need in check.needs if need in roots), None)
        if root is not None:
            finding = Finding(check.number, Result.UNKNOWN, "because", {"check": root}, because=root)
        if root is not None or finding.result is Result.FAIL:
            roots[check.number] = root if root is not None else check.number
        settled.append(finding)
    return settled


def levels_of(results: Mapping[int, Result]) -> Levels:
    """The level that results show at least and allow at most; a check that is absent is unknown."""
    lowest_failed = min(
        (BY_NUMBER[number].level for number, result in results.items() if result is Result.FAIL),
        default=HIGHEST_LEVEL + 1,
    )
    at_least = 0
    for level in range(1, HIGHEST_LEVEL + 1):
        asked = [check.number for check in CHECKS if check.level == level]
        if not all(results.get(number) is Result.PASS for number in asked):
            break
        at_least = level
    return Levels(at_least, lowest_failed - 1)


def merge(views: Iterable[tuple[Iterable[int], Iterable[int]]]) -> dict[int, Result]:
    """What several agents of one school see, each as (passed, failed): a failure that one sees is one, a pass
    counts where nobody sees a failure, and what rests on a failure is unknown.
    """
    results: dict[int, Result] = {}
    for passes, failures in views:
        for number in passes:
            results.setdefault(number, Result.PASS)
        results.update(dict.fromkeys(failures, Result.FAIL))
    known = [Finding(number, result, "") for number, result in results.items() if number in BY_NUMBER]
    return {finding.check: finding.result for finding in settle(known)}


def summary_fields(findings: Iterable[Finding]) -> dict[str, FieldValue]:
    """Fields of the one point that says what a run of the checks showed; the judge reads these."""
    listed = list(findings)
    levels = levels_of({finding.check: finding.result for finding in listed})
    return {
        "passed": _numbers(listed, Result.PASS),
        "failed": _numbers(listed, Result.FAIL),
        "level_at_least": levels.at_least,
        "level_at_most": levels.at_most,
    }


def numbers_of(text: str) -> tuple[int, ...]:
    """«1,2,12» as numbers of checks; what is none is left out, since a client may write anything."""
    words = (word.strip() for word in text.split(","))
    return tuple(int(word) for word in words if word.isascii() and word.isdigit() and int(word) in BY_NUMBER)


def _numbers(findings: Iterable[Finding], result: Result) -> str:
    return ",".join(str(finding.check) for finding in findings if finding.result is result)
