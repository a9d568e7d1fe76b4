"""The book of what the county wants measured: one document for the county, each school and each agent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import Who, audit
from collector.enrolment.sealing import Seal
from collector.enrolment.tables import CentralRow
from collector.registry import Registry, RegistryError
from collector.registry.copies import count_change
from collector.registry.registry import refuse_unknown_school
from collector.registry.schools import plain_of
from collector.registry.tables import AgentRow
from config.central import Document, merged
from config.school import School

ScopeKind = Literal["county", "school", "agent"]
SCOPES: tuple[ScopeKind, ...] = ("county", "school", "agent")
REVISION_CHARACTERS = 16
MAX_HISTORY = 100
"""So many states of one document are kept."""


class Scope(NamedTuple):
    """Whom a document is for. The order of merging is county, school, agent: the later goes before."""

    kind: ScopeKind
    subject: str = ""

    @property
    def key(self) -> str:
        """The scope as one word."""
        return f"{self.kind}:{self.subject}"

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()


class Version(msgspec.Struct, frozen=True):
    """One state of a document, its secrets sealed."""

    number: int
    document: Document
    set_at: datetime
    set_by: str


class Effective(msgspec.Struct, frozen=True):
    """What one agent is told; ``document`` has its secrets sealed."""

    revision: str
    document: Document


class Configurations:
    """Documents, their past, and what they come to for one agent. Safe between threads."""

    def __init__(self, registry: Registry, seal: Seal) -> None:
        self._registry = registry
        self._seal = seal
        self._current = registry.copy("central", _read_current)
        self._revisions: dict[str, tuple[tuple[object, ...], str]] = {}

    def current(self, scope: Scope) -> Version | None:
        """The document that holds; None where none was ever set."""
        return self._current.get().get(scope.key)

    def history(self, scope: Scope) -> list[Version]:
        """Every state, the newest first."""
        with self._registry.reading() as connection:
            return _versions(connection, scope)

    def put(self, scope: Scope, document: Document, by: Who, *, dry_run: bool = False) -> Version:
        """Set a document; the one before stays in the history.

        A secret that is the mask stays what it was. ``dry_run`` gives what would hold, and changes nothing.
        Raises RegistryError, SettingsError.
        """
        with self._registry.writing() as connection:
            _refuse_unknown(connection, scope)
            before = next(iter(_versions(connection, scope)), None)
            sealed = self._seal.sealed(document, before.document if before else None)
            version = _add(connection, scope, before, sealed, by=by, now=datetime.now(UTC))
            if dry_run:
                connection.rollback()
        self._current.forget()
        return version

    def undo(self, scope: Scope, by: Who, number: int | None = None, *, dry_run: bool = False) -> Version:
        """Set again what held before, or the state of that number; doing it twice brings back what held.

        Raises RegistryError when there is nothing to go back to.
        """
        with self._registry.writing() as connection:
            past = _versions(connection, scope)
            earlier = _earlier(past, number)
            if earlier is None:
                raise RegistryError(f"{scope}: there is nothing to go back to")
            version = _add(connection, scope, past[0], earlier.document, by=by, now=datetime.now(UTC))
            if dry_run:
                connection.rollback()
        self._current.forget()
        return version

    def reseal(self) -> int:
        """Seal every secret by the first key of the key file; gives how many documents were rewritten."""
        with self._registry.writing() as connection:
            rows = connection.execute(sa.select(CentralRow.__table__).with_for_update()).all()
            for row in rows:
                document = self._seal.resealed(msgspec.json.decode(row.document))
                place = (
                    CentralRow.scope == row.scope,
                    CentralRow.subject == row.subject,
                    CentralRow.number == row.number,
                )
                connection.execute(sa.update(CentralRow).where(*place).values(document=_encode(document)))
            count_change(connection, "central")
        self._current.forget()
        return len(rows)

    def effective(self, agent_id: str, school: School, plan: Document | str | None) -> Effective:
        """What the agent is told: plan, then county, school and agent, and the school as it is declared."""
        versions = self._versions_for(agent_id, school)
        base: Document = {} if plan is None else {"plan": plan}
        document = merged(base, *(version.document for version in versions if version))
        document["school"] = _with_units(plain_of(school))
        # the time too: numbers come again when the registry is restored from a backup
        numbers = [(kind, v.number, v.set_at) for kind, v in zip(SCOPES, versions, strict=True) if v]
        told = msgspec.json.encode([numbers, document["school"], document.get("plan")])
        return Effective(hashlib.sha256(told).hexdigest()[:REVISION_CHARACTERS], document)

    def revision(self, agent_id: str, school: School, plan: Document | str | None) -> str:
        """Of what the agent is told; made anew only where something of it is another than the last time."""
        rests_on = (school, plan, *self._versions_for(agent_id, school))
        known = self._revisions.get(agent_id)
        if known is None or any(one is not other for one, other in zip(known[0], rests_on, strict=True)):
            known = rests_on, self.effective(agent_id, school, plan).revision
            self._revisions[agent_id] = known
        return known[1]

    def _versions_for(self, agent_id: str, school: School) -> tuple[Version | None, ...]:
        """The documents for the county, the school and the agent, as they hold now."""
        current = self._current.get()
        of = zip(SCOPES, ("", school.id, agent_id), strict=True)
        return tuple(current.get(Scope(kind, subject).key) for kind, subject in of)


def _with_units(value: Any) -> Any:
    """A declared school as a settings file would say it: rates with their unit."""
    if isinstance(value, list):
        return [_with_units(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{each}bit/s" if key in _RATES and isinstance(each, int) else _with_units(each)
        for key, each in value.items()
    }


_RATES = frozenset({"contracted_down", "contracted_up", "down", "up"})


def _versions(connection: Connection, scope: Scope) -> list[Version]:
    rows = connection.execute(
        sa.select(CentralRow.number, CentralRow.document, CentralRow.set_at, CentralRow.set_by)
        .where(CentralRow.scope == scope.kind, CentralRow.subject == scope.subject)
        .order_by(CentralRow.number.desc())
        .limit(MAX_HISTORY)
    )
    return [Version(row.number, msgspec.json.decode(row.document), row.set_at, row.set_by) for row in rows]


def _earlier(past: list[Version], number: int | None) -> Version | None:
    """The state of that number, or the one before the newest; before the first there was an empty one."""
    if number is not None:
        return next((each for each in past if each.number == number), None)
    if len(past) == 1:
        return msgspec.structs.replace(past[0], number=0, document={})
    return past[1] if past else None


def _add(
    connection: Connection,
    scope: Scope,
    before: Version | None,
    document: Document,
    *,
    by: Who,
    now: datetime,
) -> Version:
    version = Version(before.number + 1 if before else 1, document, now, by.name[:64])
    row = {
        "scope": scope.kind,
        "subject": scope.subject,
        "number": version.number,
        "document": _encode(document),
        "set_at": now,
        "set_by": version.set_by,
    }
    connection.execute(sa.insert(CentralRow).values(row))
    audit.record(connection, by, "agents.configure", str(scope), at=now, number=version.number)
    old = sa.delete(CentralRow).where(
        CentralRow.scope == scope.kind,
        CentralRow.subject == scope.subject,
        CentralRow.number <= version.number - MAX_HISTORY,
    )
    connection.execute(old)
    count_change(connection, "central")
    return version


def _refuse_unknown(connection: Connection, scope: Scope) -> None:
    if scope.kind == "school":
        refuse_unknown_school(connection, scope.subject)
    elif scope.kind == "agent":
        known = sa.select(AgentRow.id).where(AgentRow.id == scope.subject)
        if connection.scalar(known) is None:
            raise RegistryError(f"agent {scope.subject}: is not known")


def _read_current(connection: Connection) -> Mapping[str, Version]:
    newest = (
        sa.select(CentralRow.scope, CentralRow.subject, sa.func.max(CentralRow.number).label("number"))
        .group_by(CentralRow.scope, CentralRow.subject)
        .subquery()
    )
    same = sa.and_(
        CentralRow.scope == newest.c.scope,
        CentralRow.subject == newest.c.subject,
        CentralRow.number == newest.c.number,
    )
    rows = connection.execute(sa.select(CentralRow.__table__).join(newest, same))
    return {
        Scope(row.scope, row.subject).key: Version(
            row.number, msgspec.json.decode(row.document), row.set_at, row.set_by
        )
        for row in rows
    }


def _encode(document: Document) -> str:
    return msgspec.json.encode(document).decode("utf-8")
