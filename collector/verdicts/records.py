"""Where the verdicts room writes: evidence, how targets stand, and every transition."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.registry import Registry
from collector.registry.tables import EvidenceRow, StandingRow, TransitionRow
from collector.verdicts.book import Change, Key, Series, strength
from config.evidence import Evidence
from config.verdict import Answer, Verdict

SERIES_CHARACTERS = 400


class Place(NamedTuple):
    """One target of one school under one plan."""

    school_id: str
    plan: str
    target: str


class Standing(msgspec.Struct, frozen=True):
    """How a target stands: its answer, since when, and which transition made it so."""

    answer: Answer
    since: datetime
    number: int


class Transition(msgspec.Struct, frozen=True):
    """A change of an answer. ``was`` is None for the first one; ``verdict`` is as it was judged then."""

    place: Place
    was: Answer | None
    answer: Answer
    at: datetime
    verdict: Verdict


class Records:
    """The verdicts' tables in the registry's database."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def write_evidence(self, changes: Mapping[str, Change], now: datetime) -> None:
        """Write what changed in the books of schools, by school, in one transaction."""
        rows = [
            _evidence_row(school_id, key, evidence, now)
            for school_id, change in changes.items()
            for key, evidence in change.put.items()
        ]
        gone = [(school_id, key) for school_id, change in changes.items() for key in change.dropped]
        with self._registry.writing() as connection:
            for school_id, key in gone:
                connection.execute(sa.delete(EvidenceRow).where(*_at_place(school_id, key)))
            if rows:
                connection.execute(_put_stronger(connection), rows)

    def evidence(self, school_id: str | None = None) -> dict[str, list[Evidence]]:
        """What is written of one school, or of all, by school."""
        chosen = sa.select(EvidenceRow.school_id, EvidenceRow.evidence)
        if school_id is not None:
            chosen = chosen.where(EvidenceRow.school_id == school_id)
        return self._evidence_by_school(chosen)

    def evidence_written_since(self, moment: datetime) -> dict[str, list[Evidence]]:
        """What any collector wrote since, by school."""
        chosen = sa.select(EvidenceRow.school_id, EvidenceRow.evidence)
        return self._evidence_by_school(chosen.where(EvidenceRow.written_at >= moment))

    def drop_evidence_written_before(self, oldest: datetime) -> None:
        """Delete what was written before a time, and so is older still."""
        with self._registry.writing() as connection:
            connection.execute(sa.delete(EvidenceRow).where(EvidenceRow.written_at < oldest))

    def _evidence_by_school(self, chosen: sa.Select[str, str]) -> dict[str, list[Evidence]]:
        found: dict[str, list[Evidence]] = {}
        with self._registry.reading() as connection:
            for row in connection.execute(chosen):
                found.setdefault(row.school_id, []).append(_evidence_decoder.decode(row.evidence))
        return found

    def standings(self, school_id: str | None = None) -> dict[Place, Standing]:
        """How every judged target stands, of one school or of all."""
        with self._registry.reading() as connection:
            chosen = sa.select(StandingRow.__table__)
            if school_id is not None:
                chosen = chosen.where(StandingRow.school_id == school_id)
            return {
                Place(row.school_id, row.plan, row.target): Standing(
                    Answer(row.answer), row.since, row.number
                )
                for row in connection.execute(chosen)
            }

    def record(self, verdicts: Iterable[tuple[Verdict, Standing | None]]) -> dict[Place, Standing]:
        """Write the verdicts whose answer differs from how they stood; gives how each stands then.

        Compare-and-set: where another collector was first, its transition stands and ours is not written.
        """
        with self._registry.writing() as connection:
            return {place_of(verdict): _record(connection, verdict, stood) for verdict, stood in verdicts}

    def transitions(self, school_id: str, plan: str, target: str) -> list[Transition]:
        """Every change of one target's answer, the oldest first."""
        wanted = (
            TransitionRow.school_id == school_id, TransitionRow.plan == plan, TransitionRow.target == target
        )  # fmt: skip
        with self._registry.reading() as connection:
            rows = connection.execute(sa.select(TransitionRow.__table__).where(*wanted))
            return sorted(map(_transition, rows), key=lambda transition: transition.at)

    def transitions_since(self, plan: str, moment: datetime, most: int) -> list[Transition]:
        """A plan's changes of answers since a moment, the newest first, at most so many; the first answer
        that a target ever had is no change.
        """
        wanted = (TransitionRow.plan == plan, TransitionRow.at >= moment, TransitionRow.was.is_not(None))
        chosen = sa.select(TransitionRow.__table__).where(*wanted)
        newest = chosen.order_by(TransitionRow.at.desc(), TransitionRow.school_id, TransitionRow.target)
        with self._registry.reading() as connection:
            return [_transition(row) for row in connection.execute(newest.limit(most))]

    def stood_at(self, plan: str, moment: datetime, school_id: str | None = None) -> dict[Place, Transition]:
        """How every target of a plan stood at a moment: its last transition until then."""
        latest = sa.select(
            TransitionRow.school_id, TransitionRow.target, sa.func.max(TransitionRow.number).label("number")
        ).where(TransitionRow.plan == plan, TransitionRow.at <= moment)
        if school_id is not None:
            latest = latest.where(TransitionRow.school_id == school_id)
        last = latest.group_by(TransitionRow.school_id, TransitionRow.target).subquery()
        same = (
            (TransitionRow.school_id == last.c.school_id)
            & (TransitionRow.target == last.c.target)
            & (TransitionRow.number == last.c.number)
        )
        chosen = sa.select(TransitionRow.__table__).join(last, same).where(TransitionRow.plan == plan)
        with self._registry.reading() as connection:
            found = [_transition(row) for row in connection.execute(chosen)]
        return {transition.place: transition for transition in found}


def place_of(verdict: Verdict) -> Place:
    """Where a verdict's transitions are kept."""
    return Place(verdict.school, verdict.plan, verdict.target)


def encode_verdict(verdict: Verdict) -> str:
    """A verdict as JSON."""
    return _encoder.encode(verdict).decode("utf-8")


def _series_text(series: Series) -> str:
    kind = series.kind.value if series.judges else f"{series.kind.value}!"
    text = f"{kind}/{series.about}/{series.direction}/{series.subject}"
    if len(text) <= SERIES_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return f"{text[: SERIES_CHARACTERS - len(digest) - 1]}#{digest}"


def _evidence_row(school_id: str, key: Key, evidence: Evidence, now: datetime) -> dict[str, object]:
    return {
        "school_id": school_id,
        "series": _series_text(key.series),
        "slot": key.slot,
        "strength": strength(evidence),
        "written_at": now,
        "evidence": _encoder.encode(evidence).decode("utf-8"),
    }


def _at_place(school_id: str, key: Key) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        EvidenceRow.school_id == school_id,
        EvidenceRow.series == _series_text(key.series),
        EvidenceRow.slot == key.slot,
    )


def _put_stronger(connection: Connection) -> Any:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(EvidenceRow)
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["school_id", "series", "slot"],
        set_={"strength": new.strength, "written_at": new.written_at, "evidence": new.evidence},
        where=EvidenceRow.strength <= new.strength,
    )


def _record(connection: Connection, verdict: Verdict, stood: Standing | None) -> Standing:
    place = place_of(verdict)
    if stood is not None and stood.answer is verdict.answer:
        return stood
    wanted = Standing(verdict.answer, verdict.at, stood.number + 1 if stood else 1)
    if not _compare_and_set(connection, place, stood, wanted):
        return _standing(connection, place)
    row = {
        **place._asdict(),
        "number": wanted.number,
        "was": stood.answer.value if stood else None,
        "answer": wanted.answer.value,
        "at": verdict.at,
        "verdict": encode_verdict(verdict),
    }
    connection.execute(sa.insert(TransitionRow).values(row))
    return wanted


def _compare_and_set(connection: Connection, place: Place, stood: Standing | None, wanted: Standing) -> bool:
    values = {"answer": wanted.answer.value, "since": wanted.since, "number": wanted.number}
    if stood is None:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(StandingRow)
        first = insert.values({**place._asdict(), **values}).on_conflict_do_nothing()
        # PostgreSQL's driver gives no count of rows for an INSERT
        return connection.scalar(first.returning(StandingRow.number)) is not None
    as_it_stood = (*_of_place(place), StandingRow.number == stood.number)
    return connection.execute(sa.update(StandingRow).where(*as_it_stood).values(values)).rowcount == 1


def _standing(connection: Connection, place: Place) -> Standing:
    columns = sa.select(StandingRow.answer, StandingRow.since, StandingRow.number)
    row = connection.execute(columns.where(*_of_place(place))).one()
    return Standing(Answer(row.answer), row.since, row.number)


def _of_place(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        StandingRow.school_id == place.school_id,
        StandingRow.plan == place.plan,
        StandingRow.target == place.target,
    )


def _transition(row: sa.Row[Any]) -> Transition:
    return Transition(
        place=Place(row.school_id, row.plan, row.target),
        was=Answer(row.was) if row.was else None,
        answer=Answer(row.answer),
        at=row.at,
        verdict=_verdict_decoder.decode(row.verdict),
    )


_encoder = msgspec.json.Encoder(enc_hook=int)
_evidence_decoder = msgspec.json.Decoder(Evidence)
_verdict_decoder = msgspec.json.Decoder(Verdict)
