"""The minutes of a day as bytes, one a minute: how states are kept, and cut out of days.

A day is a UTC day, so that no day has 23 hours; what is a school hour is asked when minutes are counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import msgspec

from config.uptime import Minute, State

DAY_SECONDS = 86400
USUAL_MINUTES = 1440
UP, DEGRADED, DOWN, UNKNOWN = b"u", b"d", b"x", b"?"
UP_ON_ONE_LINE, DEGRADED_ON_ONE_LINE = b"U", b"D"
CENTRE = b"c"
"""Not known, because the measuring node itself was away."""
POWER = b"p"
"""Down: no data, and the host booted anew after it."""
AGENT = b"a"
"""Not known, because the agent alone had stopped."""
RESTART = b"r"
"""Not known, because the agent was started anew as it had announced."""
REBOOT = b"b"
"""Down: the host was shut down as its agent had announced, and booted anew."""
OFF = b"o"
"""No data in hours when the school's power is cut: expected."""
SCHOOL = ""
"""The subject of a whole school; others are «line/ID», «ipv4» and «ipv6»."""

_CODES = {State.UP: UP, State.DEGRADED: DEGRADED, State.DOWN: DOWN, State.UNKNOWN: UNKNOWN}
_ON_ONE_LINE = {UP: UP_ON_ONE_LINE, DEGRADED: DEGRADED_ON_ONE_LINE}


class Strip(msgspec.Struct, frozen=True):
    """Minutes in a row. ``first`` counts minutes since 1970 UTC, in minutes of the same length."""

    first: int
    codes: bytes

    @property
    def end(self) -> int:
        """The minute after the last one."""
        return self.first + len(self.codes)

    def cut(self, first: int, end: int) -> Strip:
        """The minutes from ``first`` to before ``end`` that are in the strip."""
        start = max(first, self.first)
        return Strip(start, self.codes[start - self.first : max(0, end - self.first)])


def line_subject(line: str) -> str:
    """The subject of one line."""
    return f"line/{line}"


def codes_of(minute: Minute) -> dict[str, bytes]:
    """The code of each subject that a minute says something of."""
    school = _CODES[minute.school]
    if minute.one_line_only:
        school = _ON_ONE_LINE.get(school, school)
    found = {SCHOOL: school, **{family: _CODES[state] for family, state in minute.families.items()}}
    return found | {line_subject(line): _CODES[state] for line, state in minute.lines.items()}


def pack(codes: bytes) -> bytes:
    """A day's codes as they are stored: most days are one long run."""
    return zlib.compress(codes, 6)


def unpack(packed: bytes) -> bytes:
    """The reverse of ``pack``."""
    return zlib.decompress(packed, bufsize=USUAL_MINUTES)


def joined(days: Mapping[int, bytes], first: int, end: int, per_day: int) -> Strip:
    """The minutes from ``first`` to before ``end``; a day that is not there is unknown."""
    empty = UNKNOWN * per_day
    numbers = range(first // per_day, -(-end // per_day))
    whole = b"".join(_of_length(days.get(day, empty), per_day) for day in numbers)
    return Strip(numbers.start * per_day, whole).cut(first, end) if numbers else Strip(first, b"")


def written(days: Mapping[int, bytes], strip: Strip, per_day: int) -> dict[int, bytes]:
    """The days that a strip changes, as they are then."""
    changed = {}
    for day, part in _by_day(strip, per_day):
        before = _of_length(days.get(day, UNKNOWN * per_day), per_day)
        start = part.first - day * per_day
        after = before[:start] + part.codes + before[start + len(part.codes) :]
        if after != before or day not in days:
            changed[day] = after
    return changed


def _by_day(strip: Strip, per_day: int) -> Iterator[tuple[int, Strip]]:
    for day in range(strip.first // per_day, -(-strip.end // per_day)):
        yield day, strip.cut(day * per_day, (day + 1) * per_day)


def _of_length(codes: bytes, per_day: int) -> bytes:
    """Days that were kept with minutes of another length are not comparable: unknown."""
    return codes if len(codes) == per_day else UNKNOWN * per_day
