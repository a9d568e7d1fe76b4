"""Real rooms and made points: a county whose minutes a test writes, by a clock that it moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.batch import Row, Series, batch_of
from collector.ingest.liveness import Liveness
from collector.registry import Registry
from collector.store.embedded import EmbeddedStore
from collector.store.upkeep import Retention
from collector.uptime.history import Outage
from collector.uptime.report import Report
from collector.uptime.room import UptimeRoom
from collector.uptime.settings import UptimeSettings
from config.calendar import CalendarSettings, SchoolCalendar
from config.points import FieldValue, Point
from config.school import Line, School

NS = 10**9
DAY = 86400.0
MONDAY = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""09:00 in China on a school day."""


class HandClock:
    """Both clocks, moved by hand."""

    def __init__(self, start: datetime) -> None:
        self.ns = round(start.timestamp()) * NS

    def wall_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.ns / NS, UTC)

    def move(self, **span: float) -> None:
        self.ns += round(timedelta(**span).total_seconds() * NS)


class Host:
    """An agent: what it writes minute by minute, kept until it is delivered."""

    def __init__(self, county: County, school: str, *, lan: bool = False) -> None:
        self.county, self.school, self.lan = county, school, lan
        self.agent = f"{school}-1"
        self.boot, self.started = "boot-1", county.clock.now - timedelta(hours=1)
        self.spool: list[Point] = []

    def minute(
        self,
        at: datetime,
        *,
        gateway: bool = True,
        centre: bool = True,
        outside: bool | None = True,
        lines: dict[str, bool] | None = None,
        ports: dict[str, bool] | None = None,
    ) -> None:
        """One minute that begins at ``at``: who answered. ``lines``: probes bound to each line, and whether
        what lies beyond answered by it. ``ports`` of the line, and whether they have a link.
        """
        end_ns = round((at + timedelta(minutes=1)).timestamp()) * NS
        answers = {"next_hop": gateway, "centre": centre, "outside": outside}
        for place, well in answers.items():
            if well is not None:
                self.spool.append(_ping(place, well, end_ns))
        for line, well in (lines or {}).items():
            self.spool += [_ping("next_hop", well, end_ns, line), _ping("outside", well, end_ns, line)]
        for port, linked in (ports or {}).items():
            tags = {"interface": port, "role": "line", "line": self.county.line_of(self.school)}
            self.spool.append(Point("interface", tags, {"operational": linked}, end_ns))
        self.spool.append(self._mark(end_ns))

    def restart(self, at: datetime, boot: str | None = None) -> None:
        """The agent starts at ``at``, after a boot when one is named."""
        self.boot, self.started = boot or self.boot, at
        self.spool.append(self._mark(round(at.timestamp()) * NS))

    def end(self, at: datetime, said: str) -> None:
        """The agent ends as it was told to at ``at``, and writes so; it is pushed later."""
        mark = self._mark(round(at.timestamp()) * NS)
        self.spool.append(Point("agent", {}, {**mark.fields, "ending": said}, mark.time_ns))

    def deliver(self) -> None:
        """Push all that was kept."""
        points, self.spool = self.spool, []
        self.county.take(self.school, self.agent, points)

    def _mark(self, at_ns: int) -> Point:
        uptime = at_ns / NS - self.started.timestamp()
        fields: dict[str, FieldValue] = {
            "boot_id": self.boot, "uptime_seconds": uptime, "stands_on": "lan" if self.lan else "gateway"
        }  # fmt: skip
        return Point("agent", {}, fields, at_ns)


class County:
    """Schools on a real registry and a real store."""

    def __init__(self, directory: Path, schools: Sequence[School], start: datetime = MONDAY) -> None:
        self.clock = HandClock(start)
        self.registry = Registry.open(f"sqlite:///{directory / 'registry.db'}")
        self.registry.put_schools(schools)
        retention = Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
        self.store = EmbeddedStore(directory / "points.db", retention=retention)
        self.liveness = Liveness(self.clock)
        self.calendar = SchoolCalendar(CalendarSettings(public_holidays="none"))
        self.settings = UptimeSettings()
        self.room = self.open_room()
        self.hosts: dict[str, Host] = {}

    def open_room(self) -> UptimeRoom:
        return UptimeRoom(
            self.registry, self.store, self.liveness, self.calendar, self.settings, clock=self.clock
        )

    def host(self, school: str, **about: bool) -> Host:
        return self.hosts.setdefault(school, Host(self, school, **about))

    def line_of(self, school: str) -> str:
        found = self.registry.school(school)
        assert found is not None
        return found.lines[0].id

    def take(self, school: str, agent: str, points: Sequence[Point]) -> None:
        """What ingest does with points."""
        self.liveness.pushed(agent, school)
        own = {"school": school, "agent": agent}
        series = [Series(point.measurement, {**point.tags, **own}) for point in points]
        rows: list[Row] = [(number, point.time_ns, dict(point.fields)) for number, point in enumerate(points)]
        self.store.write([batch_of(school, agent, self.clock.ns, series, rows)])
        self.room.on_points(school, points)

    def outages(self, school: str | None = None, subject: str | None = "") -> list[Outage]:
        start, end = self.clock.now - timedelta(days=10), self.clock.now + timedelta(days=1)
        schools = None if school is None else [school]
        return self.room.records.outages(start, end, school_ids=schools, subject=subject)

    def report(self) -> Report:
        return Report(self.registry, self.calendar, self.settings)

    def close(self) -> None:
        self.room.close()
        self.store.close()
        self.registry.close()


def school(name: str, *carriers: str, power_cut: tuple[str, ...] = ()) -> School:
    lines = tuple(Line(id=f"l{number}", carrier=carrier) for number, carrier in enumerate(carriers, 1))
    return School(id=name, lines=lines, power_cut=power_cut)


def _ping(place: str, well: bool, end_ns: int, line: str | None = None) -> Point:
    tags = {"target": place, "family": "ipv4", **({"line": line} if line else {})}
    fields: dict[str, FieldValue] = {
        "sent": 20, "lost": 0 if well else 20, "place": place, "window_seconds": 60.0
    }  # fmt: skip
    return Point("ping", tags, fields, end_ns)
