"""A county with a past: verdicts, outages, minutes of uptime, without waiting for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.registry import Registry
from collector.reports.content import Gatherer
from collector.settings import VerdictSettings
from collector.uptime.causes import Cause
from collector.uptime.history import Change, Outage
from collector.uptime.minutes import DOWN, SCHOOL, UP
from collector.uptime.records import Records
from collector.uptime.settings import UptimeSettings
from collector.verdicts.opening import open_room
from collector.verdicts.room import VerdictRoom
from config.points import FieldValue, Point
from config.school import Area, Line, School

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
PAYLOADS = ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=x", '=HYPERLINK("http://evil.example","x")')
DAY_MINUTES = 1440
M = 1_000_000


class FixedClock:
    """Stands still until it is told."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def wall_ns(self) -> int:
        return round(self.now.timestamp() * 1e6) * 1000

    def monotonic_ns(self) -> int:
        return self.wall_ns()

    def boot_id(self) -> str:
        return "boot"


class County:
    """A registry with its rooms, at NOW."""

    def __init__(self, directory: Path, schools: Sequence[School], plan: str = "shandan") -> None:
        self.clock = FixedClock(NOW)
        self.url = f"sqlite:///{directory / 'registry.db'}"
        self.registry = Registry.open(self.url)
        self.registry.put_schools(schools)
        self.plan = plan
        self.room: VerdictRoom = open_room(self.registry, VerdictSettings(plans=(plan,)), self.clock)
        self.uptime = Records(self.registry)

    def measure(self, school: str, down: int, *, days_ago: float = 1) -> None:
        """A capacity search of the line that counts."""
        at = self.clock.now - timedelta(days=days_ago)
        tags = {"line": "wan", "responder": "county", "direction": "down", "family": "ipv4", "mode": "search",
                "method": "tcp"}  # fmt: skip
        fields: dict[str, FieldValue] = {
            "ip_bits_per_second": down,
            "bound": "equal",
            "limited_by": "nothing",
            "counts_for_line": True,
        }
        self.room.on_points(school, [Point("capacity", tags, fields, round(at.timestamp()) * 10**9)])

    def worked(self, school: str, share: float, days: int = 19) -> None:
        """So much of every day until now, down in the middle of each school day."""
        last = int(self.clock.now.timestamp()) // 86400
        off = round(DAY_MINUTES * (1 - share))
        minutes = UP * 60 + DOWN * off + UP * (DAY_MINUTES - 60 - off)
        self.uptime.put_days({(school, SCHOOL, last - n): minutes for n in range(days)})

    def outage(self, school: str, hours_ago: float, minutes: int, cause: Cause = Cause.LINE) -> None:
        start = self.clock.now - timedelta(hours=hours_ago)
        end = start + timedelta(minutes=minutes)
        found = Outage(school, SCHOOL, start, end, end, "down", cause, "why", True, None, end, None)
        self.uptime.write([Change(found, ())])

    def gatherer(self) -> Gatherer:
        return Gatherer(self.registry, self.room, UptimeSettings())

    def close(self) -> None:
        self.registry.close()


def school(number: int, name: str = "", classes: int | None = 12, area: Area = "urban") -> School:
    line = Line("wan", carrier="电信", responders=("county",))
    return School(f"s{number:03}", name=name or f"第{number}小学", classes=classes, area=area, lines=(line,),
                  township="清泉镇" if number % 2 else "位奇镇")  # fmt: skip


def county_of(directory: Path, count: int = 40) -> County:
    """Schools of every fate; the last ones are named to hurt a spreadsheet."""
    names = {count - place: payload for place, payload in enumerate(PAYLOADS)}
    schools = [
        school(n, names.get(n, ""), None if n % 11 == 0 else 6 + n % 30, "rural" if n % 3 else "urban")
        for n in range(1, count + 1)
    ]
    made = County(directory, schools)
    for n, each in enumerate(schools, start=1):
        if n % 5:
            made.measure(each.id, (40 + 12 * n) * M)
        if n % 4:
            made.worked(each.id, 1 - (n % 9) / 2000)
        if n % 6 == 0:
            made.outage(each.id, 20 + n, 12 + n, Cause.CARRIER if n % 12 else Cause.POWER)
    made.room.tick()
    return made
