"""What live points say of a school's conditions: kept in memory, and never told by a point of the past.

After the collector's own restart nothing is known here until new points tell it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from collector.incidents.baselines import IPV6_LEVEL, Baselines, Place, key_of
from collector.incidents.model import EvidenceReference, Facts, Key, Kind, Quantity
from collector.incidents.rules import KindRules
from collector.incidents.seen import Seen
from config.evidence import moment_of
from config.points import Point
from config.readiness import SUMMARY
from config.uptime import CENTRE, window_seconds_of

_PORTS = ("line", "trunk")
SUBJECT_CHARACTERS = 180
KEYS_KEPT = 256
"""Conditions of one school and kind that points tell of; a client may invent no more of them."""
FRESH = timedelta(minutes=5)
"""A point that is older than this when it arrives is of the past."""
AHEAD = timedelta(minutes=2)
COUNTS = timedelta(minutes=12)
"""So long what was last told of a line or its ports holds: devices' ports are told every 5 minutes."""
PORTS_KEPT = 64
"""Of one line; a client may invent no more of them."""
DEAD_WINDOWS = 2
"""Windows in a row without any answer, after which a line is taken as down before its outage is written."""


class Windows(msgspec.Struct):
    """The ping windows of one path: since when nothing answered, and how many whole windows nothing did. The
    newest went from ``began`` to ``at``.
    """

    silent_since: datetime | None = None
    dead: int = 0
    began: datetime | None = None
    at: datetime | None = None
    answered: bool = False


class LineSign(NamedTuple):
    """What pings over a line say: it is down since ``at``; or, where it is not, the newest window went from
    ``began`` to ``at``.
    """

    down: bool | None = None
    at: datetime | None = None
    began: datetime | None = None

    def answered_since(self, moment: datetime) -> bool:
        """A whole window after a moment had answers."""
        return self.down is False and self.began is not None and self.began >= moment


class Port(NamedTuple):
    """Whether a port has a link, since when, and when it was last told. Its device stands in its name."""

    name: str
    linked: bool
    since: datetime
    told_at: datetime


class Link(NamedTuple):
    """Whether any port of a line has a link, since when, and which port says so."""

    up: bool
    since: datetime
    port: str


class Signs:
    """The signs of every school. ``take`` is called by the consumer's thread, the rest by the room's."""

    def __init__(self, rules: KindRules, baselines: Baselines, started_at: datetime) -> None:
        self._rules = rules
        self._baselines = baselines
        self._lock = threading.Lock()
        self._seen: dict[str, dict[Key, Seen]] = defaultdict(dict)
        self._pings: dict[tuple[str, str], Windows] = defaultdict(Windows)
        self._ports: dict[tuple[str, str], dict[tuple[str, str], Port]] = defaultdict(dict)
        """By school and line, then by agent and name."""
        self._started_at = started_at
        self._levels: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        self._raised: Baselines = {}
        self._last_point: dict[str, datetime] = {}

    def take(self, school_id: str, points: Iterable[Point], now: datetime, lines: tuple[str, ...]) -> bool:
        """Note what new points say; True when a condition's state is another than before."""
        changed = False
        with self._lock:
            for point in points:
                at = moment_of(point)
                if not now - FRESH <= at <= now + AHEAD:
                    continue
                self._last_point[school_id] = max(at, self._last_point.get(school_id, at))
                if point.measurement == "ping":
                    self._ping(school_id, point, at, lines)
                elif point.measurement == "interface":
                    changed |= self._port(school_id, point, at, lines)
                read = _READERS.get(point.measurement)
                for seen in read(self, school_id, point, at) if read else ():
                    changed |= self._note(seen)
        return changed

    def seen(self) -> dict[Key, Seen]:
        """Every condition that a point told of since the collector started."""
        with self._lock:
            return {key: each for school in self._seen.values() for key, each in school.items()}

    def last_points(self) -> dict[str, datetime]:
        """When the newest live point of each school was measured."""
        with self._lock:
            return dict(self._last_point)

    def lines(self, now: datetime) -> dict[tuple[str, str], LineSign]:
        """What the newest ping windows say of each school's lines; nothing where none came lately."""
        with self._lock:
            return {
                place: _of_windows(windows)
                for place, windows in self._pings.items()
                if windows.at is not None and now - windows.at <= COUNTS
            }

    def links(self, now: datetime) -> dict[tuple[str, str], Link]:
        """Whether the lines of which ports were told lately have a link."""
        with self._lock:
            found = {place: _link_of(ports.values(), now) for place, ports in self._ports.items()}
        return {place: link for place, link in found.items() if link is not None}

    def raised(self) -> Baselines:
        """Baselines that are new since this was last asked, to be written."""
        with self._lock:
            raised, self._raised = self._raised, {}
        return raised

    def rebase(self, baselines: Baselines, now: datetime) -> None:
        """Take baselines that were written by others: an accepted one may be lower than ours."""
        with self._lock:
            for place, value in baselines.items():
                if place not in self._raised and self._baselines.get(place) != value:
                    self._baselines[place] = value
                    self._end_accepted(key_of(place), value, now)

    def _end_accepted(self, key: Key, normal: int, now: datetime) -> None:
        seen = self._seen[key.school_id].get(key)
        measured = seen.facts.measured if seen else None
        if seen is not None and seen.holds and measured is not None and measured.value >= normal:
            self._seen[key.school_id][key] = msgspec.structs.replace(seen, holds=False, since=now)

    def _note(self, seen: Seen) -> bool:
        mine = self._seen[seen.key.school_id]
        before = mine.get(seen.key)
        if before is None and not _has_room(mine, seen.key.kind):
            return False
        same = before is not None and before.holds == seen.holds
        mine[seen.key] = msgspec.structs.replace(seen, since=before.since) if same and before else seen
        return not same

    def _baseline(self, school_id: str, name: str, value: int) -> int:
        """The best there was, this one too."""
        place = Place(school_id, name[:SUBJECT_CHARACTERS])
        best = max(value, self._baselines.get(place, value))
        if self._baselines.get(place) != best:
            self._baselines[place] = self._raised[place] = best
        return best

    def _ping(self, school_id: str, point: Point, at: datetime, lines: tuple[str, ...]) -> None:
        line = point.tags.get("line") or (lines[0] if len(lines) == 1 else None)
        sent, lost = _number(point, "sent") or 0, _number(point, "lost") or 0
        if line is None or not sent or point.fields.get("place") == "next_hop":
            return
        length = timedelta(seconds=window_seconds_of(point.fields))
        if lost == sent and point.fields.get("place") == CENTRE and at - length < self._started_at:
            return  # it was the collector that was away
        windows = self._pings[school_id, line]
        if windows.at is None or at - windows.at > length / 2:
            windows.dead = windows.dead + 1 if windows.at is None or not windows.answered else 1
            windows.began, windows.at, windows.answered = at - length, at, False
        if lost < sent:
            last_answer = at - length * (lost / sent)
            windows.answered, windows.dead = True, 0
            windows.silent_since = max(last_answer, windows.silent_since or last_answer)
        elif windows.silent_since is None:
            windows.silent_since = at - length

    def _port(self, school_id: str, point: Point, at: datetime, lines: tuple[str, ...]) -> bool:
        """Note whether a port of a line has a link; True when that is another than before."""
        line, linked = point.tags.get("line"), point.fields.get("operational")
        if line not in lines or point.tags.get("role") not in _PORTS or not isinstance(linked, bool):
            return False
        ports, key = self._ports[school_id, line], (point.tags.get("agent", ""), _port_name(point))
        before = ports.get(key)
        if before is not None and at < before.told_at:
            return False
        if before is None and len(ports) >= PORTS_KEPT:
            del ports[min(ports, key=lambda each: ports[each].told_at)]
        same = before is not None and before.linked is linked and at - before.told_at <= COUNTS
        ports[key] = Port(key[1], linked, before.since if same and before else at, at)
        return not same

    def _interface(self, school_id: str, point: Point, at: datetime) -> Iterator[Seen]:
        if point.tags.get("role") not in _PORTS:
            return
        line, port = point.tags.get("line"), _port_name(point)
        speed = point.fields.get("port_bits_per_second")
        if isinstance(speed, int) and speed > 0 and point.fields.get("operational") is not False:
            best = self._baseline(school_id, f"port/{port}", speed)
            facts = Facts(
                Quantity(speed, "bit/s"), Quantity(best, "bit/s"), _reference(point, at), "port",
                "cable_and_port", values={"interface": port, **({"line": line} if line else {})},
            )  # fmt: skip
            yield Seen(_key("port_slower", school_id, f"port/{port}"), speed < best, at, facts)

    def _capacity(self, school_id: str, point: Point, at: datetime) -> Iterator[Seen]:
        idle, loaded = _number(point, "idle_rtt_seconds"), _number(point, "loaded_rtt_seconds")
        line = point.tags.get("line")
        if idle is None or loaded is None or line is None:
            return
        rule, added = self._rules.latency_under_load, max(0.0, loaded - idle)
        key = _key("latency_under_load", school_id, f"line/{line}/{point.tags.get('direction', '')}")
        before = self._seen[school_id].get(key)
        limit = rule.clears_below if before is not None and before.holds else rule.added
        facts = Facts(
            Quantity(round(added, 4), "s"), Quantity(float(rule.added), "s"), _reference(point, at),
            "configuration", "queue_of_gateway",
            values={"line": line, "direction": point.tags.get("direction", "")},
        )  # fmt: skip
        yield Seen(key, added > limit, at, facts)

    def _router(self, school_id: str, point: Point, at: datetime) -> Iterator[Seen]:
        expected, mac = point.fields.get("expected"), point.tags.get("mac", "")
        if not isinstance(expected, bool) or not mac:
            return
        told = {name: str(point.fields.get(name, "")) for name in ("router", "prefix", "switch_port")}
        values = {"mac": mac, "interface": point.tags.get("interface", ""), **told}
        facts = Facts(
            evidence=_reference(point, at), cause="device", look_at="rogue_device",
            values={name: value for name, value in values.items() if value},
        )  # fmt: skip
        yield Seen(_key("rogue_router", school_id, f"router/{mac}"), not expected, at, facts)

    def _service(self, school_id: str, point: Point, at: datetime) -> Iterator[Seen]:
        days = _number(point, "certificate_days")
        yield from self._certificate(school_id, point.tags.get("service", ""), days, point, at)

    def _site(self, school_id: str, point: Point, at: datetime) -> Iterator[Seen]:
        seconds = _number(point, "certificate_seconds")
        days = None if seconds is None else seconds / 86400
        yield from self._certificate(school_id, point.tags.get("site", ""), days, point, at)

    def _certificate(
        self, school_id: str, name: str, days: float | None, point: Point, at: datetime
    ) -> Iterator[Seen]:
        if days is None or not name:
            return
        limit = self._rules.certificate_ends.days
        facts = Facts(
            Quantity(round(days, 1), "d"), Quantity(limit, "d"), _reference(point, at), "certificate",
            "certificate", values={"service": name},
        )  # fmt: skip
        yield Seen(_key("certificate_ends", school_id, f"service/{name}"), days < limit, at, facts)

    def _readiness(self, school_id: str, point: Point, at: datetime) -> Iterator[Seen]:
        """A level that any run rules out has fallen when it was reached before."""
        least, most = point.fields.get("level_at_least"), point.fields.get("level_at_most")
        source = point.tags.get("source", "ipv6")
        if not isinstance(least, int) or not isinstance(most, int) or source != "ipv6":
            return
        best = self._baseline(school_id, IPV6_LEVEL, least)
        levels = self._levels[school_id]
        levels[point.tags.get("agent", ""), point.tags.get("place", "")] = most
        now = min(levels.values())
        facts = Facts(
            Quantity(now, "level"), Quantity(best, "level"), _reference(point, at), "configuration",
            "ipv6_checks", values={"failed": str(point.fields.get("failed", ""))},
        )  # fmt: skip
        yield Seen(_key("ipv6_fell", school_id, "school"), now < best, at, facts)


def _of_windows(windows: Windows) -> LineSign:
    if windows.dead >= DEAD_WINDOWS:
        return LineSign(True, windows.silent_since)
    return LineSign(False, windows.at, windows.began) if windows.answered else LineSign()


def _link_of(ports: Iterable[Port], now: datetime) -> Link | None:
    """One port with a link is enough: the others may be spare, or of the same bond."""
    told = [each for each in ports if now - each.told_at <= COUNTS]
    linked = [each for each in told if each.linked]
    if not told:
        return None
    says = min(linked, key=_since) if linked else max(told, key=_since)
    return Link(says.linked, says.since, says.name)


def _since(port: Port) -> datetime:
    return port.since


def _port_name(point: Point) -> str:
    return "/".join(part for part in (point.tags.get("device"), point.tags.get("interface")) if part)


def hears(measurement: str, tags: Mapping[str, str]) -> bool:
    """Whether a series tells of conditions, or at least that data come."""
    if measurement == "interface":
        return tags.get("role") in _PORTS
    return measurement in _READERS or measurement in ("ping", "agent")


def _has_room(mine: dict[Key, Seen], kind: Kind) -> bool:
    """For one more condition of a kind; what is over makes room."""
    same = [key for key in mine if key.kind == kind]
    if len(same) < KEYS_KEPT:
        return True
    over = next((key for key in same if mine[key].holds is False), None)
    if over is not None:
        del mine[over]
    return over is not None


def _key(kind: Kind, school_id: str, subject: str) -> Key:
    return Key(kind, school_id, subject[:SUBJECT_CHARACTERS])


def _reference(point: Point, at: datetime) -> EvidenceReference:
    return EvidenceReference("point", at, point.measurement, dict(point.tags))


def _number(point: Point, field: str) -> float | None:
    value = point.fields.get(field)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


_READERS: Mapping[str, Callable[[Signs, str, Point, datetime], Iterator[Seen]]] = {
    "interface": Signs._interface,
    "capacity": Signs._capacity,
    "router_advertisement": Signs._router,
    "service": Signs._service,
    "ipv6_site": Signs._site,
    SUMMARY: Signs._readiness,
}
