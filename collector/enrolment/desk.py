"""What whoever manages agents may do, once for the API and the pages: the same checks in the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from collector.access import Who, audit
from collector.enrolment.configurations import Scope, Version
from collector.enrolment.invitations import Invitation
from collector.enrolment.inviting import Address, address_of
from collector.enrolment.room import EnrolmentRoom
from collector.registry import Registry
from collector.settings import CollectorSettings
from collector.web.problems import bad_request, not_found
from config.central import CentralError, check
from config.settings import SettingsError

MIN_VALID_SECONDS = 60.0

T = TypeVar("T")


class Invited(NamedTuple):
    """Codes, which are kept nowhere, and where agents bring them."""

    codes: list[Invitation]
    address: Address


class AgentDesk:
    """Every method raises Problem or RegistryError, one line, for what cannot be."""

    def __init__(self, room: EnrolmentRoom, registry: Registry, settings: CollectorSettings) -> None:
        self.room = room
        self._registry = registry
        self._settings = settings

    def invite(self, schools: Sequence[str], name: str, valid_seconds: float | None, by: Who) -> Invited:
        """A one-time code for an agent of each school; None is good for as long as the settings say."""
        enrolment = self._settings.enrolment
        valid = float(enrolment.code_valid if valid_seconds is None else valid_seconds)
        if not MIN_VALID_SECONDS <= valid <= enrolment.code_valid_max:
            raise bad_request(
                f"valid_seconds: {MIN_VALID_SECONDS:g} to {float(enrolment.code_valid_max):g} is allowed"
            )
        address = _told(lambda: address_of(self._settings))
        return Invited(self.room.invitations.invite(schools, name, valid, by), address)

    def without_agent(self) -> list[str]:
        """The schools that have no agent."""
        served = {each.school_id for each in self._registry.agents() if each.revoked_at is None}
        return [each for each in self._registry.schools() if each not in served]

    def revoke(self, agent_id: str, by: Who) -> None:
        """Refuse the agent's tokens from now on; doing it again changes nothing."""
        self._refuse_unknown(agent_id)
        now = datetime.now(UTC)
        self._registry.revoke(
            agent_id, lambda connection: audit.record(connection, by, "agents.revoke", agent_id, at=now)
        )

    def rotate(self, agent_id: str, by: Who) -> None:
        """Have the agent replace its token with its next heartbeat."""
        self._refuse_unknown(agent_id)
        self.room.states.ask_rotation(agent_id, by)

    def scope(self, text: str) -> Scope:
        """Whom «county», «school:ID» or «agent:ID» means."""
        kind, _, subject = text.partition(":")
        if text == "county":
            return Scope("county")
        if kind == "school" and self._registry.school(subject) is not None:
            return Scope("school", subject)
        if kind == "agent" and self._is_known(subject):
            return Scope("agent", subject)
        raise not_found("allowed: county, school:ID, agent:ID, of one that is known")

    def put(self, scope: Scope, document: object, by: Who, *, dry_run: bool) -> Version:
        """Set what is measured; agents follow within seconds, or say why they do not."""
        wanted = _told(lambda: check(document))
        return _told(lambda: self.room.configurations.put(scope, wanted, by, dry_run=dry_run))

    def undo(self, scope: Scope, by: Who, number: int | None, *, dry_run: bool) -> Version:
        """Go back to the state before, or to that of a number; again: forth."""
        return _told(lambda: self.room.configurations.undo(scope, by, number, dry_run=dry_run))

    def _refuse_unknown(self, agent_id: str) -> None:
        if not self._is_known(agent_id):
            raise not_found(f"agent {agent_id}: is not known")

    def _is_known(self, agent_id: str) -> bool:
        return any(each.id == agent_id for each in self._registry.agents())


def _told(work: Callable[[], T]) -> T:
    """What cannot be set is a bad request, in the words that the command would use."""
    try:
        return work()
    except (CentralError, SettingsError) as error:
        raise bad_request(str(error)) from None
