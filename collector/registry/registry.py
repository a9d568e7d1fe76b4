"""The registry: who may push for which school, and what every school declares."""

from __future__ import annotations

import hmac
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from collector.registry import schools as school_book
from collector.registry.copies import Copy, count_change
from collector.registry.database import RegistryError, open_engine
from collector.registry.ids import ALLOWED, is_id
from collector.registry.tables import AgentRow, SchoolRow, TokenRow
from collector.registry.tokens import digest_of, new_token
from config.school import School

REFRESH_SECONDS = 1.0

T = TypeVar("T")


class AgentIdentity(msgspec.Struct, frozen=True):
    """Who a token belongs to: everything the agent sends is of this school."""

    agent_id: str
    school_id: str
    may_write_others: bool = False


class Agent(msgspec.Struct, frozen=True):
    """An agent as the registry knows it. ``seen_at`` is written lazily: liveness knows better."""

    id: str
    school_id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    seen_at: datetime | None = None


class Registry:
    """One database of schools and agents, safe to share between threads.

    Lookups answer from copies in memory. A copy is read again when the database's own count of changes says
    so, asked at most once a ``refresh_seconds``: what another process adds or revokes holds after that. A
    token that is not known is looked for a little sooner.
    """

    def __init__(self, engine: Engine, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reads_only=True)
        self._schools = Copy("schools", self._reader, school_book.read_all, refresh_seconds)
        self._tokens = Copy("agents", self._reader, _read_tokens, refresh_seconds)
        self._enrolled = Copy("agents", self._reader, _read_enrolled, refresh_seconds)
        self._refresh_seconds = refresh_seconds
        self._seen: dict[str, datetime] = {}
        self._seen_lock = threading.Lock()

    @classmethod
    def open(cls, url: str, refresh_seconds: float = REFRESH_SECONDS) -> Registry:
        """Open and migrate the database at an SQLAlchemy URL. Raises RegistryError."""
        return cls(open_engine(url), refresh_seconds)

    def close(self) -> None:
        """Write what is still to be written and close every connection."""
        self.flush_seen()
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view of the database, for the rooms that keep tables of their own beside ours."""
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it or nothing."""
        with self._engine.begin() as connection:
            yield connection

    def put_school(self, school: School) -> bool:
        """Declare a school. True when that changed anything."""
        return bool(self.put_schools([school]))

    def put_schools(
        self,
        schools: Iterable[School],
        also: Callable[[Connection, tuple[str, ...]], None] = lambda _connection, _changed: None,
    ) -> tuple[str, ...]:
        """Declare schools, all or none; gives the ids of those that are new or changed.

        ``also`` is done with them in the same transaction, where there are any. Raises RegistryError for an
        id that is not allowed or given twice.
        """
        wanted = school_book.checked(schools)
        with self.writing() as connection:
            changed = school_book.write(connection, wanted, datetime.now(UTC))
            if changed:
                count_change(connection, "schools")
                also(connection, changed)
        self._schools.forget()
        return changed

    def school(self, school_id: str) -> School | None:
        """The school as declared now, None for an id that is not known."""
        return self._schools.get().get(school_id)

    def schools(self) -> Mapping[str, School]:
        """All schools as declared now, by id, sorted by id. The mapping is a copy that never changes."""
        return self._schools.get()

    def add_agent(
        self,
        school_id: str,
        name: str = "",
        also: Callable[[Connection, str], None] = lambda _connection, _agent_id: None,
    ) -> str:
        """Enrol an agent of a school and give its token, which is kept nowhere.

        The agent's id is ``name``, or the school's id with a number; ``also`` is done with it in the same
        transaction. Raises RegistryError for a school that
        is not known and for a name that is taken or not allowed.
        """
        if name and not is_id(name):
            raise RegistryError(f"agent {name!r}: is not {ALLOWED}")
        token = new_token()
        with self.writing() as connection:
            refuse_unknown_school(connection, school_id)
            agent_id = name or free_agent_id(connection, school_id)
            if connection.scalar(sa.select(AgentRow.id).where(AgentRow.id == agent_id)):
                raise RegistryError(f"agent {agent_id}: exists already")
            now = datetime.now(UTC)
            agent = {"id": agent_id, "school_id": school_id, "name": agent_id, "created_at": now}
            connection.execute(sa.insert(AgentRow).values(agent))
            held = {"digest": digest_of(token), "agent_id": agent_id, "created_at": now}
            connection.execute(sa.insert(TokenRow).values(held))
            also(connection, agent_id)
            count_change(connection, "agents")
        self.forget_tokens()
        return token

    def agents(self) -> list[Agent]:
        """Every agent, the revoked ones too, by school and id."""
        columns = [getattr(AgentRow, name) for name in Agent.__struct_fields__]
        with self.reading() as connection:
            rows = connection.execute(sa.select(*columns).order_by(AgentRow.school_id, AgentRow.id))
            return [Agent(*row) for row in rows]

    def enrolled(self) -> Mapping[str, bool]:
        """The schools that have an agent which is not revoked, by id."""
        return self._enrolled.get()

    def revoke(self, agent_id: str, also: Callable[[Connection], None] = lambda _connection: None) -> None:
        """Refuse every token of an agent from now on; ``also`` is done in the same transaction.

        Raises RegistryError when there is no such agent.
        """
        with self.writing() as connection:
            known = AgentRow.id == agent_id
            if connection.scalar(sa.select(AgentRow.id).where(known)) is None:
                raise RegistryError(f"agent {agent_id}: is not known")
            change = sa.update(AgentRow).where(known, AgentRow.revoked_at.is_(None))
            connection.execute(change.values(revoked_at=datetime.now(UTC)))
            connection.execute(sa.delete(TokenRow).where(TokenRow.agent_id == agent_id))
            also(connection)
            count_change(connection, "agents")
        self.forget_tokens()

    def forget_tokens(self) -> None:
        """Look anew at the next request: a room of this process changed tokens."""
        self._tokens.forget()
        self._enrolled.forget()

    def copy(self, kind: str, read: Callable[[Connection], Mapping[str, T]]) -> Copy[T]:
        """A copy in memory of what another room keeps, read again when ``kind`` was counted as changed."""
        return Copy(kind, self._reader, read, self._refresh_seconds)

    def agent_by_token(self, token: str) -> AgentIdentity | None:
        """Whose token this is; None for one that is empty, cut, unknown, expired or revoked."""
        digest = digest_of(token)
        held = self._tokens.find(digest) if digest is not None else None
        if digest is None or held is None or not hmac.compare_digest(held.digest, digest):
            return None
        if held.expires_at is not None and held.expires_at <= datetime.now(UTC):
            return None
        return held.identity

    def note_seen(self, agent_id: str, at: datetime) -> None:
        """Remember that an agent was heard; ``flush_seen`` writes it, so that a push costs no write."""
        with self._seen_lock:
            self._seen[agent_id] = at

    def flush_seen(self) -> None:
        """Write when agents were last heard, in one transaction, in the order that every collector does."""
        with self._seen_lock:
            seen, self._seen = self._seen, {}
        if not seen:
            return
        change = sa.update(AgentRow).where(AgentRow.id == sa.bindparam("agent"))
        with self.writing() as connection:
            rows = [{"agent": agent_id, "seen_at": at} for agent_id, at in sorted(seen.items())]
            connection.execute(change.values(seen_at=sa.bindparam("seen_at")), rows)


class _HeldToken(msgspec.Struct, frozen=True):
    digest: str
    identity: AgentIdentity
    expires_at: datetime | None


def _read_tokens(connection: Connection) -> Mapping[str, _HeldToken]:
    rows = connection.execute(
        sa.select(TokenRow.digest, TokenRow.expires_at, AgentRow.id, AgentRow.school_id)
        .join(AgentRow, AgentRow.id == TokenRow.agent_id)
        .where(AgentRow.revoked_at.is_(None))
    )
    return {
        row.digest: _HeldToken(row.digest, AgentIdentity(row.id, row.school_id), row.expires_at)
        for row in rows
    }


def _read_enrolled(connection: Connection) -> Mapping[str, bool]:
    chosen = sa.select(AgentRow.school_id).where(AgentRow.revoked_at.is_(None)).distinct()
    return dict.fromkeys(connection.scalars(chosen), True)


def refuse_unknown_school(connection: Connection, school_id: str) -> None:
    """Raises RegistryError for a school that nobody declared."""
    if connection.scalar(sa.select(SchoolRow.id).where(SchoolRow.id == school_id)) is None:
        raise RegistryError(f"school {school_id}: is not known; declare it first")


def free_agent_id(connection: Connection, school_id: str) -> str:
    """The school's id with the first number that no agent has."""
    taken = set(connection.scalars(sa.select(AgentRow.id).where(AgentRow.school_id == school_id)))
    return next(name for number in itertools.count(1) if (name := f"{school_id}-{number}") not in taken)
