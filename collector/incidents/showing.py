"""Incidents as the terminal, the API and the page show them: one shape for all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from collector.incidents.book import IncidentBook, Step
from collector.incidents.model import Change, Incident
from collector.incidents.silences import Silence
from collector.messages.rendering import Reader, headline, incident_letter
from config.school import School
from config.words import Language, message

STATES = {
    "pending": message("waiting"),
    "open": message("open"),
    "acknowledged": message("taken"),
    "resolved": message("over"),
}
WAITS = {
    "": "",
    "time": message("it has not lasted long enough"),
    "parent": message("it is told of with its common cause"),
    "silence": message("silenced"),
    "school_hours": message("until school hours"),
    "data": message("nothing is known of it now"),
}
STEPS = {
    "opened": message("opened"),
    "acknowledged": message("taken"),
    "escalated": message("passed on, as nobody took it"),
    "repeated": message("told again"),
    "resolved": message("over"),
    "noted": message("noted"),
    "accepted": message("accepted as the new normal"),
}


CONFIRMED = message("confirmed: it lasted long enough to be told")


def incident_json(incident: Incident) -> dict[str, Any]:
    """An incident for programs; its bookkeeping stays inside."""
    hidden = {"turns", "told_at", "number"}
    return {name: getattr(incident, name) for name in Incident.__struct_fields__ if name not in hidden}


def step_json(step: Step) -> dict[str, Any]:
    """One thing that happened, for programs."""
    return {"what": step.what, "at": step.at, "by": step.by, "text": step.text}


def silence_json(silence: Silence) -> dict[str, Any]:
    """A silence for programs."""
    values = {name: getattr(silence, name) for name in Silence.__struct_fields__}
    return {**values, "weekly": str(silence.weekly) if silence.weekly else None}


def reader_of(language: Language, zone: tzinfo, schools: Mapping[str, School]) -> Reader:
    """Words for pages and terminals, which escape by themselves."""
    return Reader(language, zone, str, schools)


def title(incident: Incident, reader: Reader) -> str:
    """Where and what, in one line."""
    return headline(incident, reader)


def evidence_of(book: IncidentBook, incident: Incident, reader: Reader) -> list[tuple[datetime, str]]:
    """What was seen of it and when, for the carrier: each school's own part, and when it was confirmed.

    Who took it, who did not, and notes are among ourselves.
    """
    parts = []
    for child in book.children_of(incident.id):
        until = reader.when(child.resolved_at) if child.resolved_at else "…"
        parts.append((child.started_at, f"{title(child, reader)} – {until}"))
    confirmed = [step.at for step in book.steps(incident.id) if step.what == "opened"]
    parts += [(at, reader.say(CONFIRMED)) for at in confirmed]
    return sorted(parts)


def text(incident: Incident, now: datetime, reader: Reader) -> str:
    """What a message would say of it now, line by line."""
    return incident_letter("", Change(incident, "opened", incident.resolved_at or now), reader).text
