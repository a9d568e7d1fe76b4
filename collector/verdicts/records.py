"""Where the verdicts room writes: evidence, how targets stand, and every transition."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.registry import Registry
from collector.registry.tables import EvidenceRow, StandingRow, TransitionRow
from collector.verdicts.book import Change, Key, Series, strength
from config.evidence import Evidence
from config.verdict import Answer, Verdict

log = logging.getLogger(__name__)

SERIES_CHARACTERS = 400

# the tables themselves: by the mapped classes each statement costs twice as much to make
_EVIDENCE, _STANDINGS, _TRANSITIONS = (
    cast("sa.Table", row.__table__) for row in (EvidenceRow, StandingRow, TransitionRow)
)
_PLACE = (_STANDINGS.c.school_id, _STANDINGS.c.plan, _STANDINGS.c.target)
_BOOK_PLACE = (_EVIDENCE.c.school_id, _EVIDENCE.c.series, _EVIDENCE.c.slot)


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
        self._ours: dict[tuple[str, str, str], datetime] = {}
        self._unreadable: set[str] = set()
        """Schools of which that was told."""

    def write_evidence(self, changes: Mapping[str, Change], now: datetime) -> None:
        """Write what changed in the books of schools, by school, in one transaction.

        In the order of their places, as every collector does: else two would wait for each other's rows.
        """
        put = {
            _book_place(school_id, key): evidence
            for school_id, change in changes.items()
            for key, evidence in change.put.items()
        }
        gone = [
            _book_place(school_id, key) for school_id, change in changes.items() for key in change.dropped
        ]
        with self._registry.writing() as connection:
            for place in sorted(gone):
                connection.execute(sa.delete(_EVIDENCE).where(*_is(_BOOK_PLACE, place)))
            if put:
                rows = [_evidence_row(place, put[place], now) for place in sorted(put)]
                connection.execute(_put_stronger(connection), rows)
        self._ours.update(dict.fromkeys(put, now))

    def evidence(self, school_ids: Sequence[str] | None = None) -> dict[str, list[Evidence]]:
        """What is written of some schools, or of all, by school."""
        chosen = sa.select(_EVIDENCE.c.school_id, _EVIDENCE.c.evidence)
        if school_ids is not None:
            chosen = chosen.where(_EVIDENCE.c.school_id.in_(school_ids))
        with self._registry.reading() as connection:
            return self._decoded((school_id, text) for school_id, text in connection.execute(chosen))

    def evidence_of_others(self, since: datetime) -> dict[str, list[Evidence]]:
        """What other collectors wrote since, by school; our own writing of that time is known here."""
        self._ours = {place: at for place, at in self._ours.items() if at >= since}
        table = _EVIDENCE.c
        chosen = sa.select(table.school_id, table.series, table.slot, table.written_at, table.evidence)
        with self._registry.reading() as connection:
            rows = connection.execute(chosen.where(table.written_at >= since))
            return self._decoded(
                (place[0], text) for *place, at, text in rows if self._ours.get(tuple(place)) != at
            )

    def _decoded(self, rows: Iterable[tuple[str, str]]) -> dict[str, list[Evidence]]:
        """By school. What cannot be read, as a newer collector may write it, is left out, and told once."""
        found: dict[str, list[Evidence]] = {}
        for school_id, text in rows:
            try:
                found.setdefault(school_id, []).append(_evidence_decoder.decode(text))
            except msgspec.DecodeError as error:
                if school_id not in self._unreadable:
                    self._unreadable.add(school_id)
                    log.warning("evidence left out school=%s reason=%s", school_id, error)
        return found

    def drop_evidence_written_before(self, oldest: datetime) -> None:
        """Delete what was written before a time, and so is older still."""
        with self._registry.writing() as connection:
            connection.execute(sa.delete(_EVIDENCE).where(_EVIDENCE.c.written_at < oldest))

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
        told = list(verdicts)
        first = {place_of(verdict): verdict for verdict, stood in told if stood is None}
        with self._registry.writing() as connection:
            standings = _record_first(connection, first) if first else {}
            for verdict, stood in told:
                if stood is not None:
                    standings[place_of(verdict)] = _record(connection, verdict, stood)
        return standings

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


def _book_place(school_id: str, key: Key) -> tuple[str, str, str]:
    return school_id, _series_text(key.series), key.slot


def _evidence_row(place: tuple[str, str, str], evidence: Evidence, now: datetime) -> dict[str, Any]:
    school_id, series, slot = place
    return {
        "school_id": school_id,
        "series": series,
        "slot": slot,
        "strength": strength(evidence),
        "written_at": now,
        "evidence": _encoder.encode(evidence).decode("utf-8"),
    }


def _insert(connection: Connection, table: sa.Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _put_stronger(connection: Connection) -> Any:
    insert = _insert(connection, _EVIDENCE)
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["school_id", "series", "slot"],
        set_={"strength": new.strength, "written_at": new.written_at, "evidence": new.evidence},
        where=_EVIDENCE.c.strength <= new.strength,
    )


def _record_first(connection: Connection, verdicts: Mapping[Place, Verdict]) -> dict[Place, Standing]:
    """The first verdicts of targets, all at once: after an import they are those of thousands of schools."""
    wanted = {place: Standing(verdict.answer, verdict.at, 1) for place, verdict in verdicts.items()}
    rows = [{**place._asdict(), **_values(standing)} for place, standing in wanted.items()]
    insert = _insert(connection, _STANDINGS).on_conflict_do_nothing()
    mine = connection.execute(insert.returning(*_PLACE), rows)
    made = {Place(*row) for row in mine}
    transitions = [_transition_row(place, verdicts[place], wanted[place], None) for place in made]
    if transitions:
        connection.execute(sa.insert(_TRANSITIONS), transitions)
    return {place: wanted[place] if place in made else _standing(connection, place) for place in wanted}


def _record(connection: Connection, verdict: Verdict, stood: Standing) -> Standing:
    if stood.answer is verdict.answer:
        return stood
    place, wanted = place_of(verdict), Standing(verdict.answer, verdict.at, stood.number + 1)
    as_it_stood = (*_is(_PLACE, place), _STANDINGS.c.number == stood.number)
    change = sa.update(_STANDINGS).where(*as_it_stood).values(_values(wanted))
    if connection.execute(change).rowcount != 1:
        return _standing(connection, place)
    connection.execute(sa.insert(_TRANSITIONS), _transition_row(place, verdict, wanted, stood))
    return wanted


def _values(standing: Standing) -> dict[str, object]:
    return {"answer": standing.answer.value, "since": standing.since, "number": standing.number}


def _transition_row(
    place: Place, verdict: Verdict, standing: Standing, stood: Standing | None
) -> dict[str, object]:
    return {
        **place._asdict(),
        "number": standing.number,
        "was": stood.answer.value if stood else None,
        "answer": standing.answer.value,
        "at": verdict.at,
        "verdict": encode_verdict(verdict),
    }


def _standing(connection: Connection, place: Place) -> Standing:
    columns = sa.select(_STANDINGS.c.answer, _STANDINGS.c.since, _STANDINGS.c.number)
    row = connection.execute(columns.where(*_is(_PLACE, place))).one()
    return Standing(Answer(row.answer), row.since, row.number)


def _is(columns: Sequence[sa.Column[str]], place: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    return [column == value for column, value in zip(columns, place, strict=True)]


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
