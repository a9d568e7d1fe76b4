"""The verdicts room: points become evidence, evidence verdicts, and changed answers stored transitions."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import msgspec

from collector.failures import Failures
from collector.pieces import pieces
from collector.registry import Registry
from collector.settings import VerdictSettings
from collector.verdicts.book import Book, Change
from collector.verdicts.records import Place, Records, Standing, place_of
from config.calendar import SchoolCalendar
from config.evidence import Evidence, evidence_of
from config.judge import not_judged
from config.plan import Plan
from config.plateau import PlateauWatch
from config.points import Point
from config.school import School
from config.verdict import Answer, Verdict

log = logging.getLogger(__name__)

JudgeSchool: TypeAlias = Callable[[Plan, School, Sequence[Evidence], datetime], Iterable[Verdict]]
"""Every verdict of one school under one plan at a time: pure."""

Changed: TypeAlias = tuple[Verdict, Standing | None]
"""A verdict with another answer than how its target stood; None: it is the first."""

TOGETHER = 50
"""Schools that are judged and written at once: points wait so long, and one sync serves them all."""
OTHERS_OVERLAP = timedelta(minutes=2)
"""How far back the evidence of other collectors is read again: their clocks may be that much behind."""


class Judged(msgspec.Struct, frozen=True):
    """A verdict as of now, and since when its answer has been the same."""

    verdict: Verdict
    since: datetime


class _Judgement(NamedTuple):
    """What was judged of a school, as it was declared then; until ``due`` on the monotonic clock."""

    school: School
    due: float
    judged: tuple[Judged, ...]


class VerdictRoom:
    """The verdicts of every school, safe to share between threads; collectors may share its database."""

    def __init__(
        self,
        registry: Registry,
        plans: Mapping[str, Plan],
        judge_school: JudgeSchool,
        calendar: SchoolCalendar,
        settings: VerdictSettings | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plans = plans
        self.records = Records(registry)
        self.failures = Failures("judge")
        self._registry = registry
        self._judge_school = judge_school
        self.calendar = calendar
        self._settings = settings or VerdictSettings()
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._books: dict[str, Book] = {}
        self._plateaus: dict[str, PlateauWatch] = {}
        self._standings: dict[Place, Standing] | None = None
        self._judged: dict[str, _Judgement] = {}
        self._unwritten: dict[str, Change] = {}
        self._read_others_at = now()
        self._dropped_on = now().date()

    def on_points(self, school_id: str, points: Iterable[Point]) -> None:
        """Take points that are journalled; ``settle`` writes what they prove. When this raises nothing of
        them is lost: give them again.
        """
        school = self._registry.school(school_id)
        if school is None:
            return
        points = list(points)
        found = [evidence for point in points for evidence in evidence_of(point, school)]
        with self._lock:
            book = self._book(school_id)  # what may fail comes first: then the watch has not heard the points
            found += self._plateaus.setdefault(school_id, PlateauWatch()).add(points, school)
            change = book.add(found)
            self._keep(school_id, change)
            if change.placed:
                self._judged.pop(school_id, None)

    def settle(self) -> None:
        """Write what the points told until now prove, of all schools in one transaction. What could not be
        written is kept, and written the next time.
        """
        with self._lock:
            if self._unwritten:
                self.records.write_evidence(self._unwritten, self._now())
                self._unwritten = {}

    def tick(self) -> int:
        """Judge the schools that are due and store what changed; gives how many answers changed."""
        with self._lock:
            self.settle()
            self._take_what_others_wrote()
            self._drop_old_evidence()
        changed = [each for some in pieces(self._due(), TOGETHER) for each in self._judge_and_record(some)]
        _tell(changed)
        return len(changed)

    def of_school(self, school_id: str, plan_id: str | None = None) -> list[Judged]:
        """A school's verdicts as of now, under one plan or all; empty for a school or plan not known."""
        school = self._registry.school(school_id)
        plans = [plan for plan in self.plans.values() if plan_id in (None, plan.id)]
        if school is None or not plans:
            return []
        with self._lock:
            evidence = self._book(school_id).evidence()
            standings = self._all_standings()
        judged = self._judge(school, plans, evidence)
        return [Judged(verdict, _since(verdict, standings.get(place_of(verdict)))) for verdict in judged]

    def lately(self, school_id: str) -> tuple[Judged, ...]:
        """A school's verdicts as ``tick`` judged them last, where nothing came since that bears on them.

        At most ``verdicts.rejudge`` old, and the same object until the school is judged again: for who looks
        at every school every few seconds.
        """
        school = self._registry.school(school_id)
        with self._lock:
            held = self._judged.get(school_id)
            if held is not None and school is not None and not self._is_due(school, self._monotonic()):
                return held.judged
        return tuple(self.of_school(school_id))

    def stood_at(self, plan_id: str, moment: datetime, school_id: str | None = None) -> list[Judged]:
        """How every target of a plan stood at a moment, by school and target, as it was judged then."""
        found = self.records.stood_at(plan_id, moment, school_id)
        return [Judged(found[place].verdict, found[place].at) for place in sorted(found)]

    def _book(self, school_id: str) -> Book:
        self._read_books([school_id])
        return self._books[school_id]

    def _read_books(self, school_ids: Iterable[str]) -> None:
        missing = [school_id for school_id in school_ids if school_id not in self._books]
        kept = self.records.evidence(missing) if missing else {}
        for school_id in missing:
            self._books[school_id] = Book(self.calendar.time_zone, kept.get(school_id, ()))

    def _keep(self, school_id: str, change: Change) -> None:
        """Until it is written."""
        if change:
            before = self._unwritten.get(school_id)
            self._unwritten[school_id] = before.followed_by(change) if before else change

    def _all_standings(self) -> dict[Place, Standing]:
        if self._standings is None:
            self._standings = self.records.standings()
        return self._standings

    def _due(self) -> list[School]:
        monotonic = self._monotonic()
        with self._lock:
            return [school for school in self._registry.schools().values() if self._is_due(school, monotonic)]

    def _is_due(self, school: School, monotonic: float) -> bool:
        held = self._judged.get(school.id)
        if held is None or monotonic >= held.due:
            return True
        return held.school is not school and held.school != school

    def _judge_and_record(self, schools: Sequence[School]) -> list[Changed]:
        """Judge schools; gives what changed, as it is written. Another thread may have been faster."""
        with self._lock:
            monotonic = self._monotonic()
            due = [school for school in schools if self._is_due(school, monotonic)]
            self._read_books(school.id for school in due)
            plans = list(self.plans.values())
            verdicts = {
                school.id: self._judge(school, plans, self._books[school.id].evidence()) for school in due
            }
            standings = self._all_standings()
            stood = [(each, standings.get(place_of(each))) for some in verdicts.values() for each in some]
            changed = [
                (verdict, was) for verdict, was in stood if was is None or was.answer is not verdict.answer
            ]
            if changed:
                for school_id in {verdict.school for verdict, _ in changed}:
                    self._keep(school_id, self._books[school_id].unwritten())
                self.settle()
                standings.update(self.records.record(changed))
            for school in due:
                judged = (Judged(v, _since(v, standings.get(place_of(v)))) for v in verdicts[school.id])
                due_at = monotonic + self._settings.rejudge
                self._judged[school.id] = _Judgement(school, due_at, tuple(judged))
        return changed

    def _judge(self, school: School, plans: Iterable[Plan], evidence: Sequence[Evidence]) -> list[Verdict]:
        now = self._now()
        return [verdict for plan in plans for verdict in self._judge_by(plan, school, evidence, now)]

    def _judge_by(
        self, plan: Plan, school: School, evidence: Sequence[Evidence], now: datetime
    ) -> list[Verdict]:
        """Where the judge fails at a school, that school is unknown, and the others are judged."""
        try:
            verdicts = list(self._judge_school(plan, school, evidence, now))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told)
            self.failures.begin(school.id, f"plan={plan.id}", error)
            return not_judged(plan, school, now, self.calendar)
        self.failures.end(school.id, f"plan={plan.id}")
        return verdicts

    def _take_what_others_wrote(self) -> None:
        now = self._now()
        written = self.records.evidence_of_others(self._read_others_at - OTHERS_OVERLAP)
        for school_id, evidence in written.items():
            book = self._books.get(school_id)
            new = [one for one in evidence if book.merge(one)] if book is not None else []
            if new:
                self._judged.pop(school_id, None)
        self._read_others_at = now

    def _drop_old_evidence(self) -> None:
        now = self._now()
        if now.date() == self._dropped_on:
            return
        oldest = now - timedelta(seconds=self._settings.evidence)
        dropped = {school_id: book.drop_before(oldest) for school_id, book in self._books.items()}
        self.records.write_evidence({school_id: each for school_id, each in dropped.items() if each}, now)
        self.records.drop_evidence_written_before(oldest)
        self._dropped_on = now.date()


def _tell(changed: Sequence[Changed]) -> None:
    """A line for each change; the first verdicts of schools, thousands after an import, in one."""
    first = Counter(verdict.answer for verdict, was in changed if was is None)
    if first:
        log.info(
            "first verdicts schools=%d met=%d not_met=%d unknown=%d",
            len({verdict.school for verdict, was in changed if was is None}),
            first[Answer.MET], first[Answer.NOT_MET], first[Answer.UNKNOWN],
        )  # fmt: skip
    for verdict, was in changed:
        if was is not None:
            log.info(
                "verdict changed school=%s plan=%s target=%s was=%s is=%s",
                verdict.school, verdict.plan, verdict.target, was.answer.value, verdict.answer.value,
            )  # fmt: skip


def _since(verdict: Verdict, stood: Standing | None) -> datetime:
    return stood.since if stood is not None and stood.answer is verdict.answer else verdict.at
