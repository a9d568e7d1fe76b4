"""Replacing an agent's token: the agent makes the next one, and only its hash ever comes here.

The next token is announced with the old one and proved by being used; then the old one ends. Whatever is
lost or crashes between leaves one of the two good, and each step may be done again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.registry import Registry, RegistryError
from collector.registry.copies import count_change
from collector.registry.tables import AgentRow, TokenRow
from collector.registry.tokens import digest_of

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Identified(Protocol):
    """Who a credential belongs to."""

    @property
    def agent_id(self) -> str: ...
    @property
    def school_id(self) -> str: ...


def is_digest(text: str) -> bool:
    """True for a SHA-256 in hexadecimal."""
    return _DIGEST.fullmatch(text) is not None


class Tokens:
    """The tokens of agents: at most two of one agent are good at a time."""

    def __init__(self, registry: Registry, overlap_seconds: float) -> None:
        self._registry = registry
        self._overlap = timedelta(seconds=overlap_seconds)
        self._ages = registry.copy("agents", _read_ages)

    def newest(self, agent_id: str) -> datetime | None:
        """When the agent's youngest token was made; None for an agent without one."""
        return self._ages.get().get(agent_id)

    def announce(self, agent: Identified, token: str, digest: str, now: datetime | None = None) -> None:
        """Let the next token of an agent open as well; one announced before and never proved ends.

        ``token`` is the one that asked. Raises RegistryError for a digest that is in use, and for
        a token that was replaced itself.
        """
        now = now or datetime.now(UTC)
        asking = digest_of(token)
        with self._registry.writing() as connection:
            owner = connection.scalar(sa.select(TokenRow.agent_id).where(TokenRow.digest == digest))
            if digest == asking or owner not in (None, agent.agent_id):
                raise RegistryError("the digest is that of a token in use")
            if owner is not None:
                return
            _refuse_ending(connection, asking)
            others = sa.delete(TokenRow).where(TokenRow.agent_id == agent.agent_id, TokenRow.digest != asking)
            connection.execute(others)
            row = {"digest": digest, "agent_id": agent.agent_id, "created_at": now}
            connection.execute(sa.insert(TokenRow).values(row))
            count_change(connection, "agents")
        self._forget()

    def prove(self, agent: Identified, token: str, now: datetime | None = None) -> None:
        """The agent holds this token for good: its others end after the overlap.

        Raises RegistryError for a token that ends itself: whoever has an old one ends no newer one with it.
        """
        now = now or datetime.now(UTC)
        ends = now + self._overlap
        others = sa.and_(TokenRow.agent_id == agent.agent_id, TokenRow.digest != digest_of(token))
        with self._registry.writing() as connection:
            _refuse_ending(connection, digest_of(token))
            connection.execute(sa.delete(TokenRow).where(others, TokenRow.expires_at <= now))
            ending = sa.update(TokenRow).where(others, TokenRow.expires_at.is_(None))
            if connection.execute(ending.values(expires_at=ends)).rowcount:
                count_change(connection, "agents")
        self._forget()

    def _forget(self) -> None:
        self._registry.forget_tokens()
        self._ages.forget()


def _refuse_ending(connection: Connection, digest: str | None) -> None:
    ends = connection.scalar(sa.select(TokenRow.expires_at).where(TokenRow.digest == digest))
    if ends is not None:
        raise RegistryError("the token was replaced already")


def _read_ages(connection: Connection) -> Mapping[str, datetime]:
    youngest = sa.func.max(TokenRow.created_at, type_=TokenRow.created_at.type)
    rows = connection.execute(
        sa.select(TokenRow.agent_id, youngest)
        .join(AgentRow, AgentRow.id == TokenRow.agent_id)
        .group_by(TokenRow.agent_id)
    )
    return {agent_id: made for agent_id, made in rows if made is not None}
