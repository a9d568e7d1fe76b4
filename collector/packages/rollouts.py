"""Orders to upgrade: some agents first, the rest when those are well, a stop when one falls back.

The newest order alone holds. Agents hear of it with the answer to a heartbeat, go by themselves when it is no
lesson, and say how it went; nothing here waits for them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import Who, audit
from collector.enrolment.states import AgentState, States
from collector.enrolment.tables import AgentStateRow
from collector.packages.settings import PackageSettings
from collector.packages.tables import RolloutRow
from collector.registry import Agent, Registry, RegistryError
from collector.registry.copies import count_change
from collector.registry.tables import AgentRow
from config.packages import is_version

KEPT = 50
"""So many orders are kept."""
FAILED, TRIAL = "failed", "trial"
State = Literal["first", "rest", "stopped", "back"]


class Rollout(msgspec.Struct, frozen=True):
    """One order. ``kind`` «back»: leave that version. ``settle_seconds`` null: the rest wait for a person."""

    id: str
    kind: Literal["upgrade", "back"]
    version: str
    first: frozenset[str]
    settle_seconds: float | None
    urgent: bool
    created_at: datetime
    created_by: str
    well_at: datetime | None = None
    rest_at: datetime | None = None
    stopped_at: datetime | None = None
    reason: str = ""

    @property
    def state(self) -> State:
        """Whose turn it is."""
        if self.stopped_at is not None:
            return "stopped"
        if self.kind == "back":
            return "back"
        return "first" if self.rest_at is None else "rest"

    def concerns(self, agent_id: str) -> bool:
        """True when that agent is to follow now."""
        return self.stopped_at is None and (self.rest_at is not None or agent_id in self.first)


class Follower(msgspec.Struct, frozen=True):
    """One agent and how it follows. ``state``: «done», «waiting», «trial», «refused», «failed»; «told» when
    it has not answered to the order yet, «later» when its turn has not come, or never comes.
    """

    id: str
    school_id: str
    version: str
    packaged: str
    state: str
    reason: str
    seen_at: datetime | None


class Rollouts:
    """The orders. Safe between threads and between collectors: each change is one transaction."""

    def __init__(self, registry: Registry, states: States, settings: PackageSettings) -> None:
        self._registry = registry
        self._states = states
        self._settings = settings
        self._newest = registry.copy("rollouts", _read_newest)

    def current(self) -> Rollout | None:
        """The order that holds, or held last; None before the first."""
        return self._newest.get().get("")

    def order_for(self, agent_id: str) -> Mapping[str, object] | None:
        """What an agent is told."""
        rollout = self.current()
        if rollout is None or not rollout.concerns(agent_id):
            return None
        return {
            "id": rollout.id,
            "version": rollout.version,
            "leave": rollout.kind == "back",
            "urgent": rollout.urgent,
        }

    def start(
        self, version: str, first: Iterable[str], by: Who, *, now: datetime, everybody: bool = False,
        settle_seconds: float | None, urgent: bool = False, dry_run: bool = False,
    ) -> Rollout:  # fmt: skip
        """Order a version: ``first`` go at once, the rest when they are well; ``everybody`` goes at once.

        Raises RegistryError.
        """
        if not is_version(version):
            raise RegistryError(f"{version[:40]}: is no version; allowed is one like 0.2.0")
        chosen = frozenset(first)
        if not chosen and not everybody:
            raise RegistryError("no agent would go first")
        rollout = Rollout(
            secrets.token_hex(6), "upgrade", version, chosen, settle_seconds, urgent, now, by.name[:64],
            rest_at=now if everybody else None,
        )  # fmt: skip
        self._add(rollout, by, dry_run=dry_run)
        return rollout

    def back(self, by: Who, now: datetime, *, urgent: bool, dry_run: bool = False) -> Rollout:
        """Order every agent that runs the version of the order to leave it. Raises RegistryError."""
        before = self._known()
        rollout = Rollout(
            secrets.token_hex(6), "back", before.version, frozenset(), None, urgent, now, by.name[:64],
            rest_at=now,
        )  # fmt: skip
        self._add(rollout, by, dry_run=dry_run)
        return rollout

    def stop(self, by: Who, now: datetime, reason: str = "") -> Rollout:
        """No further agent follows the order; who runs the version goes on. Raises RegistryError."""
        return self._change(by, now, "agents.upgrade.stop", stopped_at=now, reason=reason[:300])

    def go_on(self, by: Who, now: datetime) -> Rollout:
        """Let the rest follow at once. Raises RegistryError."""
        if self._known().state != "first":
            raise RegistryError("no rest waits to follow; order the version again")
        return self._change(by, now, "agents.upgrade.continue", rest_at=now)

    def tick(self, now: datetime) -> None:
        """Stop the order when an agent fell back; let the rest follow when those that went first are well."""
        rollout = self.current()
        if rollout is None or rollout.stopped_at is not None or rollout.kind == "back":
            return
        fallen = self._fallen(rollout)
        if fallen:
            self._set(rollout, stopped_at=now, reason=fallen[:300])
        elif rollout.rest_at is None:
            self._settle(rollout, now)

    def first_of(self, schools: Iterable[str], share: float) -> list[str]:
        """Agents to go first: those of the schools, and a share of the others drawn by lot, rounded up.

        Raises RegistryError for a school without an agent.
        """
        agents, wanted = self._agents(), set(schools)
        chosen = {each.id for each in agents.values() if each.school_id in wanted}
        lacking = wanted - {agents[each].school_id for each in chosen}
        if lacking:
            raise RegistryError(f"school {min(lacking)}: has no agent")
        others = sorted(set(agents) - chosen)
        return sorted(chosen | set(secrets.SystemRandom().sample(others, math.ceil(len(others) * share))))

    def followers(self) -> list[Follower]:
        """Every agent and how it follows the order, by id."""
        rollout, said = self.current(), self._states.stored()
        return [
            _follower(agent, said.get(agent.id, AgentState()), rollout)
            for _, agent in sorted(self._agents().items())
        ]

    def _agents(self) -> dict[str, Agent]:
        return {each.id: each for each in self._registry.agents() if each.revoked_at is None}

    def _fallen(self, rollout: Rollout) -> str:
        """Who went back to the version before, and why; empty for nobody."""
        fell = sa.select(AgentStateRow.agent_id, AgentStateRow.order_reason).where(
            AgentStateRow.order_id == rollout.id, AgentStateRow.order_state == FAILED
        )
        with self._registry.reading() as connection:
            row = connection.execute(fell.order_by(AgentStateRow.agent_id).limit(1)).one_or_none()
        return "" if row is None else f"{row.agent_id} fell back: {row.order_reason}"

    def _settle(self, rollout: Rollout, now: datetime) -> None:
        """Note since when those that went first are well, and open the order when that is long enough."""
        asked = (
            sa.select(AgentRow.seen_at, AgentStateRow.version, AgentStateRow.order_state)
            .outerjoin(AgentStateRow, AgentStateRow.agent_id == AgentRow.id)
            .where(AgentRow.id.in_(rollout.first), AgentRow.revoked_at.is_(None))
        )
        with self._registry.reading() as connection:
            first = connection.execute(asked).all()
        well = bool(first) and all(
            each.version == rollout.version and each.order_state != TRIAL for each in first
        )
        if well != (rollout.well_at is not None):
            self._set(rollout, well_at=now if well else None)
        elif well and rollout.settle_seconds is not None and rollout.well_at is not None:
            seen_since = now - timedelta(seconds=self._settings.seen_within)
            heard = all(each.seen_at is not None and each.seen_at >= seen_since for each in first)
            if heard and now - rollout.well_at >= timedelta(seconds=rollout.settle_seconds):
                self._set(rollout, rest_at=now)

    def _known(self) -> Rollout:
        found = self.current()
        if found is None:
            raise RegistryError("no upgrade was ordered yet")
        return found

    def _add(self, rollout: Rollout, by: Who, *, dry_run: bool) -> None:
        if dry_run:
            return
        row = {
            **msgspec.structs.asdict(rollout),
            "first": msgspec.json.encode(sorted(rollout.first)).decode(),
        }
        action = "agents.upgrade" if rollout.kind == "upgrade" else "agents.upgrade.back"
        with self._registry.writing() as connection:
            number = (connection.scalar(sa.select(sa.func.max(RolloutRow.number))) or 0) + 1
            connection.execute(sa.insert(RolloutRow).values(number=number, **row))
            connection.execute(sa.delete(RolloutRow).where(RolloutRow.number <= number - KEPT))
            audit.record(
                connection, by, action, rollout.version, at=rollout.created_at,
                order=rollout.id, first=len(rollout.first), urgent=rollout.urgent,
            )  # fmt: skip
            count_change(connection, "rollouts")
        self._newest.forget()

    def _change(self, by: Who, now: datetime, action: str, **values: object) -> Rollout:
        rollout = self._known()
        with self._registry.writing() as connection:
            connection.execute(sa.update(RolloutRow).where(RolloutRow.id == rollout.id).values(values))
            audit.record(connection, by, action, rollout.version, at=now, order=rollout.id)
            count_change(connection, "rollouts")
        self._newest.forget()
        return msgspec.structs.replace(rollout, **values)

    def _set(self, rollout: Rollout, **values: object) -> None:
        """Change an order that nobody stopped meanwhile; another collector may have done the same."""
        with self._registry.writing() as connection:
            not_stopped = RolloutRow.stopped_at.is_(None)
            change = sa.update(RolloutRow).where(RolloutRow.id == rollout.id, not_stopped)
            if connection.execute(change.values(values)).rowcount:
                count_change(connection, "rollouts")
        self._newest.forget()


def _follower(agent: Agent, said: AgentState, rollout: Rollout | None) -> Follower:
    return Follower(
        agent.id, agent.school_id, said.version, said.packaged, _state(agent.id, said, rollout),
        said.order_reason if rollout and said.order_id == rollout.id else "", agent.seen_at,
    )  # fmt: skip


def _state(agent_id: str, said: AgentState, rollout: Rollout | None) -> str:
    if rollout is None:
        return ""
    answered = said.order_state if said.order_id == rollout.id else ""
    if answered:
        return answered
    if (said.version == rollout.version) != (rollout.kind == "back"):
        return "done"
    return "told" if rollout.concerns(agent_id) else "later"


def _read_newest(connection: Connection) -> Mapping[str, Rollout]:
    columns = [getattr(RolloutRow, name) for name in Rollout.__struct_fields__]
    newest = sa.select(*columns).order_by(RolloutRow.number.desc()).limit(1)
    row: Any = connection.execute(newest).one_or_none()
    if row is None:
        return {}
    return {"": Rollout(**{**row._mapping, "first": frozenset(msgspec.json.decode(row.first))})}
