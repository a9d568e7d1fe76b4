"""The incidents room: looks at the other rooms every few seconds, and writes what became of each incident."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.incidents import grouping
from collector.incidents.book import IncidentBook, Turned
from collector.incidents.conditions import Look, conditions
from collector.incidents.machine import Signal, Situation, turn
from collector.incidents.model import Change, Incident, Key, OnChange, Waiting
from collector.incidents.quiet import exam_on, quiet_until
from collector.incidents.reading import Reader
from collector.incidents.rules import GroupRule, Rule, Rules, load_rules
from collector.incidents.seen import Seen
from collector.incidents.settings import IncidentSettings
from collector.incidents.signs import Signs, hears
from collector.incidents.silences import Silence, SilenceBook, silenced
from collector.ingest.liveness import Liveness
from collector.registry import Registry
from collector.uptime.room import UptimeRoom
from collector.uptime.spells import STATES
from collector.verdicts.room import VerdictRoom
from config.clock import Clock, SystemClock
from config.points import Point

log = logging.getLogger(__name__)

NS = 10**9
BASELINES_EVERY_SECONDS = 60.0
BASELINES_READ_AGAIN = timedelta(minutes=10)
"""How far back baselines of other processes are read: their clocks may be that much behind."""


class IncidentRoom:
    """Every incident of the county. ``on_points`` is told by the consumer, ``tick`` by a ticker.

    ``tick`` judges what verdicts are due first: a deciding point is told of within seconds.
    """

    def __init__(
        self,
        registry: Registry,
        verdicts: VerdictRoom,
        uptime: UptimeRoom,
        liveness: Liveness,
        settings: IncidentSettings | None = None,
        *,
        rules: Rules | None = None,
        clock: Clock | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        self.settings = settings or IncidentSettings()
        self.rules = rules or load_rules(Path(self.settings.rules) if self.settings.rules else None)
        self.book = IncidentBook(registry, on_change)
        self.silences = SilenceBook(registry)
        self.calendar = verdicts.calendar
        self._clock = clock or SystemClock()
        self._registry = registry
        self._verdicts = verdicts
        self._signs = Signs(self.rules.rules, self.book.baselines(), self._now())
        self._started_ns = self._clock.monotonic_ns()
        self._rebase_at = 0.0
        self._reader = Reader(
            registry,
            verdicts,
            uptime,
            liveness,
            signs=self._signs,
            rules=self.rules.rules,
            started_at=self._now(),
        )
        self._slot = timedelta(seconds=self.rules.flapping_slot)

    @staticmethod
    def hears(measurement: str, tags: Mapping[str, str]) -> bool:
        """Whether conditions are read from a series."""
        return hears(measurement, tags)

    def on_points(self, school_id: str, points: Iterable[Point]) -> None:
        """Note what live points tell; what they tell of the past is nobody's news."""
        school = self._registry.school(school_id)
        if school is not None:
            lines = tuple(line.id for line in school.lines)
            self._signs.take(school_id, points, self._now(), lines)

    def tick(self) -> list[Change]:
        """Look at every condition; gives what changed, as it was written."""
        if not self.settings.enabled or not self._has_settled():
            return []
        self._verdicts.tick()
        now = self._now()
        standing = {each.key: each for each in self.book.unresolved()}
        self._share_baselines(standing.values(), now)
        look = self._reader.look(now, frozenset(standing))
        seen = conditions(look)
        groups = grouping.groups(
            seen.values(), _told_parents(standing), self.rules.rules, nobody_heard=_nobody_heard(look)
        )
        seen |= {group.seen.key: group.seen for group in groups}
        standing |= self._begin(seen, standing, now)
        changes = self.book.write(self._turns(seen, groups, standing, now))
        for change in changes:
            _tell(change)
        return changes

    def _share_baselines(self, standing: Iterable[Incident], now: datetime) -> None:
        """Write ours; read what others wrote, at once where somebody has accepted something."""
        self.book.put_baselines(self._signs.raised(), now)
        seconds = self._clock.monotonic_ns() / NS
        if seconds >= self._rebase_at or any(each.accepted_by for each in standing):
            self._rebase_at = seconds + BASELINES_EVERY_SECONDS
            self._signs.rebase(self.book.baselines(now - BASELINES_READ_AGAIN), now)

    def _has_settled(self) -> bool:
        return (self._clock.monotonic_ns() - self._started_ns) / NS >= self.settings.settle

    def _begin(
        self, seen: Mapping[Key, Seen], standing: Mapping[Key, Incident], now: datetime
    ) -> dict[Key, Incident]:
        """Write a pending incident for every condition that holds and has none."""
        new = [each for key, each in seen.items() if each.holds and key not in standing]
        if not new:
            return {}
        before = self.book.last_resolved([each.key for each in new], now - STATES * self._slot)
        pending = [self._pending(each, before.get(each.key), now) for each in new]
        return {each.key: each for each in self.book.begin(pending)}

    def _pending(self, seen: Seen, before: Incident | None, now: datetime) -> Incident:
        kind, school_id, subject = seen.key
        since = seen.since if before is None else max(seen.since, before.resolved_at or seen.since)
        return Incident(
            0, kind, school_id, subject, self.rules.rules.of_key(seen.key).severity, "pending", since, now,
            facts=seen.facts, waits_for="time", turns=(*(before.turns if before else ()), now),
            flapping=before.flapping if before else False,
        )  # fmt: skip

    def _turns(
        self,
        seen: Mapping[Key, Seen],
        groups: Sequence[grouping.Group],
        standing: Mapping[Key, Incident],
        now: datetime,
    ) -> list[Turned]:
        """Parents first: what becomes of them decides about those who are told of with them."""
        situate = Situations(self, seen, groups, standing, now)
        ordered = sorted(standing.values(), key=lambda each: _depth(each.key, seen))
        turned = []
        for incident in ordered:
            step = turn(incident, situate.of(incident))
            situate.after[incident.key] = step.after
            turned.append(Turned(incident, step))
        return turned

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / NS, UTC)


class Situations:
    """What is known of each incident in one round; ``after`` is filled as the round goes."""

    def __init__(
        self,
        room: IncidentRoom,
        seen: Mapping[Key, Seen],
        groups: Sequence[grouping.Group],
        standing: Mapping[Key, Incident],
        now: datetime,
    ) -> None:
        self.after: dict[Key, Incident | None] = {}
        self._room = room
        self._seen = seen
        self._groups = {group.seen.key: group for group in groups}
        self._parents = {key: group.seen.key for group in groups for key in group.members}
        self._standing = standing
        self._now = now
        self._silences: list[Silence] = room.silences.kept(now)
        self._calendar = room.calendar

    def of(self, incident: Incident) -> Situation:
        """What is known of one incident."""
        rules, seen = self._room.rules, self._seen.get(incident.key)
        rule = rules.rules.of_key(incident.key)
        group = self._groups.get(incident.key)
        quiet = quiet_until(rules, rule.severity, self._now, self._calendar.time_zone)
        return Situation(
            self._now,
            self._signal(incident, rule),
            rule,
            timedelta(seconds=rules.flapping_slot),
            since=seen.since if seen else None,
            facts=seen.facts if seen and seen.holds else None,
            held_back=self._held_back(incident),
            parent=self._parent(incident),
            members=self._members(group),
            schools=group.schools if group else (),
            not_before=quiet,
            digest=rule.severity in rules.digest_severities,
        )

    def _signal(self, incident: Incident, rule: Rule) -> Signal:
        """What is not seen is not known; a parent is over once too few of its own can still be hit."""
        if not rule.enabled:
            return "clear"
        seen = self._seen.get(incident.key)
        if seen is not None and seen.holds is not None:
            return "holds" if seen.holds else "clear"
        if not isinstance(rule, GroupRule):
            return "unknown"
        known_over = {key for key, each in self._seen.items() if each.holds is False}
        left = {
            key.school_id
            for key, each in self._standing.items()
            if each.id in incident.children and key not in known_over
        }
        return "unknown" if len(left) >= rule.schools else "clear"

    def _parent(self, incident: Incident) -> int | None:
        """The unresolved incident that this one is a part or a consequence of."""
        seen = self._seen.get(incident.key)
        wanted = self._parents.get(incident.key) or (seen.within if seen and seen.holds else None)
        if wanted is not None:
            parent = self.after.get(wanted)
            return parent.id if parent is not None and parent.state != "resolved" else None
        # what it was told of with ends first: then it is told of by itself, if it still holds
        alive = any(each is not None and each.id == incident.parent for each in self.after.values())
        return incident.parent if alive else None

    def _members(self, group: grouping.Group | None) -> tuple[int, ...]:
        if group is None:
            return ()
        return tuple(sorted(self._standing[key].id for key in group.members if key in self._standing))

    def _held_back(self, incident: Incident) -> Waiting:
        if silenced(incident, self._silences, self._now, self._calendar.time_zone):
            return "silence"
        rules = self._room.rules
        rule = rules.rules.of_key(incident.key)
        if rule.severity in rules.exam_severities and exam_on(self._calendar, self._now):
            return "silence"
        outside = rule.hours == "school" and not self._calendar.in_school_hours(self._now)
        return "school_hours" if outside else ""


def _told_parents(standing: Mapping[Key, Incident]) -> frozenset[Key]:
    """Those that people know; one that is pending still gives way to a wider cause."""
    return frozenset(key for key, each in standing.items() if each.is_parent and each.state != "pending")


def _depth(key: Key, seen: Mapping[Key, Seen]) -> int:
    """Parents of groups, then what is within nothing, then what is within that."""
    if not key.school_id:
        return 0
    depth, within = 1, seen[key].within if key in seen else None
    while within is not None and depth < 4:
        depth, within = depth + 1, seen[within].within if within in seen else None
    return depth


def _nobody_heard(look: Look) -> bool:
    states = {each.state for each in look.presence.values()}
    return "silent" in states and not states & {"heard", "waiting", "restarting"}


def _tell(change: Change) -> None:
    incident = change.incident
    log.info(
        "incident id=%d kind=%s school=%s subject=%s what=%s state=%s since=%s parent=%s children=%d send=%s",
        incident.id, incident.kind, incident.school_id, incident.subject, change.what, incident.state,
        incident.started_at.isoformat(), incident.parent or "", len(incident.children), change.send,
    )  # fmt: skip
