"""A county whose incidents a test watches, by a clock that it moves; everything is real but the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from collector.incidents.model import Change, Incident, OnChange
from collector.incidents.room import IncidentRoom
from collector.incidents.rules import Rules
from collector.incidents.settings import IncidentSettings
from collector.ingest.liveness import Heartbeat
from collector.settings import VerdictSettings
from collector.verdicts.opening import open_room
from config.points import FieldValue, Point
from config.school import School
from tests.collector.uptime.county import MONDAY, NS, County

BEAT_SECONDS = 5


class Watched(County):
    """Schools with agents, and the room that watches them."""

    def __init__(
        self,
        directory: Path,
        schools: Sequence[School],
        *,
        start: datetime = MONDAY,
        plans: tuple[str, ...] = (),
        rules: Rules | None = None,
        settings: IncidentSettings | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        super().__init__(directory, schools, start)
        for school in schools:
            self.registry.add_agent(school.id, f"{school.id}-1")
        self.verdicts = open_room(self.registry, VerdictSettings(plans=plans), self.clock)
        self._incident_settings, self._rules, self._on_change = settings, rules, on_change
        self.changes: list[Change] = []
        self.incidents = self.open_incidents()
        self.alive = set(self.registry.schools())

    def open_incidents(self) -> IncidentRoom:
        return IncidentRoom(
            self.registry, self.verdicts, self.room, self.liveness, self._incident_settings,
            rules=self._rules, clock=self.clock, on_change=self._on_change,
        )  # fmt: skip

    def restart(self) -> None:
        """The collector starts anew: what it heard is forgotten, what it wrote is not."""
        self.liveness._agents.clear()
        self.room = self.open_room()
        self.incidents = self.open_incidents()

    def beat(self, school: str, offset_seconds: float = 0.0) -> None:
        wall = self.clock.ns + round(offset_seconds * NS)
        self.liveness.heartbeat(
            f"{school}-1", school, Heartbeat("boot", wall, self.clock.ns, 100.0, "1", "running")
        )

    def point(
        self,
        school: str,
        measurement: str,
        tags: Mapping[str, str],
        *,
        at: datetime | None = None,
        **fields: FieldValue,
    ) -> None:
        """A point measured now, or ``at``, arrives now."""
        time_ns = self.clock.ns if at is None else round(at.timestamp() * NS)
        points = [Point(measurement, {**tags, "agent": f"{school}-1"}, fields, time_ns)]
        self.take(school, f"{school}-1", points)
        self.verdicts.on_points(school, points)
        self.incidents.on_points(school, points)

    def go(self, seconds: float, *, step: int = BEAT_SECONDS, data: bool = True) -> list[Change]:
        """Time passes: who is alive beats and pushes, the collector looks each step; gives what changed."""
        changes: list[Change] = []
        for second in range(0, round(seconds), step):
            self.clock.move(seconds=step)
            for school in sorted(self.alive):
                self.beat(school)
                if data and second % 60 == 0:
                    mark: dict[str, FieldValue] = {"uptime_seconds": 1.0}
                    self.incidents.on_points(school, [Point("agent", {}, mark, self.clock.ns)])
            changes += self.incidents.tick()
        self.changes += changes
        return changes

    def unresolved(self) -> list[Incident]:
        return self.incidents.book.unresolved()


def said(changes: Sequence[Change]) -> list[tuple[str, str, str, str]]:
    """What people are told: kind, school, subject, what."""
    return [
        (each.incident.kind, each.incident.school_id, each.incident.subject, each.what)
        for each in changes
        if each.send
    ]
