"""A report as typed sheets in the reader's language: what Excel, CSV and PDF have in common. Pure.

A cell is None where nothing is known: never zero, never an empty text that could be a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from collector.reports.cells import MEGA, Cell, Column, Kind, Sheet, between, known, mega, milli
from collector.reports.content import Content, Stand
from collector.uptime.causes import CAUSE_WORDS, Cause
from config.evidence import Evidence
from config.plan import Target
from config.present import DIRECTIONS, DUE, EVIDENCE_KINDS, LOOKS, TITLES, reason_text
from config.school import School, classes_on
from config.verdict import Answer
from config.words import Language, translate
from config.words import message as _

OUTAGE_STATES = {"down": _("interrupted"), "unknown": _("unknown")}
SHEETS = {
    "totals": _("Totals"),
    "verdicts": _("Verdicts"),
    "schools": _("Schools"),
    "availability": _("Availability"),
    "outages": _("Outages"),
    "evidence": _("Evidence"),
    "plan": _("The plan's words"),
    "agents": _("Agents"),
    "terminals": _("Terminals' tests"),
}
"""The tables that can be had by themselves, and their titles."""


class Reader:
    """Makes the sheets of one report in one language."""

    def __init__(self, content: Content, language: Language) -> None:
        self.content = content
        self.language = language

    def say(self, text: str, **places: object) -> str:
        """A text of the catalogue."""
        return translate(text, self.language, **places)

    def local(self, moment: datetime | None) -> datetime | None:
        """A moment in the county's time zone, without naming it: as spreadsheets have it."""
        return None if moment is None else moment.astimezone(self.content.zone).replace(tzinfo=None)

    def sheet(self, name: str) -> Sheet:
        """One of SHEETS. Raises KeyError."""
        makers: dict[str, Callable[[], Sheet]] = {
            "totals": self.totals, "verdicts": self.verdicts, "schools": self.schools,
            "availability": self.availability, "outages": self.outages, "evidence": self.evidence,
            "plan": self.plan, "agents": self.agents, "terminals": self.terminals,
        }  # fmt: skip
        return makers[name]()

    def title_of(self, target: Target) -> str:
        """«Egress bandwidth for all classes, 城区 (by 2017-12-31)»: two may differ by whom they ask alone."""
        kind = self.say(TITLES.get(target.kind.value, target.kind.value))
        twins = [each for each in self.content.plan.targets if each.kind is target.kind]
        kind += f" · {target.who}" if len({each.who for each in twins}) > 1 else ""
        return self.say(_("{target} (by {deadline})"), target=kind, deadline=target.deadline.isoformat())

    def answer(self, answer: Answer) -> str:
        """A symbol with a word."""
        look = LOOKS[answer]
        return f"{look.symbol} {self.say(look.word)}"

    def totals(self) -> Sheet:
        """How many schools stand how, by target."""
        columns = self._columns(
            (_("Target"), "text", 34), (_("Id"), "text", 22), (_("Schools asked"), "count", 10),
            (_("met"), "count", 9), (_("not met"), "count", 9), (_("unknown"), "count", 9),
            (_("Share met, at least"), "share", 10), (_("Share met, at most"), "share", 10),
            (_("Share asked"), "share", 11),
            (_("Counts"), "text", 8),
        )  # fmt: skip
        rows: list[Sequence[Cell]] = [
            (
                self.title_of(each.target), each.target.id, each.schools,
                each.met, each.not_met, each.unknown,
                *between(each),
                each.target.share_percent / 100 if each.target.share_percent else None,
                self._yes_no(each.counts),
            )
            for each in self.content.totals
        ]  # fmt: skip
        return Sheet("totals", self.say(SHEETS["totals"]), columns, rows)

    def verdicts(self) -> Sheet:
        """Every school's verdict on every target."""
        columns = [Column(self.say(_("Target")), "text", 34), *self._stand_columns()]
        rows = [(self.title_of(each.target), *self._stand(each)) for each in self.content.stands]
        return Sheet("verdicts", self.say(SHEETS["verdicts"]), columns, rows)

    def of_target(self, target: Target) -> Sheet:
        """The schools that one target asks."""
        rows = [self._stand(each) for each in self.content.of(target)]
        return Sheet(target.id, self.title_of(target), self._stand_columns(), rows)

    def schools(self) -> Sheet:
        """The schools as they are declared."""
        columns = self._columns(
            (_("School id"), "text", 14), (_("School"), "text", 24), (_("Township"), "text", 14),
            (_("Level"), "text", 12), (_("Area"), "text", 10), (_("Classes"), "count", 9),
            (_("Pupils"), "count", 9), (_("Lines"), "count", 8), (_("Carriers"), "text", 18),
        )  # fmt: skip
        return Sheet(
            "schools", self.say(SHEETS["schools"]), columns, [self._school(s) for s in self.content.schools]
        )

    def availability(self) -> Sheet:
        """By school and line; unknown where less than 95 % of the time is known."""
        columns = self._columns(
            (_("School id"), "text", 14), (_("School"), "text", 24), (_("Line"), "text", 12),
            (_("Availability in school hours"), "share", 14), (_("Known of school hours"), "share", 14),
            (_("Availability 24 x 7"), "share", 14), (_("Known of all hours"), "share", 14),
            (_("Down, minutes"), "count", 10), (_("Degraded, minutes"), "count", 10),
            (_("Down in school hours, minutes"), "count", 12),
        )  # fmt: skip
        return Sheet("availability", self.say(SHEETS["availability"]), columns, list(self._availability()))

    def outages(self) -> Sheet:
        """Outages of the month; those that were withdrawn are left out."""
        columns = self._columns(
            (_("School id"), "text", 14), (_("School"), "text", 24), (_("Line"), "text", 12),
            (_("From"), "time", 17), (_("To"), "time", 17), (_("Minutes"), "count", 10),
            (_("State"), "text", 12), (_("Cause"), "text", 20), (_("Corrected"), "count", 10),
        )  # fmt: skip
        return Sheet("outages", self.say(SHEETS["outages"]), columns, list(self._outages()))

    def evidence(self) -> Sheet:
        """What the verdicts rest on, and what was shown beside it."""
        columns = self._columns(
            (_("School id"), "text", 14), (_("School"), "text", 24), (_("Target"), "text", 34),
            (_("Judged"), "text", 8), (_("Evidence"), "text", 22), (_("Of"), "text", 16),
            (_("Direction"), "text", 10), (_("At least, Mbit/s"), "rate", 12),
            (_("Below or at most, Mbit/s"), "rate", 12), (_("Measured"), "time", 17),
            (_("Remarks"), "text", 40),
        )  # fmt: skip
        return Sheet("evidence", self.say(SHEETS["evidence"]), columns, list(self._evidence()))

    def plan(self) -> Sheet:
        """The plan's own words."""
        columns = self._columns(
            (_("Target"), "text", 34), (_("Id"), "text", 22), (_("Deadline"), "day", 12),
            (_("Asked, Mbit/s"), "rate", 12), (_("The plan's words"), "text", 80),
        )  # fmt: skip
        rows: list[Sequence[Cell]] = [
            (self.title_of(t), t.id, t.deadline, int(t.rate) / MEGA if t.rate else None, t.quote)
            for t in self.content.plan.targets
        ]
        return Sheet("plan", self.say(SHEETS["plan"]), columns, rows)

    def agents(self) -> Sheet:
        """Agents and when they were heard."""
        columns = self._columns(
            (_("Agent"), "text", 16), (_("School id"), "text", 14), (_("Enrolled"), "time", 17),
            (_("Last heard"), "time", 17), (_("Revoked"), "time", 17),
        )  # fmt: skip
        rows: list[Sequence[Cell]] = [
            (each.id, each.school_id, *map(self.local, (each.created_at, each.seen_at, each.revoked_at)))
            for each in self.content.agents
        ]
        return Sheet("agents", self.say(SHEETS["agents"]), columns, rows)

    def terminals(self) -> Sheet:
        """Browsers' tests."""
        columns = self._columns(
            (_("School id"), "text", 14), (_("Room or device"), "text", 18),
            (_("Address"), "text", 18), (_("Measured"), "time", 17),
            (_("Download, Mbit/s"), "rate", 12), (_("Upload, Mbit/s"), "rate", 12),
            (_("Round trip, ms"), "rate", 12), (_("under load, down"), "rate", 12),
            (_("under load, up"), "rate", 12), (_("Family"), "text", 8),
        )  # fmt: skip
        rows: list[Sequence[Cell]] = [
            (
                each.school_id, each.place, each.address, self.local(each.started_at),
                mega(each.down_bits_per_second), mega(each.up_bits_per_second),
                *map(milli, (each.idle_rtt_seconds, each.down_rtt_seconds, each.up_rtt_seconds)),
                each.family,
            )
            for each in self.content.tests
        ]  # fmt: skip
        return Sheet("terminals", self.say(SHEETS["terminals"]), columns, rows)

    def _stand_columns(self) -> list[Column]:
        return self._columns(
            (_("School id"), "text", 14), (_("School"), "text", 24), (_("Township"), "text", 14),
            (_("Classes"), "count", 9), (_("Verdict"), "text", 12), (_("Needed, Mbit/s"), "rate", 12),
            (_("At least, Mbit/s"), "rate", 12), (_("At most, Mbit/s"), "rate", 12),
            (_("So since"), "time", 17), (_("Measured"), "time", 17), (_("Date"), "text", 22),
            (_("Why"), "text", 60),
        )  # fmt: skip

    def _stand(self, stand: Stand) -> Sequence[Cell]:
        school = stand.school
        verdict = stand.judged.verdict if stand.judged else None
        evidence = verdict.evidence if verdict else ()
        why = [reason_text(each, self.language) for each in verdict.reasons] if verdict else [
            self.say(_("Nothing had been judged by then."))
        ]  # fmt: skip
        return (
            school.id, school.name or school.id, school.township,
            classes_on(school, self.content.until.astimezone(self.content.zone).date()),
            self.answer(stand.answer), mega(verdict.needed) if verdict else None,
            *known(stand), self.local(stand.judged.since) if stand.judged else None,
            self.local(max((each.at for each in evidence), default=None)),
            self.say(DUE[verdict.due]) if verdict and verdict.due != "due" else "", " ".join(why),
        )  # fmt: skip

    def _school(self, school: School) -> Sequence[Cell]:
        day = self.content.until.astimezone(self.content.zone).date()
        carriers = sorted({line.carrier for line in school.lines if line.carrier})
        return (
            school.id, school.name, school.township, school.level, school.area, classes_on(school, day),
            school.pupils, len(school.lines), ", ".join(carriers),
        )  # fmt: skip

    def _availability(self) -> Iterator[Sequence[Cell]]:
        for school in self.content.schools:
            uptime = self.content.uptime.get(school.id)
            for each in uptime.subjects if uptime else ():
                hours, whole = each.school_hours, each.all_hours
                yield (
                    school.id, school.name or school.id, each.subject.removeprefix("line/"),
                    hours.availability if hours.counts else None, hours.coverage,
                    whole.availability if whole.counts else None, whole.coverage,
                    *((whole.down, whole.degraded) if whole.known else (None, None)),
                    hours.down if hours.known else None,
                )  # fmt: skip

    def _outages(self) -> Iterator[Sequence[Cell]]:
        for school in self.content.schools:
            for each in self.content.outages.get(school.id, ()):
                line = str(each["subject"]).removeprefix("line/")
                yield (
                    school.id, school.name or school.id, "" if line == "school" else line,
                    self.local(each["from"]), self.local(each["to"]), each["minutes"],
                    self.say(OUTAGE_STATES.get(each["state"], each["state"])),
                    self.say(CAUSE_WORDS[Cause(each["cause"])]), len(each["corrections"]),
                )  # fmt: skip

    def _evidence(self) -> Iterator[Sequence[Cell]]:
        for stand in self.content.stands:
            verdict = stand.judged.verdict if stand.judged else None
            for judges, found in ((True, verdict.evidence), (False, verdict.beside)) if verdict else ():
                for each in found:
                    yield self._piece(stand, each, judges=judges)

    def _piece(self, stand: Stand, each: Evidence, *, judges: bool) -> Sequence[Cell]:
        return (
            stand.school.id, stand.school.name or stand.school.id, self.title_of(stand.target),
            self._yes_no(judges), self.say(EVIDENCE_KINDS[each.kind]), each.subject,
            self.say(DIRECTIONS[each.direction]), mega(each.lower_bits_per_second),
            mega(each.upper_bits_per_second), self.local(each.at), self.say(each.note),
        )  # fmt: skip

    def _columns(self, *columns: tuple[str, Kind, int]) -> list[Column]:
        return [Column(self.say(heading), kind, width) for heading, kind, width in columns]

    def _yes_no(self, yes: bool) -> str:
        return self.say(_("yes") if yes else _("no"))
