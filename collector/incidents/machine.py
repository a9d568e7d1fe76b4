"""An incident's life in one table: pending, open, acknowledged, resolved. Pure, by the times it is given.

pending ──holds long enough, nothing holds it back──▶ open ──somebody takes it──▶ acknowledged
   └─ceases─▶ (forgotten)                               └──over for long enough, not flapping──▶ resolved
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from collector.incidents.flapping import is_flapping, recent
from collector.incidents.model import Change, Facts, Incident, State, Waiting, What
from collector.incidents.rules import Rule

Signal: TypeAlias = Literal["holds", "clear", "unknown"]
"""«unknown»: nothing is known of the condition now. It opens nothing, and it ends nothing."""
MOST_ESCALATIONS = 1


class Situation(msgspec.Struct, frozen=True):
    """What is known of one incident's condition now.

    ``since``: when the present signal began, dated back. ``held_back``: why nobody is to be told now.
    ``parent``: the unresolved incident that this one is told of with. ``not_before`` and ``digest`` as in
    Change. ``members`` and ``schools`` are of a parent. ``slot`` is that of flapping.
    """

    now: datetime
    signal: Signal
    rule: Rule
    slot: timedelta
    since: datetime | None = None
    facts: Facts | None = None
    held_back: Waiting = ""
    parent: int | None = None
    members: tuple[int, ...] = ()
    schools: tuple[str, ...] = ()
    not_before: datetime | None = None
    digest: bool = False


class Turn(NamedTuple):
    """What becomes of an incident (None: it is forgotten), and what people may be told."""

    after: Incident | None
    changes: tuple[Change, ...] = ()


def turn(incident: Incident, situation: Situation) -> Turn:
    """One look at one incident that is not resolved."""
    seen = _joined(_noted(incident, situation), situation)
    done = _TABLE[seen.state, situation.signal](seen, situation)
    if done.after is None or done.changes or seen.schools == incident.schools or seen.state == "pending":
        return done
    return Turn(done.after, (Change(done.after, "children_changed", situation.now, send=False),))


def acknowledge(incident: Incident, by: str, now: datetime) -> Turn:
    """Somebody takes it. What is no longer open stays as it is."""
    if incident.state != "open":
        return Turn(incident)
    taken = _with(incident, state="acknowledged", acknowledged_at=now, acknowledged_by=by)
    return Turn(taken, (Change(taken, "acknowledged", now, send=False),))


def _noted(incident: Incident, situation: Situation) -> Incident:
    """When the condition began to hold or ceased to, and whether that is flapping."""
    turns, cleared_at = incident.turns, incident.cleared_at
    if situation.signal == "clear" and cleared_at is None:
        cleared_at = max(incident.started_at, situation.since or situation.now)
        turns = (*turns, situation.now)
    elif situation.signal == "holds" and cleared_at is not None:
        turns, cleared_at = (*turns, situation.now), None
    kept = recent(turns, situation.now, situation.slot)
    flaps = is_flapping(kept, cleared_at is None, situation.now, situation.slot, incident.flapping)
    return _with(incident, turns=kept, cleared_at=cleared_at, flapping=flaps)


def _joined(incident: Incident, situation: Situation) -> Incident:
    facts = situation.facts if situation.facts is not None else incident.facts
    schools = tuple(sorted({*incident.schools, *situation.schools}))
    members = situation.members if situation.signal == "holds" else incident.children
    return _with(
        incident, facts=facts, parent=situation.parent, children=members, schools=schools,
        waits_for=_doubt(incident, situation),
    )  # fmt: skip


def _doubt(incident: Incident, situation: Situation) -> Waiting:
    """What people were told of says so when nothing is known of it any more."""
    if incident.state == "pending":
        return incident.waits_for
    return "data" if situation.signal == "unknown" else ""


def _ripen(incident: Incident, situation: Situation) -> Turn:
    waits = _waits_for(incident, situation)
    if waits:
        return Turn(_with(incident, waits_for=waits, severity=situation.rule.severity))
    opened = _with(
        incident, state="open", waits_for="", opened_at=situation.now, told_at=situation.now,
        severity=situation.rule.severity,
    )  # fmt: skip
    return Turn(opened, (_told(opened, "opened", situation),))


def _waits_for(incident: Incident, situation: Situation) -> Waiting:
    now, rule = situation.now, situation.rule
    held, noticed = now - incident.started_at, now - incident.noticed_at
    if held < timedelta(seconds=rule.holds_for) or noticed < timedelta(seconds=rule.gather):
        return "time"
    return "parent" if situation.parent is not None else situation.held_back


def _wait_for_data(incident: Incident, _situation: Situation) -> Turn:
    return Turn(_with(incident, waits_for="data"))


def _vanish(_incident: Incident, _situation: Situation) -> Turn:
    return Turn(None)


def _remind(incident: Incident, situation: Situation) -> Turn:
    """Escalate or tell again what nobody took; tell of new children."""
    if incident.parent is not None or situation.held_back:
        return Turn(incident)
    due = _reminder(incident, situation)
    if due is None:
        return Turn(incident)
    told = _with(incident, told_at=situation.now, escalations=incident.escalations + (due == "escalated"))
    return Turn(told, (_told(told, due, situation),))


def _reminder(incident: Incident, situation: Situation) -> What | None:
    rule, now = situation.rule, situation.now
    opened, told = incident.opened_at or now, incident.told_at or now
    unanswered = rule.escalate_after > 0 and incident.escalations < MOST_ESCALATIONS
    if unanswered and now - opened >= timedelta(seconds=rule.escalate_after):
        return "escalated"
    if rule.repeat_every > 0 and now - told >= timedelta(seconds=rule.repeat_every):
        return "repeated"
    return None


def _stay(incident: Incident, _situation: Situation) -> Turn:
    return Turn(incident)


def _heal(incident: Incident, situation: Situation) -> Turn:
    cleared = incident.cleared_at or situation.now
    if incident.flapping or situation.now - cleared < timedelta(seconds=situation.rule.clear):
        return Turn(incident)
    over = _with(incident, state="resolved", resolved_at=cleared, waits_for="")
    return Turn(over, (_told(over, "resolved", situation),))


def _told(incident: Incident, what: What, situation: Situation) -> Change:
    rule = situation.rule
    escalated = incident.escalations > 0 and what in ("escalated", "repeated", "resolved")
    return Change(
        incident, what, situation.now,
        whom=tuple(dict.fromkeys((*rule.whom, *(rule.escalate_to if escalated else ())))),
        send=situation.held_back != "silence" and incident.parent is None,
        not_before=situation.not_before,
        digest=situation.digest,
    )  # fmt: skip


def _with(incident: Incident, **changed: object) -> Incident:
    return msgspec.structs.replace(incident, **changed)


_TABLE: dict[tuple[State, Signal], Callable[[Incident, Situation], Turn]] = {
    ("pending", "holds"): _ripen,
    ("pending", "clear"): _vanish,
    ("pending", "unknown"): _wait_for_data,
    ("open", "holds"): _remind,
    ("open", "clear"): _heal,
    ("open", "unknown"): _remind,
    ("acknowledged", "holds"): _stay,
    ("acknowledged", "clear"): _heal,
    ("acknowledged", "unknown"): _stay,
}
