"""Who is told of what, and when. Pure: no clock, no database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo

from collector.incidents.model import Change, Incident
from collector.messages.bodies import ChangeBody, encode
from collector.messages.outbox import Entry
from collector.messages.settings import Recipient
from config.calendar import Hours
from config.school import School

TOLD = frozenset({"opened", "escalated", "repeated", "acknowledged", "resolved"})
"""What people are told of; the rest stands on the page."""


def entries_of(
    changes: Sequence[Change],
    recipients: Mapping[str, Recipient],
    schools: Mapping[str, School],
    zone: tzinfo,
    machines: frozenset[str] = frozenset(),
) -> Iterator[Entry]:
    """A message for each recipient whom each change concerns.

    ``machines`` are channels to which quiet hours and the digest mean nothing: they hear of all at once.
    """
    for change in changes:
        if not change.send or change.what not in TOLD:
            continue
        body = encode(ChangeBody(change))
        for name, recipient in recipients.items():
            if not concerns(change, name, recipient, schools):
                continue
            is_machine = recipient.channel in machines
            if change.digest and not is_machine:
                continue
            due = change.at if is_machine else due_at(change, recipient, zone)
            yield Entry(f"{change.key}-{name}", recipient.channel, name, change.incident.severity, body, due)


def concerns(change: Change, name: str, recipient: Recipient, schools: Mapping[str, School]) -> bool:
    """True when a recipient is to hear of a change at all."""
    incident = change.incident
    is_meant = not change.whom or bool({name, *recipient.groups} & {*change.whom})
    kind_fits = not recipient.kinds or incident.kind in recipient.kinds
    return (
        is_meant
        and kind_fits
        and incident.severity in recipient.severities
        and _is_theirs(incident, recipient, schools)
    )


def due_at(change: Change, recipient: Recipient, zone: tzinfo) -> datetime:
    """When a recipient is told: at once, after quiet hours, or when they are there again."""
    earliest = max(change.at, change.not_before or change.at)
    if not recipient.hours or (recipient.critical_always and change.incident.severity == "critical"):
        return earliest
    return next_within(recipient.hours, earliest, zone)


def next_within(hours: Sequence[Hours], moment: datetime, zone: tzinfo) -> datetime:
    """``moment`` if it lies within the hours of the day, else when the next of them begin."""
    local = moment.astimezone(zone)
    begins = []
    for span in hours:
        starts, ends = (time.fromisoformat(text) for text in span.split("-"))
        now = local.time()
        if (starts <= now < ends) if starts <= ends else (now >= starts or now < ends):
            return moment
        begin = datetime.combine(local.date(), starts, zone)
        begins.append(begin if begin > local else begin + timedelta(days=1))
    return min(begins).astimezone(moment.tzinfo)


def _is_theirs(incident: Incident, recipient: Recipient, schools: Mapping[str, School]) -> bool:
    """What is of no school in particular is everybody's."""
    if not recipient.schools and not recipient.townships:
        return True
    hit = [incident.school_id] if incident.school_id else list(incident.schools)
    return not hit or any(
        each in recipient.schools or (each in schools and schools[each].township in recipient.townships)
        for each in hit
    )
