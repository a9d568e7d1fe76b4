"""Where incidents are written and read: compare-and-set, with their messages in the same transaction."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.access import audit
from collector.access.who import Who
from collector.incidents import baselines
from collector.incidents.baselines import COMPARED, Baselines, place_of
from collector.incidents.machine import Turn, acknowledge
from collector.incidents.model import Change, Incident, Key, OnChange, What
from collector.incidents.tables import IncidentRow, IncidentStepRow
from collector.registry import Registry

KEY_CHARACTERS = 300
TEXT_CHARACTERS = 2000


class IncidentUnknown(Exception):
    """There is no such incident, or it cannot take what is asked; one line."""


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to an incident; ``by`` is empty where the collector itself did it."""

    what: What
    at: datetime
    by: str
    text: str


class Turned(NamedTuple):
    """An incident before and after one look at it."""

    before: Incident
    turn: Turn


class IncidentBook:
    """The incidents' tables in the registry's database; safe to share between threads and collectors."""

    def __init__(self, registry: Registry, on_change: OnChange | None = None) -> None:
        """``on_change`` is told of every change in the transaction that writes it."""
        self._registry = registry
        self._on_change = on_change

    def begin(self, new: Iterable[Incident]) -> list[Incident]:
        """Write pending incidents; gives those whose key was free, with their ids."""
        with self._registry.writing() as connection:
            return [each for each in (_begun(connection, one) for one in new) if each is not None]

    def write(self, turned: Iterable[Turned]) -> list[Change]:
        """Write what became of incidents, and with it what is to be told; gives what was written.

        Where another process was first, its word stands and ours is not written.
        """
        wanted = [each for each in turned if each.turn.after != each.before]
        if not wanted:
            return []
        with self._registry.writing() as connection:
            changes = [change for each in wanted for change in _put(connection, each)]
            _keep_steps(connection, changes)
            if changes and self._on_change is not None:
                self._on_change(connection, changes)
        return changes

    def get(self, incident_id: int) -> Incident | None:
        """One incident."""
        found = self._read(IncidentRow.id == incident_id)
        return found[0] if found else None

    def unresolved(self) -> list[Incident]:
        """Every incident that is not resolved, the pending ones too, by start."""
        return self._read(IncidentRow.open_key.is_not(None))

    def open_now(self) -> list[Incident]:
        """Every incident that is open or acknowledged, by start."""
        return self._read(IncidentRow.state.in_(("open", "acknowledged")))

    def children_of(self, incident_id: int) -> list[Incident]:
        """The incidents that are, or at last were, told of with this one."""
        return self._read(IncidentRow.parent_id == incident_id)

    def find(
        self,
        *,
        school_id: str | None = None,
        unresolved: bool = False,
        pending: bool = False,
        since: datetime | None = None,
        before: int | None = None,
        limit: int = 200,
    ) -> list[Incident]:
        """Incidents that have been opened, the newest first; of several schools too when they hit the school.

        ``pending``: also those that have not been opened. ``since``: not over before. ``before``: with a
        smaller id, for the next page.
        """
        wanted = [] if pending else [IncidentRow.state != "pending"]
        if unresolved:
            wanted.append(IncidentRow.open_key.is_not(None))
        if school_id is not None:
            parents = sa.select(IncidentRow.parent_id).where(IncidentRow.school_id == school_id)
            wanted.append(sa.or_(IncidentRow.school_id == school_id, IncidentRow.id.in_(parents)))
        if since is not None:
            wanted.append(sa.or_(IncidentRow.resolved_at.is_(None), IncidentRow.resolved_at >= since))
        if before is not None:
            wanted.append(IncidentRow.id < before)
        return self._read(*wanted, order=IncidentRow.id.desc(), limit=limit)

    def last_resolved(self, keys: Sequence[Key], since: datetime) -> dict[Key, Incident]:
        """The last incident of each key that was resolved since."""
        texts = {key_text(key): key for key in keys}
        if not texts:
            return {}
        schools = {key.school_id for key in keys}
        found = self._read(IncidentRow.resolved_at >= since, IncidentRow.school_id.in_(schools))
        return {each.key: each for each in found if key_text(each.key) in texts}

    def steps(self, incident_id: int) -> list[Step]:
        """What happened to an incident, the oldest first."""
        row = IncidentStepRow
        chosen = sa.select(row.what, row.at, row.by, row.text).where(row.incident_id == incident_id)
        with self._registry.reading() as connection:
            rows = connection.execute(chosen.order_by(row.at, row.number))
            return [msgspec.convert(each._asdict(), Step) for each in rows]

    def acknowledge(self, incident_id: int, by: str, now: datetime) -> Incident:
        """Somebody takes it. Raises IncidentUnknown for one that is not open."""
        incident = self._known(incident_id)
        turned = acknowledge(incident, by, now)
        if not turned.changes:
            raise IncidentUnknown(f"incident {incident_id}: is {incident.state}; allowed: one that is open")
        return self._changed(incident, turned, by, "")

    def note(self, incident_id: int, text: str, by: str, now: datetime) -> Incident:
        """Keep a note with it, in the place of the one before. Raises IncidentUnknown."""
        return self._noted(incident_id, {"note": text[:TEXT_CHARACTERS]}, text, by, now)

    def ticket(self, incident_id: int, number: str, by: str, now: datetime) -> Incident:
        """Keep the carrier's ticket number with it. Raises IncidentUnknown."""
        return self._noted(incident_id, {"carrier_ticket": number[:200]}, number, by, now)

    def accept(self, incident_id: int, who: Who, now: datetime) -> Incident:
        """What is measured now is the new normal: its condition is over with the next look.

        Of the kinds that compare with what was before. Raises IncidentUnknown.
        """
        incident = self._known(incident_id)
        measured = incident.facts.measured
        if incident.kind not in COMPARED or measured is None:
            allowed = " and ".join(COMPARED)
            raise IncidentUnknown(
                f"incident {incident_id}: {incident.kind} has no normal; allowed: {allowed}"
            )
        if incident.state not in ("open", "acknowledged"):
            raise IncidentUnknown(f"incident {incident_id}: is {incident.state}; allowed: one that is open")
        after = msgspec.structs.replace(incident, accepted_by=who.name[:200])
        turned = Turn(after, (Change(after, "accepted", now, send=False),))
        normal = {place_of(incident.key): int(measured.value)}

        def beside(connection: Connection) -> None:
            baselines.put(connection, normal, now)
            audit.record(
                connection, who, "incident.accept", str(incident_id), at=now, kind=incident.kind,
                school=incident.school_id, of=incident.subject, normal=measured.value,
            )  # fmt: skip

        return self._changed(incident, turned, who.name, "", beside)

    def baselines(self, since: datetime | None = None) -> Baselines:
        """How good everything was before, by school and name; or those alone that were written since."""
        with self._registry.reading() as connection:
            return baselines.read(connection, since)

    def put_baselines(self, new: Baselines, now: datetime) -> None:
        """Keep how good things are."""
        if new:
            with self._registry.writing() as connection:
                baselines.put(connection, new, now)

    def _known(self, incident_id: int) -> Incident:
        found = self.get(incident_id)
        if found is None:
            raise IncidentUnknown(f"incident {incident_id}: is not known")
        return found

    def _noted(
        self, incident_id: int, changed: dict[str, str], text: str, by: str, now: datetime
    ) -> Incident:
        incident = self._known(incident_id)
        after = msgspec.structs.replace(incident, **changed)
        return self._changed(incident, Turn(after, (Change(after, "noted", now, send=False),)), by, text)

    def _changed(
        self,
        before: Incident,
        turned: Turn,
        by: str,
        text: str,
        beside: Callable[[Connection], None] | None = None,
    ) -> Incident:
        """Write what somebody did, and in the same transaction what belongs to it."""
        with self._registry.writing() as connection:
            changes = list(_put(connection, Turned(before, turned)))
            if changes and beside is not None:
                beside(connection)
            _keep_steps(connection, changes, by, text)
            if changes and self._on_change is not None:
                self._on_change(connection, changes)
        if not changes:
            raise IncidentUnknown(f"incident {before.id}: was changed meanwhile; try again")
        return changes[0].incident

    def _read(
        self, *wanted: sa.ColumnElement[bool], order: Any = None, limit: int | None = None
    ) -> list[Incident]:
        by = (IncidentRow.started_at, IncidentRow.id) if order is None else (order,)
        chosen = sa.select(IncidentRow.body).where(*wanted).order_by(*by).limit(limit)
        with self._registry.reading() as connection:
            return [_decoder.decode(body) for body in connection.scalars(chosen)]


def key_text(key: Key) -> str:
    """A key as it stands in its unique column."""
    return f"{key.kind}:{key.school_id}:{key.subject}"[:KEY_CHARACTERS]


def _begun(connection: Connection, incident: Incident) -> Incident | None:
    found = connection.scalars(_insert(connection.dialect.name), _columns(incident)).first()
    if found is None:
        return None
    begun = msgspec.structs.replace(incident, id=found)
    _update(connection, begun, incident.number)
    return begun


def _put(connection: Connection, turned: Turned) -> Iterable[Change]:
    """Write one incident where it is still as we read it; gives its changes with its new number."""
    before, (after, changes) = turned
    if after is None:
        connection.execute(_DELETE, {"its_id": before.id, "number_read": before.number})
        return ()
    numbered = msgspec.structs.replace(after, number=before.number + 1)
    if not _update(connection, numbered, before.number):
        return ()
    return [msgspec.structs.replace(change, incident=numbered) for change in changes]


def _update(connection: Connection, incident: Incident, number: int) -> bool:
    values = _columns(incident) | {"its_id": incident.id, "number_read": number}
    return connection.execute(_UPDATE, values).rowcount == 1


def _keep_steps(connection: Connection, changes: Sequence[Change], by: str = "", text: str = "") -> None:
    rows = [
        {
            "incident_id": each.incident.id, "number": each.incident.number, "what": each.what, "at": each.at,
            "by": by[:200], "text": text[:TEXT_CHARACTERS],
        }
        for each in changes
        if each.what != "children_changed"
    ]  # fmt: skip
    if rows:
        connection.execute(sa.insert(IncidentStepRow), rows)


def _columns(incident: Incident) -> dict[str, Any]:
    return {
        "open_key": None if incident.state == "resolved" else key_text(incident.key),
        "kind": incident.kind,
        "school_id": incident.school_id,
        "subject": incident.subject,
        "state": incident.state,
        "started_at": incident.started_at,
        "resolved_at": incident.resolved_at,
        "parent_id": incident.parent,
        "number": incident.number,
        "body": _encoder.encode(incident).decode("utf-8"),
    }


@functools.cache
def _insert(dialect: str) -> Any:
    """Where its key is free; gives its id."""
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(_table)
    return insert.on_conflict_do_nothing().returning(_table.c.id)


# statements are made once: a storm runs them hundreds of times within a second
_table = cast("sa.Table", IncidentRow.__table__)
_AS_READ = (_table.c.id == sa.bindparam("its_id"), _table.c.number == sa.bindparam("number_read"))
_UPDATE = (
    sa.update(_table)
    .where(*_AS_READ)
    .values({column.name: sa.bindparam(column.name) for column in _table.columns if column.name != "id"})
)
_DELETE = sa.delete(_table).where(*_AS_READ)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Incident)
