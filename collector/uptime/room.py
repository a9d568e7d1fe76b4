"""The uptime room: points become minutes, minutes outages with causes; and who is silent now."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta

from collector.failures import Failures, is_away
from collector.ingest.liveness import Liveness
from collector.pieces import pieces
from collector.registry import Registry
from collector.store.interface import NS, Store
from collector.uptime.availability import Spans, merged
from collector.uptime.dirty import Dirty
from collector.uptime.evidence import minutes_of_window
from collector.uptime.history import Outage
from collector.uptime.judging import HORIZON, MinuteJudge, Waiting
from collector.uptime.outage_book import OutageBook
from collector.uptime.outside import OutsideLook
from collector.uptime.presence import Presence, Watch
from collector.uptime.records import Records
from collector.uptime.report import Report
from collector.uptime.settings import UptimeSettings
from config.calendar import SchoolCalendar
from config.clock import Clock, SystemClock
from config.points import Point
from config.uptime import window_seconds_of

log = logging.getLogger(__name__)

TOGETHER = 100
"""Schools whose minutes are judged and written at once."""
MINUTES = "step=minutes"
RUN_BEAT_SECONDS = 10.0
RUN_GAP = timedelta(seconds=45)
"""Less between two runs of the collector is a restart, which agents bridge."""


class UptimeRoom:
    """Uptime of every school. ``on_points`` is told by the consumer, ``tick`` by a ticker."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        liveness: Liveness,
        calendar: SchoolCalendar,
        settings: UptimeSettings | None = None,
        *,
        heartbeat_seconds: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or UptimeSettings()
        self.records = Records(registry)
        self.failures = Failures("uptime")
        self.calendar = calendar
        self._clock = clock or SystemClock()
        self._registry = registry
        self._minute = float(self.settings.minute)
        self._pings, self._marks = Dirty(), Dirty()
        self._judge = MinuteJudge(store, self.records, calendar, self.settings)
        self._book = OutageBook(
            registry, store, self.records, self._judge, self.settings, failures=self.failures,
            judge_again=lambda school_id, span: self._pings.add(school_id, [span]),
        )  # fmt: skip
        self._unexplained: dict[int | None, Outage] = {}
        """Found, and kept until a round goes to its end: it is found once, and would stay without a cause."""
        self._run = self.records.begin_run(self._now())
        self._beat_ns = self._clock.monotonic_ns()
        self._look = self._outside_look()
        self.watch = Watch(
            registry, liveness, calendar, self.settings, heartbeat_seconds=heartbeat_seconds,
            monotonic_ns=self._clock.monotonic_ns, wall_ns=self._clock.wall_ns,
            gateway_answers=self._look.answers if self._look else lambda _school: None,
        )  # fmt: skip
        self.report = Report(registry, calendar, self.settings)
        self._told: dict[str, str] = {}

    def start(self) -> None:
        """Begin to look from outside, where settings ask for it."""
        if self._look:
            self._look.start()

    def close(self) -> None:
        """End, and write until when this collector ran."""
        if self._look:
            self._look.stop()
        self.records.see_run(self._run, self._now())

    @staticmethod
    def hears(measurement: str, _: Mapping[str, str]) -> bool:
        """The series whose points are looked at."""
        return measurement in {"ping", "agent"}

    def on_points(self, school_id: str, points: Iterable[Point]) -> None:
        """Note which minutes have new points."""
        oldest = self._oldest(self._now())
        pings, marks = [], []
        for point in points:
            if point.measurement == "ping":
                minutes = minutes_of_window(point.time_ns, window_seconds_of(point.fields), self._minute)
                pings.append((minutes[0], minutes[-1] + 1))
            elif point.measurement == "agent" and "boot_id" in point.fields:
                minute = int(point.time_ns // (self._minute * NS))
                marks.append((minute, minute + 1))
        for waiting, spans in ((self._pings, pings), (self._marks, marks)):
            recent = [span for span in spans if span[0] >= oldest]
            if recent:
                waiting.add(school_id, recent)

    def tick(self) -> int:
        """Judge what has new points; gives how many outages are new or changed."""
        now = self._now()
        self._beat(now)
        self._tell_silence()
        pings, marks = self._pings.take(), self._marks.take()
        try:
            changed = self._judge_all(pings, marks, now)
        except BaseException:
            self._pings.give_back(pings)
            self._marks.give_back(marks)
            raise
        return changed

    def presence(self, school_id: str | None = None) -> list[Presence]:
        """Who is heard and who is silent now, and what is known of it."""
        return self.watch.now(school_id)

    def going_on(self) -> list[Outage]:
        """Outages that go on now, as live data told: never what backfill brought of the past."""
        now = self._now()
        found = self.records.outages(now - timedelta(seconds=1), now + timedelta(seconds=1))
        return [each for each in found if each.ended_at is None and each.live and each.state == "down"]

    def centre_away(self, since: datetime) -> list[tuple[int, int]]:
        """The minutes in which no collector ran, by the collectors' own record."""
        return away_minutes(self.records.runs(since), self._minute)

    def _judge_all(self, pings: Mapping[str, Spans], marks: Mapping[str, Spans], now: datetime) -> int:
        if not pings and not marks and not self._book.failed:
            return 0
        away = self.centre_away(now - HORIZON)
        schools = self._registry.schools()
        for some in self._together({*pings, *marks} & schools.keys()):
            waiting = [Waiting(schools[each], pings.get(each, []), marks.get(each, [])) for each in some]
            self._find(waiting, away, now)
        asked = [e for e in self._unexplained.values() if e.state == "down" and e.withdrawn_at is None]
        explained = self._book.explain(asked, now, away)
        final = self._unexplained | {each.id: each for each in explained}
        self._unexplained = {}
        for outage in final.values():
            _tell(outage)
        return len(final)

    def _together(self, school_ids: Set[str]) -> Iterator[tuple[str, ...]]:
        """Pieces of the schools; one that judging failed at stands alone, so that the others need not."""
        failing = school_ids & self.failures.schools(MINUTES)
        yield from pieces(sorted(school_ids - failing), TOGETHER)
        yield from pieces(sorted(failing), 1)

    def _find(self, waiting: Sequence[Waiting], away: Spans, now: datetime) -> None:
        """Judge schools, and note their outages that are new or changed as soon as they are written. Where
        that fails each is judged alone, and the minutes of the one that it fails at wait again.
        """
        try:
            found = self._book.find(self._judge.judge(waiting, away), now)
        except Exception as error:
            if is_away(error):
                raise
            if len(waiting) > 1:
                for one in waiting:
                    self._find([one], away, now)
                return
            self._put_off(waiting[0], now)
            self.failures.begin(waiting[0].school.id, MINUTES, error)
            return
        self._unexplained.update((outage.id, outage) for outage in found)
        for each in waiting:
            self.failures.end(each.school.id, MINUTES)

    def _put_off(self, waiting: Waiting, now: datetime) -> None:
        oldest = self._oldest(now)
        for dirty, spans in ((self._pings, waiting.pings), (self._marks, waiting.marks)):
            dirty.add(waiting.school.id, [(max(first, oldest), end) for first, end in spans if end > oldest])

    def _beat(self, now: datetime) -> None:
        monotonic_ns = self._clock.monotonic_ns()
        if monotonic_ns - self._beat_ns >= RUN_BEAT_SECONDS * NS:
            self._beat_ns = monotonic_ns
            self.records.see_run(self._run, now)

    def _tell_silence(self) -> None:
        """One line in the log when a school falls silent, when somebody is to be called, when it is back."""
        for each in self.watch.now():
            state = "call" if each.call else each.state
            before = self._told.get(each.school, "heard")
            if state != before and {state, before} & {"silent", "call"}:
                log.warning(
                    "presence school=%s was=%s is=%s together=%d carriers=%s",
                    each.school, before, state, len(each.silent_together), ",".join(each.carriers),
                )  # fmt: skip
            self._told[each.school] = state

    def _outside_look(self) -> OutsideLook | None:
        settings = self.settings
        if not settings.look_from_outside:
            return None
        return OutsideLook(self._silent_addresses, settings.outside_every, settings.outside_addresses)

    def _silent_addresses(self) -> dict[str, Sequence[str]]:
        schools = self._registry.schools()
        silent = [each.school for each in self.watch.now() if each.state == "silent"]
        return {
            school_id: [line.public_address for line in schools[school_id].lines if line.public_address]
            for school_id in silent
            if school_id in schools
        }

    def _oldest(self, now: datetime) -> int:
        """The first minute that is still judged."""
        return int((now - HORIZON).timestamp() // self._minute)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / NS, UTC)


def away_minutes(runs: Sequence[tuple[datetime, datetime]], minute_seconds: float) -> list[tuple[int, int]]:
    """The minutes between runs; a minute counts when more than half of it was without."""
    found = []
    until: datetime | None = None
    for started, seen in runs:
        if until is not None and started - until > RUN_GAP:
            found.append((_nearest(until, minute_seconds), _nearest(started, minute_seconds)))
        until = seen if until is None else max(until, seen)
    return merged(found)


def _nearest(moment: datetime, minute_seconds: float) -> int:
    return round(moment.timestamp() / minute_seconds)


def _tell(outage: Outage) -> None:
    log.info(
        "outage id=%s school=%s subject=%s state=%s from=%s to=%s cause=%s live=%s withdrawn=%s",
        outage.id, outage.school_id, outage.subject or "school", outage.state, outage.started_at.isoformat(),
        outage.ended_at.isoformat() if outage.ended_at else "", outage.cause.value, outage.live,
        outage.withdrawn_at is not None,
    )  # fmt: skip
