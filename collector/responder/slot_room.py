"""Which test a school gets now, by what its verdicts need and what the slots allow; what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from collector.responder.denied import Denied
from collector.responder.far_ends import Away, FarEnd, FarEnds, never
from collector.responder.ledger import GrantedTest, Ledger, Order
from collector.responder.needs import Known, Need, Needs, Trigger, Way
from collector.responder.settings import ResponderSettings
from collector.responder.slots import Circumstances, Purpose, Reserved, Slots
from config.bounds import DEFAULT_RULES, Rules
from config.calendar import SchoolCalendar
from config.evidence import Evidence, moment_of
from config.plateau import PlateauWatch
from config.points import Point
from config.school import Line, School, lines_on
from config.units import format_rate
from config.verdict import Verdict

ORDER_HOLDS = timedelta(hours=24)
BAD_GRADES = frozenset({"C", "D", "F"})
"""Latency under load of 60 ms and more asks for another look."""
LATENCY = "latency under load"
LATENCY_KNOWN = timedelta(days=30)
"""A line that is known for it is not looked at again each time: its next test would see it too."""
WAYS: tuple[Way, ...] = ("down", "up")
AFTER_TEST = timedelta(milliseconds=1)
"""What a test noticed is news to that test itself."""
IDLE = timedelta(minutes=15)
"""A school that needs nothing is judged again for a test after that at the latest."""
PORT_TRUSTED = timedelta(minutes=5)
"""How long this collector believes the speed that it heard itself: another may have heard a change since."""


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
    """The test a school gets: why, to which far end, and what it answers to."""

    need: Need
    family: str
    purpose: Purpose
    far_end: FarEnd
    order: Order | None = None
    warning: str = ""


class Asked(msgspec.Struct, frozen=True):
    """A test that an agent chose itself; its need's line is empty where the host's routes choose."""

    need: Need
    family: str
    purpose: Purpose
    responder: str | None = None
    method: str = "tcp"


class _Testable(msgspec.Struct, frozen=True):
    """What an agent can test: lines by id, families, and the responder it insists on."""

    lines: Mapping[str, Line]
    families: Sequence[str]
    responder: str | None


class _Idle(msgspec.Struct, frozen=True):
    """A school that needs nothing until then, unless something else is noticed."""

    until: datetime
    triggers: Sequence[Trigger]


class SlotRoom:
    """Chooses and reserves. ``school_of`` and ``judge`` are read; the ledger is written."""

    def __init__(
        self,
        settings: ResponderSettings,
        ledger: Ledger,
        schools: Schools,
        judge: Judge,
        calendar: SchoolCalendar,
        *,
        salt: bytes,
        now: Callable[[], datetime],
        rules: Rules = DEFAULT_RULES,
        away: Away = never,
    ) -> None:
        self._settings = settings.slots
        self._far_ends = FarEnds(settings, away)
        self._ledger = ledger
        self._schools = schools
        self._judge = judge
        self._calendar = calendar
        self._slots = Slots(settings.slots, calendar, salt)
        self._needs = Needs(rules, calendar, settings.slots.ahead_school_days)
        self._now = now
        self._idle: dict[str, _Idle] = {}
        self._ports: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._plateaus: dict[str, PlateauWatch] = {}
        self._lock = threading.Lock()

    def choose(
        self, school_id: str, lines: Sequence[str], families: Sequence[str], responder: str | None = None
    ) -> Chosen:
        """The test that is due. ``lines``: those the agent can test; none: the school's only one.

        ``responder``: the one that the agent insists on. Raises Denied.
        """
        school, now = self._school(school_id), self._now()
        standing = self._ledger.standing(school_id, now, now - ORDER_HOLDS)
        seen = Circumstances(now, standing.suppressions)
        testable = _Testable(self._testable(school, lines), families, responder)
        if standing.orders:
            return self._ordered(school, standing.orders[0], seen, testable)
        self._slots.refuse_hours(school, seen, Purpose(urgent=True))
        idle = self._idle.get(school_id)
        if idle is not None and idle.until > now and idle.triggers == standing.triggers:
            raise Denied(503, "no test is due", self._poll)
        verdicts, evidence = self._judge.known(school_id)
        needed = self._needs.of(Known(school, verdicts, evidence, standing.triggers, now))
        needs = [need for need in needed if need.line in testable.lines]
        if not needs:
            self._idle[school_id] = _Idle(now + IDLE, standing.triggers)
            raise Denied(503, "no test is due", self._poll)
        return self._first_allowed(school, needs, seen, testable)

    def order(self, school_id: str, at: datetime, *, forced: bool, tests: int) -> None:
        """Somebody at a page wants tests of every line of a school: they come before what is due."""
        self._ledger.order(school_id, "", at, forced=forced, tests=tests)

    def allow_asked(self, school_id: str, asked: Asked) -> Chosen:
        """Let an agent test what it chose itself. Raises Denied."""
        school, now = self._school(school_id), self._now()
        standing = self._ledger.standing(school_id, now, now - ORDER_HOLDS)
        self._slots.refuse_hours(school, Circumstances(now, standing.suppressions), asked.purpose)
        declared = {line.id: line for line in school.lines}
        if asked.need.line not in ("", *declared):
            allowed = ", ".join(declared) or "none"
            raise Denied(409, f"{asked.need.line} is no line of the school; allowed: {allowed}")
        only = next(iter(declared.values())) if len(declared) == 1 else None
        far_end = self._far_ends.of(asked.responder, declared.get(asked.need.line, only), asked.method)
        warning = self._slots.warning(now)
        return Chosen(asked.need, asked.family, asked.purpose, far_end, warning=warning)

    def reserve(self, test: GrantedTest, chosen: Chosen, *, heard: bool) -> None:
        """Set aside the test's share and bytes. ``heard``: its responder tells the ledger of it.

        Raises Denied when there is no room for it.
        """
        now = test.granted_at
        wanted = Reserved(test.school, test.responder, test.bits_per_second, test.until)
        with self._ledger.deciding() as decision:
            decision.drop_unused(now)
            if not chosen.purpose.forced:
                month_bytes = decision.bytes_since(test.school, self._slots.month_start(now))
                self._slots.refuse_bytes(test.bytes, month_bytes)
            self._slots.refuse_share(wanted, chosen.far_end, decision.reserved(now), now)
            decision.grant(test, chosen.order, heard=heard)

    def over(self, school_id: str, test_id: str, moved_bytes: int | None) -> None:
        """The agent says that a test of its is over, or never began: its share is free."""
        self._ledger.over(school_id, test_id, moved_bytes, self._now())

    def on_points(self, school_id: str, points: Iterable[Point]) -> None:
        """Hear of results, and of what asks for another look."""
        school = self._schools.school(school_id)
        if school is None:
            return
        points, lines = list(points), {line.id for line in school.lines}
        with self._lock:
            plateaus = self._plateaus.setdefault(school.id, PlateauWatch()).add(points, school)
        for each in plateaus:
            self._notice(school, each.subject, each.at, "a plateau")
        for point in points:
            if point.measurement == "capacity":
                self._take_result(school, point)
            elif point.measurement == "interface" and point.tags.get("line") in lines:
                self._watch_port(school, point)

    def _take_result(self, school: School, point: Point) -> None:
        tags, at = point.tags, moment_of(point)
        self._idle.pop(school.id, None)
        if point.fields.get("latency_grade") in BAD_GRADES and not self._is_known_late(
            school, tags.get("line")
        ):
            self._notice(school, tags.get("line"), at + AFTER_TEST, LATENCY)

    def _is_known_late(self, school: School, line: str | None) -> bool:
        now = self._now()
        triggers = self._ledger.standing(school.id, now, now).triggers
        return any(
            (each.line, each.why) == (line, LATENCY) and now - each.at < LATENCY_KNOWN for each in triggers
        )

    def _watch_port(self, school: School, point: Point) -> None:
        speed, line = point.fields.get("port_bits_per_second"), point.tags["line"]
        if not isinstance(speed, int):
            return
        at = moment_of(point)
        before = self._port_before(school.id, line, speed, self._now())
        if before is not None and before != speed:
            change = f"the port changed from {format_rate(before)} to {format_rate(speed)}"
            self._notice(school, line, at, change)

    def _port_before(self, school_id: str, line: str, speed: int, now: datetime) -> int | None:
        """Its speed as any collector last heard; the database is asked for what is new here or too old."""
        with self._lock:
            known, heard_at = self._ports.get((school_id, line), (None, now))
            if known == speed and now - heard_at < PORT_TRUSTED:
                return known
            before = self._ledger.note_port(school_id, line, speed)
            self._ports[school_id, line] = (speed, now)
            return before

    def _notice(self, school: School, line: str | None, at: datetime, why: str) -> None:
        if line is not None and any(each.id == line for each in school.lines):
            self._idle.pop(school.id, None)
            self._ledger.notice(school.id, Trigger(line, at, why))

    def _ordered(self, school: School, order: Order, seen: Circumstances, testable: _Testable) -> Chosen:
        purpose = Purpose(urgent=True, forced=order.forced)
        self._slots.refuse_hours(school, seen, purpose)
        lines = [line for line in testable.lines if order.line in ("", line)]
        if not lines:
            raise Denied(409, f"line {order.line or 'any'} cannot be tested from this agent")
        ways: list[tuple[str, Way]] = [(line, way) for line in lines for way in WAYS]
        line, way = ways[-order.left % len(ways)]
        need = Need(line, way, "search", None, "ordered by an admin", rank=0)
        far_end = self._far_ends.of(testable.responder, testable.lines[line])
        warning = self._slots.warning(seen.now)
        return Chosen(need, testable.families[0], purpose, far_end, order, warning)

    def _first_allowed(
        self, school: School, needs: Sequence[Need], seen: Circumstances, testable: _Testable
    ) -> Chosen:
        today = self._ledger.tests_since(school.id, self._slots.day_start(seen.now))
        refusal: Denied | None = None
        for need in needs:
            purpose = Purpose(urgent=need.urgent)
            try:
                self._slots.refuse_hours(school, seen, purpose)
                family = self._family_for(need, today, testable.families, seen.now)
                far_end = self._far_ends.of(testable.responder, testable.lines[need.line])
                return Chosen(need, family, purpose, far_end)
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
        """A need that stays after its test gave nothing: later again, a few times a day if it moved bytes."""
        tried = [
            test for test in today
            if (test.line, test.direction, test.mode) == (need.line, need.direction, need.mode)
        ]  # fmt: skip
        loaded = sum(test.bytes > 0 for test in tried)
        if loaded >= self._settings.tries_per_day:
            raise Denied(503, f"{loaded} tests of today gave no answer: tomorrow again", self._poll)
        if tried and now < tried[-1].until + timedelta(seconds=float(self._settings.retry)):
            raise Denied(503, "the last test gave no answer: later again", self._poll)

    def _testable(self, school: School, lines: Sequence[str]) -> dict[str, Line]:
        declared = {line.id: line for line in lines_on(school, self._calendar.local_day(self._now()))}
        if lines:
            return {line: declared[line] for line in lines if line in declared}
        return declared if len(declared) == 1 else {}

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
