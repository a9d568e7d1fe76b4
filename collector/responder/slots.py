"""When a school may be tested: hours, suppression, power, its random moment, bytes, the share. Pure."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from collector.responder.denied import Denied
from collector.responder.far_ends import FarEnd
from collector.responder.settings import SlotSettings
from config.calendar import Hours, SchoolCalendar
from config.school import School
from config.units import format_rate

GRAIN = timedelta(minutes=5)
MOMENTS_SHARE = 0.8
"""A school's moment lies in this first part of a day's free hours: what is left is for those that wait."""
SETUP_SECONDS = 11.0
"""From the handshake to the load, and the slack of its end, as a responder allows them."""


class Reserved(msgspec.Struct, frozen=True):
    """A test that was granted and may still run: its rate (bit/s at the IP layer) and until when."""

    school: str
    responder: str
    bits_per_second: int
    until: datetime


class Suppression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No tests from ``starts`` to ``ends``, of those schools or of all."""

    starts: datetime
    ends: datetime
    why: str = ""
    schools: tuple[str, ...] = ()

    def covers(self, school_id: str, now: datetime) -> bool:
        """Whether that school is not to be tested at that time."""
        return self.starts <= now < self.ends and (not self.schools or school_id in self.schools)


class Circumstances(msgspec.Struct, frozen=True):
    """What hours depend on."""

    now: datetime
    suppressions: Sequence[Suppression] = ()


class Purpose(msgspec.Struct, frozen=True):
    """Why a test is asked for: ``urgent`` does not wait for the school's moment, ``in_person`` is asked by
    somebody who waits, ``forced`` also breaks into lessons and the month's bytes.
    """

    urgent: bool = False
    in_person: bool = False
    forced: bool = False


class Slots:
    """Decides when. Every answer is by the arguments alone; ``salt`` makes the moments those of a county."""

    def __init__(self, settings: SlotSettings, calendar: SchoolCalendar, salt: bytes) -> None:
        self._settings = settings
        self._calendar = calendar
        self._salt = salt
        self._moment = functools.lru_cache(maxsize=4096)(self._drawn_moment)

    def refuse_hours(self, school: School, seen: Circumstances, purpose: Purpose) -> None:
        """Raises Denied unless this is a time for tests of that school."""
        self._refuse_suppressed(school, seen)
        if purpose.forced:
            return
        if self._calendar.expected_off(seen.now, school.power_cut):
            raise Denied(503, "the school's power is off at this hour", self._poll)
        if purpose.in_person:
            return
        if self._calendar.in_school_hours(seen.now) and not self._settings.in_lessons:
            raise Denied(503, "waits for the end of lessons", self._poll)
        if not purpose.urgent and seen.now < self.moment(school, seen.now):
            raise Denied(503, "waits for the school's moment of the day", self._poll)

    def refuse_bytes(self, test_bytes: int, month_bytes: int) -> None:
        """Raises Denied unless a school whose tests moved so much this month may have such a test."""
        left = int(self._settings.bytes_per_month) - month_bytes
        if test_bytes > left:
            raise Denied(429, f"{_size(max(0, left))} are left of this month's; it needs {_size(test_bytes)}")

    def refuse_share(
        self, wanted: Reserved, far_end: FarEnd, running: Sequence[Reserved], now: datetime
    ) -> None:
        """Raises Denied unless the far end's line has room for it beside all tests that may still run."""
        rate, most = wanted.bits_per_second, far_end.most_rate
        beside = [each for each in running if each.responder == far_end.id]
        used = sum(each.bits_per_second for each in beside)
        if any(each.school == wanted.school for each in running):
            raise Denied(503, "a test of this school runs", self._wait(running, now))
        if most is None and len(beside) >= far_end.at_once:
            raise Denied(503, f"{len(beside)} tests run", self._wait(beside, now))
        if most is not None and rate > most:
            what = f"{format_rate(rate)} is more than the county's line may give"
            raise Denied(409, f"{what}, {format_rate(most)}")
        if most is not None and used + rate > most:
            taken = f"{format_rate(used)} of {format_rate(most)}"
            raise Denied(503, f"{taken} are in use", self._wait(beside, now))

    def warning(self, now: datetime) -> str:
        """What somebody should know who tests now; empty for nothing."""
        return (
            "lessons are on: the test takes the line from them" if self._calendar.in_school_hours(now) else ""
        )

    def month_start(self, now: datetime) -> datetime:
        """When the month of ``now`` began, by the county's clock."""
        local = now.astimezone(self._calendar.time_zone)
        return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    def day_start(self, now: datetime) -> datetime:
        """When the day of ``now`` began, by the county's clock."""
        return self._local(self._calendar.local_day(now), time()).astimezone(UTC)

    def moment(self, school: School, now: datetime) -> datetime:
        """From when on the school is tested on the day of ``now``: at random, another each day."""
        return self._moment(school.id, school.power_cut, self._calendar.local_day(now))

    def _drawn_moment(self, school_id: str, power_cut: tuple[Hours, ...], day: date) -> datetime:
        free = list(self._free(power_cut, day))
        if not free:
            return self._local(day + timedelta(days=1), time())
        seed = hashlib.sha256(self._salt + f"{school_id} {day}".encode()).digest()
        place = int.from_bytes(seed[:8], "big") / 2**64 * MOMENTS_SHARE * len(free)
        return free[int(place)] + GRAIN * (place % 1)

    def _free(self, power_cut: tuple[Hours, ...], day: date) -> Iterable[datetime]:
        """The day's steps of five minutes that are outside lessons and with power."""
        start = self._local(day, time())
        for step in range(timedelta(days=1) // GRAIN):
            at = start + step * GRAIN
            lessons = self._calendar.in_school_hours(at) and not self._settings.in_lessons
            if not lessons and not self._calendar.expected_off(at, power_cut):
                yield at

    def _local(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, self._calendar.time_zone)

    def _refuse_suppressed(self, school: School, seen: Circumstances) -> None:
        for each in seen.suppressions:
            if each.covers(school.id, seen.now):
                why = f": {each.why}" if each.why else ""
                raise Denied(503, f"tests are suppressed until {each.ends:%Y-%m-%dT%H:%M%z}{why}", self._poll)

    def _wait(self, running: Sequence[Reserved], now: datetime) -> int:
        first = min(each.until for each in running)
        return max(1, min(self._poll, round((first - now).total_seconds()) + 1))

    @property
    def _poll(self) -> int:
        return max(1, round(self._settings.poll))


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"
