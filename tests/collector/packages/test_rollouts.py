"""Orders to upgrade: who is told when, what opens them to the rest, what stops them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.access import audit
from collector.access.audit import entries
from collector.enrolment.states import AgentState, States
from collector.packages.rollouts import Rollout, Rollouts
from collector.packages.settings import PackageSettings
from collector.registry import Registry, RegistryError
from config.school import School

BY = audit.command_line()
NOON = datetime(2027, 3, 1, 4, 0, tzinfo=UTC)
AGENTS = [f"a{number}" for number in range(1, 6)]


class Desk:
    """A registry of five schools with an agent each."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry.open(f"sqlite:///{folder / 'registry.db'}", 0.0)
        self.registry.put_schools([School(f"s{number}") for number in range(1, 6)])
        for number, name in enumerate(AGENTS, 1):
            self.registry.add_agent(f"s{number}", name)
        self.states = States(self.registry)
        self.rollouts = Rollouts(self.registry, self.states, PackageSettings())
        self.say(*AGENTS, version="0.1.0")

    def say(self, *agents: str, version: str, state: str = "", at: datetime = NOON, reason: str = "") -> None:
        current = self.rollouts.current()
        order = current.id if current and current.concerns(agents[0]) else ""
        for each in agents:
            self.states.note(
                each,
                AgentState(version=version, order_id=order, order_state=state, order_reason=reason),
            )
            self.registry.note_seen(each, at)
        self.registry.flush_seen()
        self.states.flush()

    def order(self, *first: str, settle: float | None = 3600.0, **more: bool) -> Rollout:
        return self.rollouts.start("0.2.0", first, BY, now=NOON, settle_seconds=settle, **more)

    def told(self) -> list[str]:
        return [each for each in AGENTS if self.rollouts.order_for(each)]

    def tick(self, after_seconds: float = 0.0) -> str:
        self.rollouts.tick(NOON + timedelta(seconds=after_seconds))
        current = self.rollouts.current()
        assert current is not None
        return current.state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.registry.close()


def test_the_rest_follow_when_the_first_ran_it_well_for_long_enough(desk: Desk) -> None:
    assert desk.told() == []
    order = desk.order("a1", "a2")
    assert desk.told() == ["a1", "a2"]
    assert desk.rollouts.order_for("a1") == {
        "id": order.id, "version": "0.2.0", "leave": False, "urgent": False
    }  # fmt: skip
    desk.say("a1", version="0.2.0")
    desk.say("a2", version="0.2.0", state="trial")
    assert desk.tick(10) == "first"
    desk.say("a2", version="0.2.0", at=NOON + timedelta(seconds=3600))
    assert desk.tick(20) == "first"
    assert desk.tick(3619) == "first"
    desk.registry.note_seen("a1", NOON + timedelta(seconds=2000))
    desk.registry.flush_seen()
    assert desk.tick(3621) == "first"  # a1 was not heard for 27 min
    desk.registry.note_seen("a1", NOON + timedelta(seconds=3600))
    desk.registry.flush_seen()
    assert desk.tick(3621) == "rest"
    assert desk.told() == AGENTS


def test_one_of_the_first_that_leaves_it_again_begins_the_time_anew(desk: Desk) -> None:
    desk.order("a1")
    desk.say("a1", version="0.2.0")
    desk.tick(1)
    desk.say("a1", version="0.1.0")
    desk.tick(2)
    desk.say("a1", version="0.2.0", at=NOON + timedelta(seconds=3602))
    assert desk.tick(3602) == "first"
    assert desk.tick(3602 + 3599) == "first"


def test_it_stops_by_itself_when_one_falls_back(desk: Desk) -> None:
    desk.order(everybody=True)
    desk.say("a1", version="0.2.0")
    assert desk.tick(1) == "rest"
    desk.say("a3", version="0.1.0", state="failed", reason="0.2.0: ended 3 times")
    assert desk.tick(2) == "stopped"
    current = desk.rollouts.current()
    assert current is not None
    assert current.reason == "a3 fell back: 0.2.0: ended 3 times"
    assert desk.told() == []
    with pytest.raises(RegistryError, match="no rest waits"):
        desk.rollouts.go_on(BY, NOON)
    again = desk.order("a4")  # what a3 said of the order before stops this one not
    assert again.id != current.id
    assert desk.tick(3) == "first"


def test_what_is_only_refused_stops_nothing_and_opens_nothing(desk: Desk) -> None:
    desk.order("a1", settle=0.0)
    desk.say("a1", version="0.1.0", state="refused", reason="no key")
    assert desk.tick(1) == "first"
    assert desk.tick(2) == "first"
    states = {each.id: (each.state, each.reason) for each in desk.rollouts.followers()}
    assert states == {"a1": ("refused", "no key"), **dict.fromkeys(AGENTS[1:], ("later", ""))}


def test_by_hand_the_rest_wait(desk: Desk) -> None:
    desk.order("a1", settle=None)
    desk.say("a1", version="0.2.0", at=NOON + timedelta(days=9))
    for day in (1, 9):
        assert desk.tick(day * 86400) == "first"
    assert desk.rollouts.go_on(BY, NOON).state == "rest"
    assert desk.told() == AGENTS
    assert desk.rollouts.stop(BY, NOON).state == "stopped"
    assert desk.told() == []


def test_back_tells_everybody_to_leave_it(desk: Desk) -> None:
    with pytest.raises(RegistryError, match="no upgrade was ordered yet"):
        desk.rollouts.back(BY, NOON, urgent=False)
    desk.order("a1")
    desk.say("a1", version="0.2.0")
    back = desk.rollouts.back(BY, NOON + timedelta(seconds=1), urgent=True)
    assert desk.rollouts.order_for("a5") == {
        "id": back.id, "version": "0.2.0", "leave": True, "urgent": True
    }  # fmt: skip
    assert desk.tick(2) == "back"
    assert {each.id: each.state for each in desk.rollouts.followers()} == {
        "a1": "told", **dict.fromkeys(AGENTS[1:], "done")
    }  # fmt: skip


def test_who_goes_first(desk: Desk) -> None:
    assert desk.rollouts.first_of(["s2"], 0) == ["a2"]
    assert len(desk.rollouts.first_of([], 0.21)) == 2
    chosen = desk.rollouts.first_of(["s2"], 0.5)
    assert len(chosen) == 3
    assert "a2" in chosen
    assert desk.rollouts.first_of([], 1.0) == AGENTS
    desk.registry.revoke("a2")
    with pytest.raises(RegistryError, match="school s2: has no agent"):
        desk.rollouts.first_of(["s2"], 0)


def test_what_cannot_be_ordered_and_a_trial_run_change_nothing(desk: Desk) -> None:
    for version, first in (("../x", ["a1"]), ("latest", ["a1"]), ("0.2.0", [])):
        with pytest.raises(RegistryError):
            desk.rollouts.start(version, first, BY, now=NOON, settle_seconds=1)
    desk.order("a1", dry_run=True)
    assert desk.rollouts.current() is None


def test_every_order_is_in_the_log(desk: Desk) -> None:
    desk.order("a1")
    desk.rollouts.go_on(BY, NOON)
    desk.rollouts.stop(BY, NOON)
    desk.rollouts.back(BY, NOON, urgent=False)
    with desk.registry.reading() as connection:
        found = [each.action for each in reversed(entries(connection))]
    assert found[-4:] == [
        "agents.upgrade",
        "agents.upgrade.continue",
        "agents.upgrade.stop",
        "agents.upgrade.back",
    ]


def test_two_collectors_see_one_order(desk: Desk) -> None:
    other = Rollouts(desk.registry, desk.states, PackageSettings())
    assert other.current() is None
    order = desk.order("a1")
    assert other.current() == order
