"""Which agents were heard, when, and in which state; in memory, by the collector's own monotonic clock."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from config.clock import Clock

Ns = Annotated[int, msgspec.Meta(ge=-(2**62), lt=2**62)]
"""What fits every store; 2**62 ns of a wall clock are the year 2116."""
AgentState = Literal["running", "restarting", "stopping"]


class ConfigurationSaid(msgspec.Struct, frozen=True):
    """By which revision of the county's configuration an agent measures, and which it refused, and why."""

    applied: str = ""
    refused: str = ""
    reason: str = ""


class SoftwareSaid(msgspec.Struct, frozen=True):
    """The version installed at an agent's host, the order to upgrade at hand, how it fares and why."""

    packaged: str = ""
    order: str = ""
    state: str = ""
    reason: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    """The body of a heartbeat, as ARCHITECTURE.md says."""

    boot_id: str
    wall_ns: Ns
    monotonic_ns: Ns
    uptime_seconds: float
    version: str
    state: AgentState
    config: ConfigurationSaid | None = None
    software: SoftwareSaid | None = None


class Heard(msgspec.Struct, frozen=True):
    """What is known of one agent. ``clock_offset_ns`` is its wall clock minus ours when it last told.

    State, uptime and version are None until a heartbeat told them.
    """

    agent_id: str
    school_id: str
    heard_monotonic_ns: int
    heard_ns: int
    clock_offset_ns: int | None = None
    boot_id: str | None = None
    state: AgentState | None = None
    uptime_seconds: float | None = None
    version: str | None = None


class Liveness:
    """When each agent was last heard. Safe to read from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: dict[str, Heard] = {}

    def heartbeat(self, agent_id: str, school_id: str, beat: Heartbeat) -> None:
        """An agent sent a heartbeat."""
        now_ns = self._clock.wall_ns()
        self._agents[agent_id] = Heard(
            agent_id, school_id, self._clock.monotonic_ns(), now_ns, beat.wall_ns - now_ns, beat.boot_id,
            beat.state, beat.uptime_seconds, beat.version,
        )  # fmt: skip

    def pushed(self, agent_id: str, school_id: str) -> None:
        """An agent pushed points: it is alive, and says no more about itself than before."""
        before = self._agents.get(agent_id) or Heard(agent_id, school_id, 0, 0)
        self._agents[agent_id] = msgspec.structs.replace(
            before,
            school_id=school_id,
            heard_monotonic_ns=self._clock.monotonic_ns(),
            heard_ns=self._clock.wall_ns(),
        )

    def of(self, agent_id: str) -> Heard | None:
        """What is known of an agent; None when it was never heard since the collector started."""
        return self._agents.get(agent_id)

    def all(self) -> list[Heard]:
        """Every agent heard since the collector started."""
        return list(self._agents.values())

    def silent_seconds(self, agent_id: str) -> float | None:
        """Seconds since the agent was heard; None when it was never heard."""
        heard = self._agents.get(agent_id)
        if heard is None:
            return None
        return (self._clock.monotonic_ns() - heard.heard_monotonic_ns) / 1e9

    def silent(self) -> dict[str, float]:
        """Seconds since each agent was heard."""
        now_ns = self._clock.monotonic_ns()
        return {each.agent_id: (now_ns - each.heard_monotonic_ns) / 1e9 for each in self.all()}
