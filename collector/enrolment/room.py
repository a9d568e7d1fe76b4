"""The enrolment room: codes, tokens, what agents say, and what they are told to measure."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from collector.enrolment.configurations import Configurations, Effective
from collector.enrolment.guesses import Guesses, TooManyGuesses
from collector.enrolment.invitations import Enrolled, Invitations, NotOpened
from collector.enrolment.sealing import Seal
from collector.enrolment.states import MAX_REASON, AgentState, States
from collector.enrolment.tokens import Identified, Tokens
from collector.ingest.liveness import Heartbeat, SoftwareSaid
from collector.packages.rollouts import Rollouts
from collector.packages.store import PackageStore
from collector.registry import Registry
from config.central import Document
from config.clock import Clock
from config.plan import shipped_plans
from config.settings import load

if TYPE_CHECKING:
    from collector.settings import CollectorSettings

NS = 10**9
SEEN_EVERY_SECONDS = 15
MAX_REVISION = 32
MAX_ORDER = 16


class EnrolmentRoom:
    """What the routes and the commands of enrolment share."""

    def __init__(self, registry: Registry, settings: CollectorSettings, clock: Clock) -> None:
        enrolment = settings.enrolment
        self.invitations = Invitations(registry)
        self.tokens = Tokens(registry, enrolment.overlap)
        self.states = States(registry)
        self.configurations = Configurations(registry, seal_of(settings))
        self.guesses = Guesses(enrolment, clock)
        self.packages = PackageStore(settings)
        self.rollouts = Rollouts(registry, self.states, settings.packages)
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self.plan = plan_to_send(settings)
        self._seal = seal_of(settings)
        self._seen: dict[str, datetime] = {}
        self._enrolling = threading.Lock()

    def tick(self) -> None:
        """Write what agents said, and let an upgrade go on, or stop."""
        self.states.flush()
        self.rollouts.tick(self.now())

    def close(self) -> None:
        """Write what is still to be written."""
        self.states.flush()

    def enrol(self, address: str, code: str, token_digest: str) -> Enrolled:
        """Exchange a code. Raises NotOpened, a wrong one counts against the address; and TooManyGuesses.

        One code at a time: of a thousand that are sent at once each is counted before the next is looked at.
        """
        with self._enrolling:
            wait = self.guesses.wait_seconds(address)
            if wait > 0:
                raise TooManyGuesses(wait)
            try:
                return self.invitations.open(code, token_digest, address, self.now())
            except NotOpened:
                self.guesses.wrong(address)
                raise

    def heard(self, agent: Identified, beat: Heartbeat, address: str) -> Mapping[str, object]:
        """Note what an agent says; gives what it is told with the answer to its heartbeat."""
        now = self.now()
        seen = self._seen.get(agent.agent_id)
        if seen is None or now - seen >= timedelta(seconds=SEEN_EVERY_SECONDS):
            self._seen[agent.agent_id] = now
            self._registry.note_seen(agent.agent_id, now)
        self.states.note(agent.agent_id, self._state(beat, address))
        told: dict[str, object] = {}
        school = self._registry.school(agent.school_id)
        if school is not None:
            told["config"] = self.configurations.revision(agent.agent_id, school, self.plan)
        order = self.rollouts.order_for(agent.agent_id)
        if order is not None:
            told["upgrade"] = order
        if self.is_rotation_due(agent.agent_id, now):
            told["rotate"] = True
        return told

    def is_rotation_due(self, agent_id: str, now: datetime) -> bool:
        """True when the agent's youngest token is too old, or older than somebody's wish for a new one."""
        made = self.tokens.newest(agent_id)
        if made is None:
            return False
        asked = self.states.rotation_asked_at(agent_id)
        old = now - made >= timedelta(seconds=self._settings.enrolment.rotate_every)
        return old or (asked is not None and asked > made)

    def effective(self, agent: Identified) -> Effective:
        """What the agent is to measure, its secrets sealed. Raises KeyError for a school that is gone."""
        school = self._registry.schools()[agent.school_id]
        return self.configurations.effective(agent.agent_id, school, self.plan)

    def opened(self, effective: Effective) -> Document:
        """The document with its secrets. Raises SettingsError, which goes to the log and not to an agent."""
        return self._seal.opened(effective.document)

    def now(self) -> datetime:
        """The collector's time."""
        return datetime.fromtimestamp(self._clock.wall_ns() / NS, UTC)

    def _state(self, beat: Heartbeat, address: str) -> AgentState:
        said, software = beat.config, beat.software or SoftwareSaid()
        offset_ms = round((beat.wall_ns - self._clock.wall_ns()) / 1e6)
        return AgentState(
            version=one_line(beat.version, MAX_REVISION),
            address=address[:64],
            # a few milliseconds are the network's and would be written anew with each heartbeat
            clock_offset_ms=round(offset_ms, -2),
            applied=one_line(said.applied, MAX_REVISION) if said else "",
            refused=one_line(said.refused, MAX_REVISION) if said else "",
            reason=one_line(said.reason, MAX_REASON) if said else "",
            packaged=one_line(software.packaged, MAX_REVISION),
            order_id=one_line(software.order, MAX_ORDER),
            order_state=one_line(software.state, MAX_ORDER),
            order_reason=one_line(software.reason, MAX_REASON),
        )


def seal_of(settings: CollectorSettings) -> Seal:
    """The seal of this collector's secrets."""
    return Seal(Path(settings.enrolment.key_file or settings.data / "secrets.key"))


def plan_to_send(settings: CollectorSettings) -> Document | str | None:
    """The plan that agents judge by when somebody asks them: the first of verdicts.plans; a shipped one by
    its id, another whole.
    """
    first = next(iter(settings.verdicts.plans), None)
    if first is None or first in shipped_plans():
        return first
    content: Document = msgspec.json.decode(msgspec.json.encode(load(Path(first), dict[str, Any])))
    return content


def one_line(text: str, most: int) -> str:
    """What an agent said, fit for a list: printable, one line, bounded."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))[:most]
