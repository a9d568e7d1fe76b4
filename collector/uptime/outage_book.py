"""Finds outages in judged minutes, asks for their causes, and writes what that changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta

import msgspec

from collector.failures import Failures, is_away
from collector.registry import Registry
from collector.store.interface import NS, Store
from collector.uptime import minutes as code
from collector.uptime import spells
from collector.uptime.availability import Spans, clipped
from collector.uptime.causes import Cause, Facts, Rules, cause_of
from collector.uptime.history import Change, Fresh, Outage, changes, recaused
from collector.uptime.judging import HORIZON, Judged, MinuteJudge
from collector.uptime.minutes import DAY_SECONDS, SCHOOL, Strip, joined, line_subject, written
from collector.uptime.records import Records
from collector.uptime.settings import UptimeSettings
from config.school import Line, School
from config.uptime import CENTRE, LOSS_LIMIT, NEXT_HOP, Heard

MINUTES_BEFORE, MINUTES_DURING = 10, 30
"""How much before and in an outage is looked at for its cause."""
ABSENCES = (
    (code.AGENT, Cause.AGENT, "the host ran on, the agent was started anew"),
    (code.RESTART, Cause.RESTART, "the agent had announced that it restarts"),
)
CAUSES = "step=causes"
AGAIN = timedelta(minutes=10)
"""A cause that could not be found is asked for again so often: those that began together are too."""
ARRIVAL_MINUTES = 3
"""What a minute takes at most until it is judged: its window, the wait for answers, the push."""
_WORKS = b"udUD"


class OutageBook:
    """The outages of all schools, as they are written."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        records: Records,
        judge: MinuteJudge,
        settings: UptimeSettings,
        *,
        failures: Failures,
        judge_again: Callable[[str, tuple[int, int]], None],
    ) -> None:
        self._judge_again = judge_again
        self._registry = registry
        self._store = store
        self._records = records
        self._judge = judge
        self._settings = settings
        self._failures = failures
        self.failed: dict[int | None, Outage] = {}
        """Those whose cause could not be found: it is asked for again, while their minutes are judged."""
        self._asked_again = datetime.min.replace(tzinfo=UTC)
        self._minute = float(settings.minute)
        self._per_day = round(DAY_SECONDS / self._minute)
        late = ARRIVAL_MINUTES
        self._fresh = Fresh(
            (settings.down_minutes + late) * self._minute, (settings.up_minutes + late) * self._minute
        )
        self._rules = Rules(settings.carrier_schools, settings.centre_schools)

    def find(self, judged: Mapping[str, Judged], now: datetime) -> list[Outage]:
        """Outages that are new or changed after minutes of schools were judged, as written now."""
        starts = {
            school_id: {s: span[0] for s, span in of.items() if s == SCHOOL or s.startswith("line/")}
            for school_id, of in judged.items()
        }
        firsts = {school_id: min(of.values()) for school_id, of in starts.items() if of}
        if not firsts:
            return []
        since = self._since(firsts, now)
        end = int(now.timestamp() // self._minute) + 1
        days = self._records.days_of_all(
            min(first for first, _ in since.values()) // self._per_day, end // self._per_day, list(since)
        )
        changed: list[Change] = []
        for school_id, (first, stored) in since.items():
            for subject in starts[school_id]:
                of_subject = days.get(school_id, {}).get(subject, {})
                strip = joined(of_subject, first, end, self._per_day)
                mine = [each for each in stored if each.subject == subject]
                changed += changes(mine, self._found(school_id, subject, strip), now, self._fresh)
        return self._records.write(changed) if changed else []

    def explain(self, outages: Sequence[Outage], now: datetime, centre_away: Spans) -> list[Outage]:
        """Ask for the causes of outages, of those that failed before, and of all that began together with
        them; gives what changed.

        ``centre_away`` are the minutes in which no collector ran.
        """
        together = timedelta(seconds=self._settings.together)
        again = list(self.failed.values()) if abs(now - self._asked_again) >= AGAIN else []
        starts = [outage.started_at for outage in (*outages, *again)]
        if not starts:
            return []
        near = self._records.outages(min(starts) - 2 * together, max(starts) + 2 * together)
        asked = [
            each
            for each in near
            if each.state == "down" and any(abs(each.started_at - start) <= together for start in starts)
        ]
        # twice: what is common to many is seen once each school's own cause is known
        changed: dict[int | None, Outage] = {}
        before = asked
        for _ in range(2):
            found = self._explained(asked, near, now, centre_away)
            done = self._records.write(found)
            changed.update((each.id, each) for each in done)
            near = [changed.get(each.id, each) for each in near]
            asked = [changed.get(each.id, each) for each in asked]
        if again:
            self._asked_again = now
        self._give_up({each.id for each in again} - {each.id for each in asked}, now)
        was_centre = {each.id for each in before if each.cause is Cause.CENTRE}
        for outage in changed.values():
            if outage.cause is Cause.CENTRE:
                self._excuse(outage)
            elif outage.id in was_centre:
                self._judge_again(outage.school_id, self._span_of(outage))
        return list(changed.values())

    def _since(self, firsts: Mapping[str, int], now: datetime) -> dict[str, tuple[int, list[Outage]]]:
        """For each school: from which minute on to look, so that no outage is cut in two, and what stands
        written since.
        """
        margin = self._settings.down_minutes + self._settings.up_minutes + 1
        asked = {school_id: first - margin for school_id, first in firsts.items()}
        found: dict[str, tuple[int, list[Outage]]] = {}
        while asked:
            stored: dict[str, list[Outage]] = defaultdict(list)
            for each in self._records.outages(self._moment(min(asked.values())), now, school_ids=list(asked)):
                stored[each.school_id].append(each)
            for school_id, first in list(asked.items()):
                start = self._moment(first)
                mine = [each for each in stored[school_id] if each.ended_at is None or each.ended_at > start]
                earliest = min((self._minute_of(each.started_at) - margin for each in mine), default=first)
                if earliest >= first:
                    found[school_id] = asked.pop(school_id), mine
                else:
                    asked[school_id] = earliest
        return found

    def _found(self, school_id: str, subject: str, strip: Strip) -> list[Outage]:
        """The outages of a subject, and when its agent alone had stopped."""
        found = [self._outage(school_id, subject, each, "down") for each in self._spells(strip)]
        for letter, cause, why in ABSENCES if subject == SCHOOL else ():
            for each in spells.absences(strip, letter, self._settings.down_minutes):
                absence = self._outage(school_id, subject, each, "unknown")
                found.append(msgspec.structs.replace(absence, cause=cause, why=why))
        return found

    def _spells(self, strip: Strip) -> list[spells.Spell]:
        return spells.outages(strip, self._settings.down_minutes, self._settings.up_minutes)

    def _outage(self, school_id: str, subject: str, spell: spells.Spell, state: str) -> Outage:
        end = None if spell.end is None else self._moment(spell.end)
        return Outage(
            school_id, subject, self._moment(spell.first), end, self._moment(spell.last_known), state
        )

    def _explained(
        self, asked: Iterable[Outage], near: Sequence[Outage], now: datetime, centre_away: Spans
    ) -> list[Change]:
        """What becomes of the causes of outages. Where that fails at a school its own stay as they are."""
        of_schools: dict[str, list[Outage]] = defaultdict(list)
        for each in asked:
            of_schools[each.school_id].append(each)
        found: list[Change] = []
        for school_id, outages in of_schools.items():
            school = self._registry.school(school_id)
            try:
                found += self._of_school(school, outages, near, now, centre_away) if school else []
            except Exception as error:
                if is_away(error):
                    raise
                self._failures.begin(school_id, CAUSES, error)
                self.failed.update((each.id, each) for each in outages)
            else:
                for each in outages:
                    self.failed.pop(each.id, None)
        return found

    def _give_up(self, gone: Set[int | None], now: datetime) -> None:
        """Ask no more for the causes of outages that are gone or of long ago; a school without any fails no
        more.
        """
        self.failed = {
            number: each
            for number, each in self.failed.items()
            if number not in gone and now - (each.ended_at or each.down_until) < HORIZON
        }
        failing = {each.school_id for each in self.failed.values()}
        for school_id in self._failures.schools(CAUSES) - failing:
            self._failures.end(school_id, CAUSES)

    def _of_school(
        self, school: School, outages: Sequence[Outage], near: Sequence[Outage], now: datetime, away: Spans
    ) -> list[Change]:
        causes = ((each, cause_of(self._facts(each, school, near, away), self._rules)) for each in outages)
        changes = (recaused(each, cause, why, now) for each, (cause, why) in causes)
        return [change for change in changes if change is not None]

    def _facts(self, outage: Outage, school: School, near: Sequence[Outage], centre_away: Spans) -> Facts:
        first, end = self._span_of(outage)
        strip = self._strip(school.id, SCHOOL, first, end)
        heard = self._judge.heard(school.id, first - MINUTES_BEFORE, min(end, first + MINUTES_DURING))
        lines = _lines_of(outage, school)
        during = [
            each for minute in range(first + 1, end) for each in _of_lines(heard.get(minute, []), lines)
        ]
        before = [each for minute in range(first - MINUTES_BEFORE, first) for each in heard.get(minute, [])]
        places = {each.place for each in during if each.place != NEXT_HOP and each.sent}
        facts = Facts(
            power_cut=2 * strip.codes.count(code.POWER) > len(strip.codes),
            rebooted=2 * strip.codes.count(code.REBOOT) > len(strip.codes),
            in_lan=self._in_lan(school.id),
            next_hop=_next_hop(_of_lines(before, lines), during),
            port_down=self._port_down(outage, school, first, end),
            centre_away=2 * sum(b - a for a, b in clipped(centre_away, first, end)) > end - first,
            centre_alone_asked=places == {CENTRE},
            carriers=tuple(sorted({line.carrier for line in lines if line.carrier})),
        )
        return self._with_others(facts, outage, near)

    def _with_others(self, facts: Facts, outage: Outage, near: Sequence[Outage]) -> Facts:
        """Count whom the same hit: those who began together, and whose own reason is none of their own."""
        together = timedelta(seconds=self._settings.together)
        others = [
            each
            for each in near
            if each.state == "down"
            and each.cause not in (Cause.POWER, Cause.RESTART, Cause.LAN)
            and abs(each.started_at - outage.started_at) <= together
        ]
        down = {each.school_id: self._carriers(each) for each in others} | {
            outage.school_id: set(facts.carriers)
        }
        shared = [school for school, carriers in down.items() if carriers & set(facts.carriers)]
        found = msgspec.structs.replace(
            facts,
            schools_down=len(down),
            carriers_down=len(set().union(*down.values())),
            carrier_down=max(1, len(shared)),
        )
        if found.centre_alone_asked and found.schools_down >= self._rules.centre_schools:
            return msgspec.structs.replace(found, schools_up=self._schools_up(outage, set(down)))
        return found

    def _carriers(self, outage: Outage) -> set[str]:
        school = self._registry.school(outage.school_id)
        return {line.carrier for line in _lines_of(outage, school) if line.carrier} if school else set()

    def _schools_up(self, outage: Outage, down: set[str]) -> int:
        """Schools that worked in the outage's second minute."""
        minute = self._minute_of(outage.started_at) + 1
        day, place = divmod(minute, self._per_day)
        found = self._records.days_of_all(day, day, subject=SCHOOL)
        codes = {school_id: days[SCHOOL][day] for school_id, days in found.items() if school_id not in down}
        return sum(len(each) > place and each[place] in _WORKS for each in codes.values())

    def _in_lan(self, school_id: str) -> bool:
        """No agent of the school stands on its gateway."""
        stands = [latest.fields.get("stands_on") for latest in self._store.latest(school_id, "agent")]
        return "lan" in stands and "gateway" not in stands

    def _port_down(self, outage: Outage, school: School, first: int, end: int) -> bool:
        """Most windows of every port that the outage is of say that it was down."""
        series = self._store.points(
            school.id, "interface", fields=["operational"],
            start_ns=round((first + 0.5) * self._minute * NS), end_ns=round(end * self._minute * NS),
        )  # fmt: skip
        wanted = {line.id for line in _lines_of(outage, school)}
        in_lan = self._in_lan(school.id)
        down: list[bool] = []
        for one in series:
            if one.tags.get("line") in wanted or (in_lan and one.tags.get("role") not in ("loopback", None)):
                said = [each.fields["operational"] for each in one.points if "operational" in each.fields]
                down += [2 * said.count(False) > len(said)] if said else []
        return bool(down) and all(down)

    def _excuse(self, outage: Outage) -> None:
        """The minutes of the centre's outage are no school's: they count as not known."""
        first, end = self._span_of(outage)
        days = self._records.days(outage.school_id, first // self._per_day, end // self._per_day)
        mine = days.get(outage.subject, {})
        strip = joined(mine, first, end, self._per_day)
        excused = Strip(first, strip.codes.replace(code.DOWN, code.CENTRE))
        changed = written(mine, excused, self._per_day)
        self._records.put_days(
            {(outage.school_id, outage.subject, day): codes for day, codes in changed.items()}
        )

    def _span_of(self, outage: Outage) -> tuple[int, int]:
        """Its minutes, at least one."""
        first = self._minute_of(outage.started_at)
        return first, max(first + 1, self._minute_of(outage.ended_at or outage.down_until))

    def _strip(self, school_id: str, subject: str, first: int, end: int) -> Strip:
        days = self._records.days(school_id, first // self._per_day, end // self._per_day).get(subject, {})
        return joined(days, first, end, self._per_day)

    def _minute_of(self, moment: datetime) -> int:
        return round(moment.timestamp() / self._minute)

    def _moment(self, minute: int) -> datetime:
        return datetime.fromtimestamp(minute * self._minute, UTC)


def _lines_of(outage: Outage, school: School) -> list[Line]:
    """The lines that an outage is of: one, or all of the school."""
    return [line for line in school.lines if outage.subject in (SCHOOL, line_subject(line.id))]


def _of_lines(heard: Sequence[Heard], lines: Sequence[Line]) -> list[Heard]:
    """What was bound to these lines, and what was bound to none where no probe was bound to any."""
    ids = {line.id for line in lines}
    bound = [each for each in heard if each.line in ids]
    return bound or [each for each in heard if each.line is None]


def _next_hop(before: Sequence[Heard], during: Sequence[Heard]) -> bool | None:
    """Whether the next router answered in the outage; None where it is not asked or never answers."""
    answered = _answered([each for each in during if each.place == NEXT_HOP])
    if answered:
        return True
    return False if answered is False and _answered([e for e in before if e.place == NEXT_HOP]) else None


def _answered(heard: Sequence[Heard]) -> bool | None:
    sent, lost = sum(each.sent for each in heard), sum(each.lost for each in heard)
    return lost < LOSS_LIMIT * sent if sent else None
