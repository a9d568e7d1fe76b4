"""Reads the other rooms for one look at all conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from collector.incidents.conditions import Judged, Look, target_key
from collector.incidents.model import Key
from collector.incidents.rules import KindRules
from collector.incidents.signs import Signs
from collector.ingest.liveness import Liveness
from collector.registry import Registry
from collector.registry.tables import StandingRow, TransitionRow
from collector.uptime.room import UptimeRoom
from collector.verdicts.records import Place
from collector.verdicts.room import VerdictRoom
from config.school import Line, School, lines_on
from config.verdict import Answer, Verdict

T = TypeVar("T")


class Reader:
    """The rooms that conditions are read from."""

    def __init__(
        self,
        registry: Registry,
        verdicts: VerdictRoom,
        uptime: UptimeRoom,
        liveness: Liveness,
        *,
        signs: Signs,
        rules: KindRules,
        started_at: datetime,
    ) -> None:
        self._registry = registry
        self._verdicts = verdicts
        self._uptime = uptime
        self._liveness = liveness
        self._signs = signs
        self._rules = rules
        self._started_at = started_at
        self._lines_of: tuple[object, date | None, Mapping[str, tuple[Line, ...]]] = (None, None, {})
        self._judged: dict[tuple[Place, int], Judged] = {}

    def look(self, now: datetime, standing: frozenset[Key]) -> Look:
        """Everything as it is now; ``standing`` are the keys of the incidents that are not resolved."""
        schools = self._registry.schools()
        lines = self._lines_on(schools, self._verdicts.calendar.local_day(now))
        return Look(
            now=now,
            started_at=self._started_at,
            schools=schools,
            lines=lines,
            presence={each.school: each for each in self._uptime.presence()},
            outages=tuple(self._uptime.going_on()),
            agents=tuple(self._liveness.all()),
            silent_seconds=self._liveness.silent(),
            not_met=tuple(self._not_met()),
            answers=self._answers(standing),
            signs=self._signs.seen(),
            line_signs=_in_use(self._signs.lines(now), lines),
            links=_in_use(self._signs.links(now), lines),
            last_points=self._signs.last_points(),
            standing=standing,
            rules=self._rules,
        )

    def _lines_on(self, schools: Mapping[str, School], day: date) -> Mapping[str, tuple[Line, ...]]:
        """The lines in use, read again when schools were declared anew and each day."""
        if self._lines_of[0] is not schools or self._lines_of[1] != day:
            self._lines_of = schools, day, {school.id: lines_on(school, day) for school in schools.values()}
        return self._lines_of[2]

    def _not_met(self) -> list[Judged]:
        """What stands as not met under the plans that are judged here."""
        stands = sa.select(
            StandingRow.school_id, StandingRow.plan, StandingRow.target, StandingRow.number, StandingRow.since
        ).where(StandingRow.answer == Answer.NOT_MET.value, StandingRow.plan.in_(list(self._verdicts.plans)))
        with self._registry.reading() as connection:
            rows = connection.execute(stands).all()
        wanted = {(Place(*row[:3]), row.number): row.since for row in rows}
        missing = [each for each in wanted if each not in self._judged]
        self._judged = {key: each for key, each in self._judged.items() if key in wanted}
        for school_id in sorted({place.school_id for place, _ in missing}):
            self._read_verdicts(school_id, wanted)
        return [self._judged[key] for key in wanted if key in self._judged]

    def _read_verdicts(self, school_id: str, wanted: dict[tuple[Place, int], datetime]) -> None:
        """The verdicts of one school as they were judged when their answers changed."""
        row = TransitionRow
        numbers = sorted({number for place, number in wanted if place.school_id == school_id})
        chosen = sa.select(row.plan, row.target, row.number, row.verdict).where(
            row.school_id == school_id, row.number.in_(numbers)
        )
        with self._registry.reading() as connection:
            for plan, target, number, text in connection.execute(chosen):
                key = Place(school_id, plan, target), number
                if key in wanted:
                    title = self._verdicts.plans[plan].title
                    self._judged[key] = Judged(_decoder.decode(text), wanted[key], number, title)

    def _answers(self, standing: frozenset[Key]) -> dict[Key, Answer]:
        """How the targets stand now that stand as incidents."""
        schools = {key.school_id for key in standing if key.kind == "below_target"}
        return {
            target_key(*place): each.answer
            for school_id in schools
            for place, each in self._verdicts.records.standings(school_id).items()
            if place.plan in self._verdicts.plans
        }


def _in_use(
    told: Mapping[tuple[str, str], T], lines: Mapping[str, tuple[Line, ...]]
) -> dict[tuple[str, str], T]:
    """What is told of the lines in use."""
    places = ((school_id, line.id) for school_id, mine in lines.items() for line in mine)
    return {place: told[place] for place in places if place in told}


_decoder = msgspec.json.Decoder(Verdict)
