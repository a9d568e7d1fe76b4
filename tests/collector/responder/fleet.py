"""A county's schools on a paper clock: agents that ask, tests that take their time, points that come back.

Its collectors share one database and nothing else; a balancer gives each request to any of them.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from agent.probes.capacity import HOURS
from collector.registry import Registry
from collector.responder.denied import Denied
from collector.responder.ledger import Ledger
from collector.responder.office import Grant, TestOver, TicketOffice, TicketRequest
from collector.responder.settings import OtherSettings, ResponderSettings, SlotSettings
from collector.responder.slot_room import SlotRoom
from collector.responder.ticket import holder_of
from config.calendar import SchoolCalendar
from config.evidence import Evidence, evidence_of
from config.judge import judge_plan
from config.plan import shipped_plans
from config.points import FieldValue, Point
from config.school import Line, School
from config.units import Seconds
from config.verdict import Verdict

assert HOURS == "outside_school"
KEY = b"k" * 32
M = 10**6


class Ran(msgspec.Struct, frozen=True):
    """One test as it really ran."""

    school: str
    line: str
    direction: str
    mode: str
    rate: int
    bytes: int
    starts: datetime
    ends: datetime
    passed: bool | None
    why: str
    asked: int
    responder: str


class County:
    """Schools with lines of a true rate, collectors' offices, and a clock that only this moves."""

    def __init__(
        self, true_rates: dict[str, int], slots: SlotSettings, start: datetime, *, seed: int = 1,
        registries: Sequence[Registry], calendar: SchoolCalendar | None = None,
        power_cut: tuple[str, ...] = (), classes: int = 4, others: tuple[OtherSettings, ...] = (),
    ) -> None:  # fmt: skip
        """One collector for each of the ``registries``, which are of one database."""
        self.true_rates = true_rates
        self.calendar = calendar or SchoolCalendar()
        self.now = start
        self.grade = "A"
        self.ran: list[Ran] = []
        self.refusals: list[tuple[str, str]] = []
        self.evidence: dict[str, list[Evidence]] = {name: [] for name in true_rates}
        self.schools = {
            name: School(id=name, classes=classes, lines=(Line(id="l1"),), power_cut=power_cut)
            for name in true_rates
        }
        self.ledger = Ledger(registries[0])
        self.plan = shipped_plans()["shandan"]
        self._random = random.Random(seed)
        self._ended: dict[str, tuple[TestOver, Point]] = {}
        settings = ResponderSettings(
            slots=slots, verify=Seconds(4), tickets_per_hour=1000, enabled=False, others=others
        )
        self.offices = [self._office(settings, registry) for registry in registries]

    def _office(self, settings: ResponderSettings, registry: Registry) -> TicketOffice:
        room = SlotRoom(
            settings, Ledger(registry), self, self, self.calendar, salt=b"county", now=lambda: self.now
        )
        return TicketOffice(settings, KEY, wall=self._wall, slots=room)

    @property
    def office(self) -> TicketOffice:
        """That of the collector which the balancer chooses this time."""
        return self._random.choice(self.offices)

    def _wall(self) -> float:
        return self.now.timestamp()

    def school(self, school_id: str) -> School | None:
        return self.schools.get(school_id)

    def known(self, school_id: str) -> tuple[Sequence[Verdict], Sequence[Evidence]]:
        evidence = self.evidence[school_id]
        school = self.schools[school_id]
        return judge_plan(self.plan, school, evidence, self.now, self.calendar), evidence

    def egress(self, school_id: str) -> Verdict:
        """The verdict on its exit now."""
        return next(each for each in self.known(school_id)[0] if each.kind == "egress_per_class")

    def answer(self, school_id: str) -> str:
        """The answer to that."""
        return self.egress(school_id).answer.value

    def run_until(self, end: datetime, poll: float) -> None:
        """Let every agent ask by the poll, and again at once after each test."""
        queue = [
            (self.now + timedelta(seconds=self._random.uniform(0, poll)), name) for name in self.true_rates
        ]
        heapq.heapify(queue)
        while queue[0][0] < end:
            self.now, name = heapq.heappop(queue)
            self._push(name)
            heapq.heappush(queue, (self.now + timedelta(seconds=self._ask(name, poll)), name))
        self.now = end

    def _ask(self, name: str, poll: float) -> float:
        """One question; the seconds until the next."""
        lines = tuple(line.id for line in self.schools[name].lines)
        request = TicketRequest("due", holder_of("s"), lines=lines, families=("ipv4", "ipv6"))
        try:
            grant = self.office.issue(f"{name}-1", name, request, "county")
        except Denied as denied:
            self.refusals.append((name, denied.reason))
            return min(poll, denied.retry_after_seconds or poll) * self._random.uniform(0.9, 1.1)
        return self._test(name, grant)

    def _test(self, name: str, grant: Grant) -> float:
        """A test that runs now; the seconds until the agent asks again."""
        test = grant.test
        assert test is not None
        starts = self.now + timedelta(seconds=1)
        seconds, moved, point = self.run_test(name, grant, starts)
        assert moved <= grant.bytes
        passed = point.fields.get("passed")
        self.ran.append(
            Ran(name, test.line or "", test.direction, test.mode, grant.bits_per_second or 10**10, moved,
                starts, starts + timedelta(seconds=seconds), None if passed is None else bool(passed),
                test.why, test.bits_per_second or 0, grant.responder.id)
        )  # fmt: skip
        self._ended[name] = (TestOver(grant.test_id, moved), point)
        return seconds + 2.0

    def run_test(self, name: str, grant: Grant, starts: datetime) -> tuple[float, int, Point]:
        """What a test of a line of the true rate takes: seconds, bytes, and the point that tells of it."""
        test = grant.test
        assert test is not None
        verifies = test.mode == "verify"
        seconds = 4.0 if verifies else self._random.uniform(1.6, 10.0)
        rate = min(self.true_rates[name], grant.bits_per_second or 10**10)
        moved = round(rate * seconds / 8)
        moved = moved if verifies else min(moved, grant.bytes)
        passed = rate >= (test.bits_per_second or 0) if verifies else None
        return seconds, moved, point_of(grant, rate, moved, passed, starts, grade=self.grade)

    def _push(self, name: str) -> None:
        """A test is over: its slot is given back, and its result comes."""
        if name in self._ended:
            over, point = self._ended.pop(name)
            self.office.over(name, over)
            self.evidence[name] += evidence_of(point, self.schools[name])
            self.office.on_points(name, [point])


def point_of(grant: Grant, rate: int, moved: int, passed: bool | None, at: datetime, *, grade: str) -> Point:
    """What an agent would tell of such a test."""
    test = grant.test
    assert test is not None
    tags = {
        "line": test.line or "", "responder": grant.responder.id, "direction": test.direction,
        "family": test.family, "mode": test.mode, "method": "tcp",
    }  # fmt: skip
    capped = passed is None and rate >= 0.95 * (grant.bits_per_second or 10**12)
    cut = passed is None and moved >= grant.bytes
    bound = "lower" if passed or capped or cut else "upper" if passed is False else "equal"
    fields: dict[str, FieldValue] = {
        "ip_bits_per_second": rate, "bytes": moved, "bound": bound, "counts_for_line": True,
        "limited_by": "rate_cap" if capped else "nothing", "stop_reason": "bytes" if cut else "time",
        "latency_grade": grade,
    }  # fmt: skip
    if passed is not None:
        fields |= {"passed": passed, "asked_bits_per_second": test.bits_per_second or 0}
    return Point("capacity", tags, fields, round(at.timestamp() * 1e9))


def most_at_once(ran: Sequence[Ran]) -> int:
    """The greatest sum of rates of tests that really ran at one time."""
    edges = sorted(
        [(each.starts, 1, each.rate) for each in ran] + [(each.ends, 0, -each.rate) for each in ran]
    )
    total = most = 0
    for _, _, change in edges:
        total += change
        most = max(most, total)
    return most


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A time of the county's clock (UTC+8), in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC) - timedelta(hours=8)
