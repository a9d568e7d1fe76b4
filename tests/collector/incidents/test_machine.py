"""Whatever a condition does: what was opened is resolved or stays open, and nothing is told twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.incidents.flapping import is_flapping
from collector.incidents.machine import Signal, Situation, acknowledge, turn
from collector.incidents.model import Change, Incident, Waiting
from collector.incidents.rules import load_rules

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(seconds=30)
SLOT = timedelta(minutes=3)
RULE = load_rules().rules.school_silent

Look = tuple[Signal, Waiting, bool, bool]
looks = st.lists(
    st.tuples(
        st.sampled_from(["holds", "clear", "unknown"]), st.sampled_from(["", "silence", "school_hours"]),
        st.booleans(), st.booleans(),
    ),
    max_size=200,
)  # fmt: skip


def begun(now: datetime) -> Incident:
    return Incident(1, "school_silent", "s1", "school", "critical", "pending", now, now, turns=(now,))


def lived(seen: list[Look]) -> list[Change]:
    """The changes of one key over many looks: a new incident begins where the last one is over."""
    incident: Incident | None = None
    told: list[Change] = []
    for number, (signal, held_back, has_parent, taken) in enumerate(seen):
        now = START + number * STEP
        if incident is None:
            if signal != "holds":
                continue
            incident = begun(now)
        situation = Situation(now, signal, RULE, SLOT, held_back=held_back, parent=7 if has_parent else None)
        after, changes = turn(incident, situation)
        told += changes
        if after is not None and taken:
            after, taken_now = acknowledge(after, "wang", now)
            told += taken_now
        incident = None if after is None or after.state == "resolved" else after
    return told


@given(looks)
def test_opened_and_resolved_take_turns(seen: list[Look]) -> None:
    ends = [each.what for each in lived(seen) if each.what in ("opened", "resolved")]
    assert all(what == ("opened", "resolved")[place % 2] for place, what in enumerate(ends))


@given(looks)
def test_what_nobody_may_be_told_opens_nothing_and_escalation_comes_once(seen: list[Look]) -> None:
    since_opened: list[str] = []
    for change in lived(seen):
        if change.what == "opened":
            assert change.incident.parent is None
            assert change.incident.waits_for == ""
            since_opened = []
        since_opened.append(change.what)
        assert since_opened.count("escalated") <= 1
        if "acknowledged" in since_opened:
            assert since_opened[-1] in ("acknowledged", "resolved")


@given(looks)
def test_times_are_in_order(seen: list[Look]) -> None:
    for change in lived(seen):
        incident = change.incident
        assert incident.opened_at is not None
        assert incident.started_at <= incident.opened_at <= change.at
        if incident.resolved_at is not None:
            assert incident.started_at <= incident.resolved_at <= change.at


@pytest.mark.parametrize("state", ["pending", "open", "acknowledged"])
def test_what_is_not_known_ends_nothing(state: str) -> None:
    incident = msgspec.structs.replace(begun(START), state=state, opened_at=START, told_at=START)
    for minute in range(29):
        now = START + timedelta(minutes=minute)
        after, changes = turn(incident, Situation(now, "unknown", RULE, SLOT))
        assert after is not None
        assert after.state == state
        assert changes == ()
        incident = after


@pytest.mark.parametrize(
    ("every_minutes", "flaps"), [(1, False), (2, False), (6, True), (9, True), (30, False), (90, False)]
)
def test_flapping_is_told_by_slots_so_that_fast_change_is_one_trouble(
    every_minutes: int, flaps: bool
) -> None:
    turns = tuple(START + timedelta(minutes=m) for m in range(0, 240, every_minutes))
    assert is_flapping(turns, len(turns) % 2 == 1, turns[-1] + timedelta(seconds=20), SLOT, False) is flaps
