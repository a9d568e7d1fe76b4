"""Messages in words, short enough for a phone: what, where, since when, against which target, and what to do.

Names that schools and devices give themselves are data: each goes through the channel's ``plain``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from collector.incidents.model import Change, EvidenceReference, Facts, Incident, Quantity
from collector.messages import words
from collector.messages.bodies import Body, ChangeBody, DigestBody, TrialBody
from collector.messages.channels import Letter
from config.evidence import EvidenceKind
from config.present import DIRECTIONS, EVIDENCE_KINDS, TITLES
from config.school import Line, School, lines_on
from config.units import format_rate
from config.words import Language, translate

DAY_SECONDS = 86400
MOST_NAMES = 5
MOST_LISTED = 10
MOST_MERGED_LINES = 25


class Reader(msgspec.Struct, frozen=True):
    """For whom a message is put into words, and what names stand for."""

    language: Language
    zone: tzinfo
    plain: Callable[[str], str]
    schools: Mapping[str, School]
    public_url: str = ""

    def say(self, text: str, **places: object) -> str:
        """In the reader's language."""
        return translate(text, self.language, **places)

    def when(self, moment: datetime) -> str:
        """Local, to the minute: «11-22 14:03»."""
        return f"{moment.astimezone(self.zone):%m-%d %H:%M}"

    def school(self, school_id: str) -> str:
        """What people call it, made harmless; its id where nobody named it."""
        found = self.schools.get(school_id)
        return self.plain(found.name if found and found.name else school_id)

    def link(self, path: str) -> str:
        """Empty without a public_url."""
        return f"{self.public_url.rstrip('/')}{path}" if self.public_url else ""


def letter_of(key: str, bodies: Sequence[tuple[str, str, Body]], reader: Reader) -> Letter:
    """One letter for the bodies (key, severity, body) of a batch."""
    letters = [_one(each_key, severity, body, reader) for each_key, severity, body in bodies]
    if len(letters) == 1:
        return msgspec.structs.replace(letters[0], key=key)
    return _merged(key, letters, reader)


def incident_letter(key: str, change: Change, reader: Reader) -> Letter:
    """A change of an incident in words."""
    incident = change.incident
    mark = reader.say(words.WHATS[change.what], severity=_severity(incident, reader))
    space = "" if reader.language == "zh_CN" else " "
    title = f"{mark}{space}{headline(incident, reader)}"
    lines = _short_lines(change, reader) if change.what in _SHORT else _lines(change, reader)
    text = "\n".join(line for line in lines if line)
    facts = {**_facts(change, reader), "key": key, "title": title, "text": text}
    return Letter(key, title, text, incident.severity, facts)


def headline(incident: Incident, reader: Reader) -> str:
    """Where and what: «第一小学:线路中断(线路 wan 电信)»."""
    kind = reader.say(words.KINDS[incident.kind])
    detail = _subject(incident, reader)
    where = reader.school(incident.school_id) if incident.school_id else ""
    colon, opening, closing = ("：", "（", "）") if reader.language == "zh_CN" else (": ", " (", ")")
    return f"{where}{colon if where else ''}{kind}{opening + detail + closing if detail else ''}"


def duration(seconds: float, reader: Reader) -> str:
    """«4 min», «2 h 5 min», «3 d 4 h»."""
    whole = max(0, int(seconds))
    for unit, smaller, text, small_text in words.DURATIONS:
        if whole >= unit or unit == 1:
            first = reader.say(text, n=whole // unit)
            rest = whole % unit // smaller
            return f"{first} {reader.say(small_text, n=rest)}" if small_text and rest else first
    return ""


def _one(key: str, severity: str, body: Body, reader: Reader) -> Letter:
    match body:
        case ChangeBody():
            return incident_letter(key, body.change, reader)
        case DigestBody():
            return _digest(key, body, reader)
        case TrialBody():
            text = reader.say(words.TRIAL_TEXT, channel=body.channel)
            return Letter(key, reader.say(words.TRIAL), text, severity, {"type": "trial"})


_SHORT = ("resolved", "acknowledged")


def _short_lines(change: Change, reader: Reader) -> Iterator[str]:
    incident = change.incident
    if change.what == "acknowledged":
        yield reader.say(words.TAKEN_BY, who=reader.plain(incident.acknowledged_by))
    if incident.accepted_by:
        yield reader.say(words.ACCEPTED_BY, who=reader.plain(incident.accepted_by))
    yield _since(change, reader)
    yield _ticket(incident, reader)
    yield reader.link(f"/incidents/{incident.id}")


def _lines(change: Change, reader: Reader) -> Iterator[str]:
    incident, facts = change.incident, change.incident.facts
    space = "" if reader.language == "zh_CN" else " "
    yield _since(change, reader) + (space + reader.say(words.FLAPPING) if incident.flapping else "")
    yield reader.say(words.DOUBT) if incident.state != "pending" and incident.waits_for == "data" else ""
    yield _schools(incident.schools, reader)
    yield _against(incident, reader)
    yield _quote(facts, reader) if facts.quote else ""
    yield _values(incident, reader)
    yield from _PARTS.get(incident.kind, _nothing)(incident, reader)
    yield _evidence(incident, reader)
    yield reader.say(words.CAUSE, cause=reader.say(words.CAUSES[facts.cause]))
    yield reader.say(words.FIRST, what=reader.say(words.LOOKS_AT[facts.look_at]))
    yield _ticket(incident, reader)
    yield reader.say(words.NOTE, note=reader.plain(incident.note)) if incident.note else ""
    yield reader.link(f"/incidents/{incident.id}")


def _since(change: Change, reader: Reader) -> str:
    incident = change.incident
    end = incident.resolved_at or change.at
    how_long = duration((end - incident.started_at).total_seconds(), reader)
    when = reader.when(incident.started_at)
    if incident.resolved_at is None:
        return reader.say(words.SINCE, when=when, how_long=how_long)
    return reader.say(words.FROM_TO, when=when, until=reader.when(end), how_long=how_long)


def _schools(school_ids: Sequence[str], reader: Reader) -> str:
    if not school_ids:
        return ""
    comma = "、" if reader.language == "zh_CN" else ", "
    names = comma.join(map(reader.school, school_ids[:MOST_NAMES]))
    more = len(school_ids) - MOST_NAMES
    if more > 0:
        names = reader.say(words.AND_MORE, names=names, count=more)
    return reader.say(words.SCHOOLS, count=len(school_ids), names=names)


def _against(incident: Incident, reader: Reader) -> str:
    measured, target = incident.facts.measured, incident.facts.target
    if measured and measured.unit == "schools":
        return ""  # they stand there by name
    if measured and incident.kind == "certificate_ends" and measured.value < 0:
        return reader.say(words.ENDED, how_long=duration(-measured.value * DAY_SECONDS, reader))
    if measured and target:
        places = {"measured": _quantity(measured, reader), "target": _quantity(target, reader)}
        return reader.say(words.AGAINST.get(incident.kind, words.MEASURED), **places)
    if measured:
        return reader.say(words.MEASURED_ALONE, measured=_quantity(measured, reader))
    return reader.say(words.TARGET_ALONE, target=_quantity(target, reader)) if target else ""


def _quantity(quantity: Quantity, reader: Reader) -> str:
    if quantity.unit == "bit/s":
        return format_rate(quantity.value)
    if quantity.unit == "s" and abs(quantity.value) < 1:
        return reader.say(words.UNITS["ms"], n=f"{quantity.value * 1000:.0f}")
    return reader.say(words.UNITS[quantity.unit], n=f"{quantity.value:g}")


def _quote(facts: Facts, reader: Reader) -> str:
    title = str(facts.values.get("plan_title", facts.plan))
    return reader.say(words.QUOTE, title=reader.plain(title), quote=reader.plain(facts.quote))


def _values(incident: Incident, reader: Reader) -> str:
    """What the title does not say."""
    known = [
        (name, value)
        for name, value in incident.facts.values.items()
        if name in words.VALUES and value != "" and str(value) not in incident.subject
    ]
    named = [f"{reader.say(words.VALUES[name])} {_text(value, reader)}" for name, value in known]
    return ("；" if reader.language == "zh_CN" else "; ").join(named)


def _text(value: object, reader: Reader) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return reader.say(DIRECTIONS[text]) if text in DIRECTIONS else reader.plain(text)


def _silent(incident: Incident, reader: Reader) -> Iterator[str]:
    """Whom to call: its lines with their carriers, and whether its gateway lives."""
    lines = [line.id for line in _lines_of(incident, reader)]
    yield reader.say(words.LINES, lines=_named(incident, lines, reader)) if lines else ""
    answers = incident.facts.values.get("gateway_answers")
    yield reader.say(words.GATEWAY[int(answers)]) if answers is not None else ""


def _one_left(incident: Incident, reader: Reader) -> Iterator[str]:
    down, left = (str(incident.facts.values.get(name, "")) for name in ("line", "lines_left"))
    if down and left:
        places = {"down": _line(incident, down, reader), "left": _line(incident, left, reader)}
        yield reader.say(words.ONE_LEFT, **places)


def _of_line(incident: Incident, reader: Reader) -> Iterator[str]:
    evidence = incident.facts.evidence
    if evidence is not None and evidence.measurement == "interface":
        yield reader.say(words.NO_LINK)
    up = str(incident.facts.values.get("lines_up", ""))
    yield reader.say(words.STILL_UP, lines=_named(incident, up.split(), reader)) if up else ""


def _blind(_incident: Incident, reader: Reader) -> Iterator[str]:
    yield reader.say(words.BLIND)


def _nothing(_incident: Incident, _reader: Reader) -> Iterator[str]:
    yield from ()


_PARTS: Mapping[str, Callable[[Incident, Reader], Iterator[str]]] = {
    "line_down": _of_line,
    "school_silent": _silent,
    "one_line_left": _one_left,
    "centre_down": _blind,
}
"""What only one kind of incident has to say."""


def _evidence(incident: Incident, reader: Reader) -> str:
    evidence = incident.facts.evidence
    if evidence is None:
        return ""
    return reader.say(words.EVIDENCE, source=source_text(evidence, reader), when=reader.when(evidence.at))


def source_text(evidence: EvidenceReference, reader: Reader) -> str:
    """Where the proof is: «verify test failed (wan), verdict 3», «no ping was answered, outage 17»."""
    number = "" if evidence.number is None else evidence.number
    line = reader.plain(evidence.tags.get("line", ""))
    named = _measurement(evidence, reader)
    if line and named:
        named = f"{named}（{line}）" if reader.language == "zh_CN" else f"{named} ({line})"
    return reader.say(words.SOURCES[evidence.source], number=number, measurement=named).strip(" ,，")


def _measurement(evidence: EvidenceReference, reader: Reader) -> str:
    name = evidence.measurement
    if evidence.source == "point" and name in words.POINTS:
        return reader.say(words.POINTS[name])
    kind = next((each for each in EvidenceKind if each.value == name), None)
    return reader.say(EVIDENCE_KINDS[kind]) if kind else reader.plain(name.replace("_", " "))


def _ticket(incident: Incident, reader: Reader) -> str:
    ticket = incident.carrier_ticket
    return reader.say(words.TICKET, ticket=reader.plain(ticket)) if ticket else ""


def _severity(incident: Incident, reader: Reader) -> str:
    return reader.say(words.SEVERITIES[incident.severity])


def _subject(incident: Incident, reader: Reader) -> str:
    what, _, name = incident.subject.partition("/")
    if not name or what not in words.SUBJECTS:
        return ""
    if what == "many":
        return reader.say(words.MANY.get(name, name))
    if what == "target":
        return _target(incident, name.partition("/")[2], reader)
    shown = reader.plain(name)
    if what == "line":
        shown = _line(incident, name.partition("/")[0], reader)  # «line/wan/up» is of one direction
    return reader.say(words.SUBJECTS[what], name=shown)


def _target(incident: Incident, target_id: str, reader: Reader) -> str:
    """By its deadline too: a plan may ask for the same at two dates."""
    values = incident.facts.values
    kind, deadline = str(values.get("target_kind", target_id)), str(values.get("deadline", ""))
    title = reader.say(TITLES[kind]) if kind in TITLES else reader.plain(target_id)
    return reader.say(words.DEADLINE, target=title, deadline=deadline) if deadline else title


def _line(incident: Incident, line_id: str, reader: Reader) -> str:
    """With its carrier: «wan 电信»."""
    lines = _lines_of(incident, reader)
    carrier = next((reader.plain(line.carrier) for line in lines if line.id == line_id), "")
    return f"{reader.plain(line_id)} {carrier}".strip()


def _named(incident: Incident, lines: Sequence[str], reader: Reader) -> str:
    comma = "、" if reader.language == "zh_CN" else ", "
    return comma.join(_line(incident, line, reader) for line in lines)


def _lines_of(incident: Incident, reader: Reader) -> tuple[Line, ...]:
    """The lines that the school had when it began."""
    school = reader.schools.get(incident.school_id)
    return lines_on(school, incident.started_at.astimezone(reader.zone).date()) if school else ()


def _facts(change: Change, reader: Reader) -> dict[str, Any]:
    """For machines: ids and times as they are, no words."""
    incident = change.incident
    return {
        "type": "incident", "incident": incident.id, "number": incident.number, "what": change.what,
        "kind": incident.kind, "severity": incident.severity, "state": incident.state,
        "schools": [incident.school_id] if incident.school_id else list(incident.schools),
        "subject": incident.subject, "started_at": _iso(incident.started_at), "at": _iso(change.at),
        "resolved_at": _iso(incident.resolved_at) if incident.resolved_at else None,
        "cause": incident.facts.cause, "look_at": incident.facts.look_at,
        "measured": msgspec.to_builtins(incident.facts.measured),
        "target": msgspec.to_builtins(incident.facts.target),
        "carrier_ticket": incident.carrier_ticket, "link": reader.link(f"/incidents/{incident.id}"),
    }  # fmt: skip


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _merged(key: str, letters: Sequence[Letter], reader: Reader) -> Letter:
    title = reader.say(words.MERGED, count=len(letters))
    lines = [f"· {each.title}" for each in letters[:MOST_MERGED_LINES]]
    if len(letters) > MOST_MERGED_LINES:
        lines.append(reader.say(words.MERGED_REST, count=len(letters) - MOST_MERGED_LINES))
    lines.append(reader.link("/incidents"))
    severity = max((each.severity for each in letters), key=("info", "warning", "critical").index)
    facts = {"type": "merged", "merged": [each.facts for each in letters]}
    return Letter(key, title, "\n".join(line for line in lines if line), severity, facts)


def _digest(key: str, digest: DigestBody, reader: Reader) -> Letter:
    text = "\n".join(line for line in _digest_lines(digest, reader) if line)
    facts = {"type": "digest", **msgspec.to_builtins(digest)}
    return Letter(key, reader.say(words.DIGEST, day=digest.day.isoformat()), text, "info", facts)


def _digest_lines(digest: DigestBody, reader: Reader) -> Iterator[str]:
    if digest.open:
        yield reader.say(words.DIGEST_OPEN, count=len(digest.open))
        yield from _listed(digest.open, reader)
    else:
        yield reader.say(words.DIGEST_WELL)
    if digest.resolved:
        yield reader.say(words.DIGEST_RESOLVED, count=len(digest.resolved))
        yield from _listed(digest.resolved, reader)
    places = {"targets": digest.unknown_targets, "schools": digest.unknown_schools}
    yield reader.say(words.DIGEST_UNKNOWN if digest.unknown_targets else words.DIGEST_NONE_UNKNOWN, **places)
    if digest.undelivered:
        yield reader.say(words.DIGEST_UNDELIVERED, count=digest.undelivered)
    yield reader.link("/incidents")


def _listed(incidents: Sequence[Incident], reader: Reader) -> Iterator[str]:
    for each in incidents[:MOST_LISTED]:
        yield f"· {headline(each, reader)} {reader.when(each.started_at)}"
    if len(incidents) > MOST_LISTED:
        yield reader.say(words.MERGED_REST, count=len(incidents) - MOST_LISTED)
