"""Which test a school gets now, by what its verdicts need and what the slots allow; what came of it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from collector.responder.denied import Denied
from collector.responder.ledger import GrantedTest, Ledger, Order
from collector.responder.needs import Known, Need, Needs, Trigger
from collector.responder.settings import SlotSettings
from collector.responder.slots import SETUP_SECONDS, Circumstances, Load, Purpose, Slots
from config.bounds import DEFAULT_RULES, Rules
from config.calendar import SchoolCalendar
from config.evidence import Evidence, moment_of
from config.plateau import PlateauWatch
from config.points import Point
from config.school import School, lines_on
from config.units import format_rate
from config.verdict import Verdict

log = logging.getLogger(__name__)

ORDER_HOLDS = timedelta(hours=24)
BAD_GRADES = frozenset({"C", "D", "F"})
"""Latency under load of 60 ms and more asks for another look."""
IDLE = timedelta(minutes=15)
"""A school that needs nothing is judged again for a test after that at the latest."""


class Schools(Protocol):
    """The part of the registry that is asked."""

    def school(self, school_id: str) -> School | None:
        """The school as declared now."""
        ...


class Judge(Protocol):
    """The part of the verdicts room that is asked."""

    def known(self, school_id: str) -> tuple[Sequence[Verdict], Sequence[Evidence]]:
        """A school's verdicts as of now, and its evidence."""
        ...


class Chosen(msgspec.Struct, frozen=True):
    """The test a school gets: why, and what it answers to."""

    need: Need
    family: str
    purpose: Purpose
    order: Order | None = None
    warning: str = ""


class SlotRoom:
    """Chooses and reserves. ``school_of`` and ``judge`` are read; the ledger is written."""

    def __init__(
        self,
        settings: SlotSettings,
        ledger: Ledger,
        schools: Schools,
        judge: Judge,
        calendar: SchoolCalendar,
        *,
        salt: bytes,
        now: Callable[[], datetime],
        rules: Rules = DEFAULT_RULES,
        hears_responder: bool = False,
    ) -> None:
        """``hears_responder``: it reports each test to ``responder_says``; else agents' results settle."""
        self._settings = settings
        self._ledger = ledger
        self._schools = schools
        self._judge = judge
        self._calendar = calendar
        self._slots = Slots(settings, calendar, salt)
        self._needs = Needs(rules, calendar, settings.ahead_school_days)
        self._now = now
        self._hears_responder = hears_responder
        self._idle: dict[str, datetime] = {}
        self._ports: dict[tuple[str, str], int] = {}
        self._plateaus: dict[str, PlateauWatch] = {}
        self._lock = threading.Lock()

    @property
    def most_rate(self) -> int | None:
        """What one test may take at most, bit/s; None where the county's line is not declared."""
        return self._slots.most_rate

    def choose(self, school_id: str, lines: Sequence[str], families: Sequence[str]) -> Chosen:
        """The test that is due. ``lines``: those the agent can test; none: the school's only one.

        Raises Denied.
        """
        school, now = self._school(school_id), self._now()
        orders = self._ledger.orders(school_id, now - ORDER_HOLDS)
        seen = self._seen(now)
        testable = self._testable(school, lines)
        if orders:
            return self._ordered(school, orders[0], seen, testable, families)
        self._slots.refuse_hours(school, seen, Purpose(urgent=True))
        if self._idle.get(school_id, now) > now:
            raise Denied(503, "no test is due", self._poll)
        needs = [need for need in self._needed(school, now) if need.line in testable]
        if not needs:
            self._idle[school_id] = now + IDLE
            raise Denied(503, "no test is due", self._poll)
        return self._first_allowed(school, needs, seen, families)

    def order(self, school_id: str, at: datetime, *, forced: bool, tests: int) -> None:
        """Somebody at a page wants tests of every line of a school: they come before what is due."""
        self._ledger.order(school_id, "", at, forced=forced, tests=tests)

    def allow_asked(self, school_id: str, line: str | None, *, now: bool, forced: bool) -> str:
        """Let an agent test what it chose itself; ``now`` when somebody waits. The warning they get.

        Raises Denied.
        """
        school, at = self._school(school_id), self._now()
        purpose = Purpose(urgent=True, in_person=now, forced=forced)
        self._slots.refuse_hours(school, self._seen(at), purpose)
        declared = [each.id for each in school.lines]
        if line is not None and line not in declared:
            raise Denied(409, f"{line} is no line of the school; allowed: {', '.join(declared) or 'none'}")
        return self._slots.warning(at)

    def reserve(self, test: GrantedTest, purpose: Purpose, order: Order | None) -> None:
        """Set aside the test's share and bytes. Raises Denied when there is no room for it."""
        school = self._school(test.school)
        with self._ledger.deciding():
            now = test.granted_at
            if self._hears_responder:
                self._ledger.drop_unused(now)
            load = Load(
                now,
                reserved=self._ledger.reserved(now),
                month_bytes=self._ledger.bytes_since(school.id, self._slots.month_start(now)),
            )
            self._slots.refuse_load(school, test.bits_per_second, test.bytes, load, forced=purpose.forced)
            self._ledger.grant(test)
            if order is not None:
                self._ledger.carried_out(order)

    def over(self, school_id: str, test_id: str) -> None:
        """The agent says that a test of its has ended: its share is free."""
        self._ledger.end(school_id, test_id, self._now())

    def responder_says(self, test_id: str, moved_bytes: int | None) -> None:
        """A test began (None), or it is over and moved so much."""
        try:
            if moved_bytes is None:
                self._ledger.begun(test_id)
            else:
                self._ledger.moved(test_id, moved_bytes, self._now())
        except sqlite3.Error as error:
            log.warning("capacity test not settled test=%s error=%s", test_id, error)

    def reserved_until(self, now: datetime, ticket_valid: float, seconds: float) -> datetime:
        """When a test that is granted now is surely over."""
        return now + timedelta(seconds=ticket_valid + SETUP_SECONDS + seconds)

    def on_points(self, school_id: str, points: Iterable[Point]) -> None:
        """Hear of results, and of what asks for another look."""
        school = self._schools.school(school_id)
        if school is None:
            return
        points = list(points)
        with self._lock:
            plateaus = self._plateaus.setdefault(school.id, PlateauWatch()).add(points, school)
        for each in plateaus:
            self._notice(school, each.subject, each.at, "a plateau")
        for point in points:
            if point.measurement == "capacity":
                self._take_result(school, point)
            elif point.measurement == "interface" and "line" in point.tags:
                self._watch_port(school, point)

    def _take_result(self, school: School, point: Point) -> None:
        tags, at = point.tags, moment_of(point)
        self._idle.pop(school.id, None)
        moved = point.fields.get("bytes")
        if isinstance(moved, int) and not self._hears_responder:
            self._ledger.settle(school.id, tags.get("direction", ""), tags.get("family", ""), at, moved)
        if point.fields.get("latency_grade") in BAD_GRADES and tags.get("mode") == "verify":
            self._notice(school, tags.get("line"), at, "latency under load")

    def _watch_port(self, school: School, point: Point) -> None:
        speed, line = point.fields.get("port_bits_per_second"), point.tags["line"]
        if not isinstance(speed, int):
            return
        with self._lock:
            before = self._port_before(school.id, line)
            if speed != before:
                self._ledger.note_port(school.id, line, speed)
            self._ports[school.id, line] = speed
        if before is not None and before != speed:
            change = f"the port changed from {format_rate(before)} to {format_rate(speed)}"
            self._notice(school, line, moment_of(point), change)

    def _port_before(self, school_id: str, line: str) -> int | None:
        """Its speed as last heard, before a restart of this collector too."""
        known = self._ports.get((school_id, line))
        return self._ledger.port(school_id, line) if known is None else known

    def _notice(self, school: School, line: str | None, at: datetime, why: str) -> None:
        if line is not None and any(each.id == line for each in school.lines):
            self._idle.pop(school.id, None)
            self._ledger.notice(school.id, Trigger(line, at, why))

    def _ordered(
        self,
        school: School,
        order: Order,
        seen: Circumstances,
        testable: Sequence[str],
        families: Sequence[str],
    ) -> Chosen:
        purpose = Purpose(urgent=True, forced=order.forced)
        self._slots.refuse_hours(school, seen, purpose)
        lines = [line for line in testable if order.line in ("", line)]
        if not lines:
            raise Denied(409, f"line {order.line or 'any'} cannot be tested from this agent")
        ways = [(line, way) for line in lines for way in ("down", "up")]
        line, way = ways[-order.left % len(ways)]
        need = Need(line, "up" if way == "up" else "down", "search", None, "ordered by an admin", rank=0)
        return Chosen(need, families[0], purpose, order, self._slots.warning(seen.now))

    def _first_allowed(
        self, school: School, needs: Sequence[Need], seen: Circumstances, families: Sequence[str]
    ) -> Chosen:
        today = self._ledger.tests_since(school.id, self._slots.day_start(seen.now))
        refusal: Denied | None = None
        for need in needs:
            purpose = Purpose(urgent=need.urgent)
            try:
                self._slots.refuse_hours(school, seen, purpose)
                family = self._family_for(need, today, families, seen.now)
                return Chosen(need, family, purpose)
            except Denied as denied:
                refusal = refusal or denied
        raise refusal or Denied(503, "no test is due", self._poll)

    def _family_for(
        self, need: Need, today: Sequence[GrantedTest], families: Sequence[str], now: datetime
    ) -> str:
        """Each in turn, the agent's first one first; one that gave nothing holds up no other."""
        refusal: Denied | None = None
        for family in _in_turn(need, today, families):
            try:
                self._refuse_again(need, [test for test in today if test.family == family], now)
            except Denied as denied:
                refusal = refusal or denied
            else:
                return family
        raise refusal or Denied(503, "no test is due", self._poll)

    def _refuse_again(self, need: Need, today: Sequence[GrantedTest], now: datetime) -> None:
        """A need that stays after its test gave nothing: later again, a few times a day."""
        tried = [
            test for test in today
            if (test.line, test.direction, test.mode) == (need.line, need.direction, need.mode)
        ]  # fmt: skip
        if len(tried) >= self._settings.tries_per_day:
            raise Denied(503, f"{len(tried)} tests of today gave no answer: tomorrow again", self._poll)
        if tried and now < tried[-1].until + timedelta(seconds=float(self._settings.retry)):
            raise Denied(503, "the last test gave no answer: later again", self._poll)

    def _needed(self, school: School, now: datetime) -> list[Need]:
        verdicts, evidence = self._judge.known(school.id)
        triggers = self._ledger.triggers(school.id)
        return self._needs.of(Known(school, verdicts, evidence, triggers, now))

    def _seen(self, now: datetime) -> Circumstances:
        """What hours depend on: asked often, so no more."""
        return Circumstances(now, self._ledger.suppressions(now))

    def _testable(self, school: School, lines: Sequence[str]) -> list[str]:
        declared = [line.id for line in lines_on(school, self._calendar.local_day(self._now()))]
        if lines:
            return [line for line in lines if line in declared]
        return declared if len(declared) == 1 else []

    def _school(self, school_id: str) -> School:
        school = self._schools.school(school_id)
        if school is None:
            raise Denied(409, f"school {school_id} is not declared")
        return school

    @property
    def _poll(self) -> int:
        return max(1, round(self._settings.poll))


def _in_turn(need: Need, today: Sequence[GrantedTest], families: Sequence[str]) -> list[str]:
    """The families, least tried first."""
    tried = [test.family for test in today if test.line == need.line]
    return sorted(families, key=lambda family: (tried.count(family), families.index(family)))


class VerdictsOf:
    """A Judge over the collector's verdicts room."""

    def __init__(self, room: Any) -> None:
        self._room = room

    def known(self, school_id: str) -> tuple[Sequence[Verdict], Sequence[Evidence]]:
        """See Judge."""
        verdicts = [judged.verdict for judged in self._room.of_school(school_id)]
        evidence: Mapping[str, list[Evidence]] = self._room.records.evidence([school_id])
        return verdicts, evidence.get(school_id, [])
