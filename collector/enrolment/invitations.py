"""The book of codes: who is invited, and what a code is exchanged for."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import Who, audit
from collector.enrolment.codes import digest_of_code, new_code
from collector.enrolment.tables import CodeRow
from collector.registry import Registry, RegistryError
from collector.registry.copies import count_change
from collector.registry.ids import ALLOWED, is_id
from collector.registry.registry import free_agent_id, refuse_unknown_school
from collector.registry.tables import AgentRow, SchoolRow, TokenRow

KEPT_DAYS = 90
"""Codes that were used or ran out are kept so long, to tell their holder what became of them."""


class Invitation(msgspec.Struct, frozen=True):
    """A code, shown once and kept nowhere."""

    school: str
    agent: str
    """The agent's id; empty: the school's id with a number."""
    code: str
    expires_at: datetime


class NotOpened(Exception):
    """A code that opens nothing. Who reads more than «unknown» holds the very code."""


class Enrolled(msgspec.Struct, frozen=True):
    """What a code was exchanged for."""

    agent: str
    school: str


class Invitations:
    """Codes and what they open, in the registry's database."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def invite(
        self, schools: Iterable[str], name: str, valid_seconds: float, by: Who, now: datetime | None = None
    ) -> list[Invitation]:
        """A code for each school, all or none. Raises RegistryError for a school or name that cannot be."""
        if name and not is_id(name):
            raise RegistryError(f"agent {name!r}: is not {ALLOWED}")
        now = now or datetime.now(UTC)
        expires = now + timedelta(seconds=valid_seconds)
        made = [Invitation(school, name, new_code(), expires) for school in schools]
        with self._registry.writing() as connection:
            forgotten = CodeRow.expires_at < now - timedelta(days=KEPT_DAYS)
            connection.execute(sa.delete(CodeRow).where(forgotten))
            for each in made:
                refuse_unknown_school(connection, each.school)
                _refuse_foreign(connection, name, each.school)
            rows = [
                {
                    "digest": digest_of_code(each.code),
                    "school_id": each.school,
                    "agent_name": name,
                    "created_at": now,
                    "expires_at": expires,
                }
                for each in made
            ]
            if rows:
                connection.execute(sa.insert(CodeRow), rows)
            for each in made:
                audit.record(connection, by, "agents.invite", each.school, at=now, agent=name, until=expires)
        return made

    def open(self, typed: str, token_digest: str, address: str = "", now: datetime | None = None) -> Enrolled:
        """Exchange a code: from now on the token of that digest opens for the agent.

        The same code with the same token again gives the same answer, for an agent that did not hear it.
        Raises NotOpened with a reason for people.
        """
        digest = digest_of_code(typed)
        if digest is None:
            raise NotOpened("this is no code; it has twelve letters and digits, like ABCD-2345-EFGH")
        now = now or datetime.now(UTC)
        with self._registry.writing() as connection:
            wanted = sa.select(CodeRow.__table__).where(CodeRow.digest == digest).with_for_update()
            row = connection.execute(wanted).one_or_none()
            if row is None:
                raise NotOpened("the code is not known; ask the county for one")
            if row.used_at is not None:
                return _again(row, token_digest)
            if row.expires_at <= now:
                raise NotOpened("the code is no longer valid; ask the county for a new one")
            if connection.scalar(sa.select(TokenRow.agent_id).where(TokenRow.digest == token_digest)):
                raise NotOpened("this token was used before; enrol with a new one")
            _refuse_taken(connection, row.agent_name, row.school_id)
            agent = _enrolled(connection, row.school_id, row.agent_name, token_digest, now)
            used = sa.update(CodeRow).where(CodeRow.digest == digest)
            connection.execute(used.values(used_at=now, agent_id=agent, token_digest=token_digest))
            by = Who(f"agent {agent}", address=address)
            audit.record(connection, by, "agents.enrol", agent, at=now, school=row.school_id)
        self._registry.forget_tokens()
        return Enrolled(agent, row.school_id)


def _again(row: sa.Row[tuple[object, ...]], token_digest: str) -> Enrolled:
    if not hmac.compare_digest(str(row.token_digest), token_digest):
        raise NotOpened("the code was used already; ask the county for a new one")
    return Enrolled(row.agent_id, row.school_id)


def _enrolled(connection: Connection, school: str, name: str, token_digest: str, now: datetime) -> str:
    """The agent's id. One that is there already is enrolled anew: its old tokens end."""
    # two codes of one school at two collectors would find the same number free
    connection.execute(sa.select(SchoolRow.id).where(SchoolRow.id == school).with_for_update())
    agent_id = name or free_agent_id(connection, school)
    if connection.scalar(sa.select(AgentRow.id).where(AgentRow.id == agent_id)) is None:
        row = {"id": agent_id, "school_id": school, "name": agent_id, "created_at": now}
        connection.execute(sa.insert(AgentRow).values(row))
    else:
        known = sa.update(AgentRow).where(AgentRow.id == agent_id, AgentRow.school_id == school)
        connection.execute(known.values(revoked_at=None))
        connection.execute(sa.delete(TokenRow).where(TokenRow.agent_id == agent_id))
    held = {"digest": token_digest, "agent_id": agent_id, "created_at": now}
    connection.execute(sa.insert(TokenRow).values(held))
    count_change(connection, "agents")
    return agent_id


def _refuse_taken(connection: Connection, name: str, school: str) -> None:
    """The name was free, or this school's, when its code was made; another school may have it by now."""
    try:
        _refuse_foreign(connection, name, school)
    except RegistryError:
        raise NotOpened(
            "another school has an agent of that name by now; ask the county for a new code"
        ) from None


def _refuse_foreign(connection: Connection, name: str, school: str) -> None:
    owner = connection.scalar(sa.select(AgentRow.school_id).where(AgentRow.id == name)) if name else None
    if owner is not None and owner != school:
        raise RegistryError(f"agent {name}: is of school {owner}")
