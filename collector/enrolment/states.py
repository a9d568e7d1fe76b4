"""What agents say of themselves with each heartbeat, kept for lists; written together, seldom."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import Who, audit
from collector.enrolment.tables import AgentStateRow
from collector.registry import Registry, RegistryError
from collector.registry.copies import count_change
from collector.registry.tables import AgentRow

MAX_REASON = 300


class AgentState(msgspec.Struct, frozen=True):
    """One agent. ``applied`` is the revision of the county's configuration that it measures by, empty for
    none; ``refused`` one that it would not take, with the reason. ``packaged`` is the version installed
    there, ``order_id`` the last order to upgrade that it heard, and how that fares: «waiting», «trial»,
    «refused», «failed», or empty when it is done.
    """

    version: str = ""
    address: str = ""
    clock_offset_ms: int | None = None
    applied: str = ""
    refused: str = ""
    reason: str = ""
    packaged: str = ""
    order_id: str = ""
    order_state: str = ""
    order_reason: str = ""


class States:
    """The last word of every agent. Safe between threads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._said: dict[str, AgentState] = {}
        self._unwritten: set[str] = set()
        self._asked = registry.copy("agents", _read_asked)

    def note(self, agent_id: str, state: AgentState) -> None:
        """An agent spoke."""
        with self._lock:
            if self._said.get(agent_id) != state:
                self._said[agent_id] = state
                self._unwritten.add(agent_id)

    def flush(self) -> None:
        """Write what is new, in one transaction, in the order that every collector does. What could not be
        written is written the next time.
        """
        with self._lock:
            said = {agent_id: self._said[agent_id] for agent_id in sorted(self._unwritten)}
            self._unwritten = set()
        if not said:
            return
        try:
            with self._registry.writing() as connection:
                _write(connection, said)
        except BaseException:
            with self._lock:
                self._unwritten |= said.keys()
            raise

    def rotation_asked_at(self, agent_id: str) -> datetime | None:
        """When somebody asked for a new token of this agent; None when nobody did."""
        return self._asked.get().get(agent_id)

    def ask_rotation(self, agent_id: str, by: Who) -> None:
        """Ask the agent for a new token, with its next heartbeat. Raises RegistryError."""
        with self._registry.writing() as connection:
            known = sa.select(AgentRow.revoked_at).where(AgentRow.id == agent_id)
            found = connection.execute(known).one_or_none()
            if found is None:
                raise RegistryError(f"agent {agent_id}: is not known")
            if found.revoked_at is not None:
                raise RegistryError(f"agent {agent_id}: is revoked; invite it anew instead")
            _insert_missing(connection, [agent_id])
            change = sa.update(AgentStateRow).where(AgentStateRow.agent_id == agent_id)
            now = datetime.now(UTC)
            connection.execute(change.values(rotate_asked_at=now))
            audit.record(connection, by, "agents.rotate", agent_id, at=now)
            count_change(connection, "agents")
        self._asked.forget()

    def stored(self) -> Mapping[str, AgentState]:
        """What is written of every agent."""
        columns = [getattr(AgentStateRow, name) for name in AgentState.__struct_fields__]
        with self._registry.reading() as connection:
            rows = connection.execute(sa.select(AgentStateRow.agent_id, *columns))
            return {row[0]: AgentState(*row[1:]) for row in rows}


def _write(connection: Connection, said: Mapping[str, AgentState]) -> None:
    _insert_missing(connection, list(said))
    names = AgentState.__struct_fields__
    change = sa.update(AgentStateRow).where(AgentStateRow.agent_id == sa.bindparam("of_agent"))
    rows = [
        {"of_agent": agent_id, **{f"new_{name}": getattr(state, name) for name in names}}
        for agent_id, state in said.items()
    ]
    connection.execute(change.values({name: sa.bindparam(f"new_{name}") for name in names}), rows)


def _insert_missing(connection: Connection, agents: list[str]) -> None:
    there = set(connection.scalars(sa.select(AgentStateRow.agent_id)))
    known = set(connection.scalars(sa.select(AgentRow.id)))
    rows = [
        {"agent_id": each, **msgspec.structs.asdict(AgentState())}
        for each in agents
        if each in known and each not in there
    ]
    if rows:
        connection.execute(sa.insert(AgentStateRow), rows)


def _read_asked(connection: Connection) -> Mapping[str, datetime]:
    asked = AgentStateRow.rotate_asked_at
    rows = connection.execute(sa.select(AgentStateRow.agent_id, asked).where(asked.is_not(None)))
    return {row.agent_id: row.rotate_asked_at for row in rows}
