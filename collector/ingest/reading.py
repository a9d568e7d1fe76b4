"""Reads the lines of one body into groups of points.

A line of a series that is known is expected to be laid out as the last one was: such lines are gathered, and
read together at the end. Every other line is read by the strict reader, and teaches what to expect.
"""

from __future__ import annotations

from itertools import compress
from operator import not_
from typing import Any, NamedTuple

from collector.batch import Group, Series, Shape, group_of
from collector.ingest.agent_series import AgentIdentity, AgentSeries, Head
from collector.ingest.layouts import Layout, Layouts
from collector.ingest.line_protocol import BadLine, Line, LineError, read_lines
from collector.ingest.set_aside import Reason, Refused
from config.measurements import Declared, Misfit
from config.points import FieldValue

MAX_LEARNED = 16
"""Layouts learned of one body: making one takes about a millisecond."""


class Dating(NamedTuple):
    """How the times of one body are read: a line's time is in units, then moved; without one, received_ns."""

    unit_ns: int
    moved_ns: int
    received_ns: int
    oldest_ns: int
    newest_ns: int

    def time_ns(self, time: int | None) -> int:
        """The time of one line."""
        return self.received_ns if time is None else time * self.unit_ns + self.moved_ns

    def times_ns(self, times: list[int]) -> list[int] | None:
        """The times of several lines, at least one; None when not all are taken."""
        if self.unit_ns != 1 or self.moved_ns:
            times = [time * self.unit_ns + self.moved_ns for time in times]
        return times if self.oldest_ns <= min(times) and max(times) <= self.newest_ns else None

    def refusal(self, time_ns: int) -> tuple[Reason, str] | None:
        """Why a time is not taken."""
        if time_ns < self.oldest_ns:
            return Reason.TOO_OLD, f"{time_ns} is before {self.oldest_ns}, the oldest that is taken"
        if time_ns > self.newest_ns:
            return Reason.TOO_NEW, f"{time_ns} is after {self.newest_ns}, the newest that is taken"
        return None


class _Gathered(NamedTuple):
    """Lines that are expected to have one layout: what stands behind their heads, their series, and they."""

    measurement: str
    layout: Layout
    texts: list[str]
    places: list[int]
    lines: list[tuple[int, str]]


class _Opened:
    """A series of one body: its index in the batch, and where its lines are gathered."""

    __slots__ = ("gathered", "head", "place")

    def __init__(self, head: Head, place: int, gathered: _Gathered | None) -> None:
        self.head = head
        self.place = place
        self.gathered = gathered


class Reading:
    """One body on its way to a batch: ``series``, ``groups()`` and ``refused`` are what came of it."""

    def __init__(
        self, heads: AgentSeries, declared: Declared, layouts: Layouts, dating: Dating, *, others: bool
    ) -> None:
        self.series: list[Series] = []
        self.refused: list[Refused] = []
        self._groups: list[Group] = []
        self._rows: dict[Shape, list[list[Any]]] = {}
        self._heads = heads
        self._declared = declared
        self._layouts = layouts
        self._dating = dating
        self._others = others
        self._opened: dict[str, _Opened] = {}
        self._gathered: dict[tuple[str, Layout], _Gathered] = {}
        self._learned = 0

    def read(self, text: str) -> None:
        """Take every line: its point, or why it is refused."""
        for line in read_lines(text, self._gather):
            self._take(line)
        for gathered in list(self._gathered.values()):
            self._settle(gathered)
        self.refused.sort(key=lambda refused: refused.number)

    def groups(self) -> list[Group]:
        """The points that were taken."""
        return [*self._groups, *(group_of(shape, rows) for shape, rows in self._rows.items())]

    def mark_moved(self, identity: AgentIdentity) -> None:
        """Say in the store that the times of this batch were moved: by a point at its newest time."""
        times = [time_ns for group in self.groups() for time_ns in group.times_ns]
        if times:
            shape = ("clock", ("moved_seconds", "points"), False)
            values = [self._dating.moved_ns / 1e9, len(times)]
            self._rows.setdefault(shape, []).append([*values, max(times), len(self.series)])
            self.series.append(Series("clock", {"school": identity.school_id, "agent": identity.agent_id}))

    def _gather(self, number: int, raw: str) -> bool:
        """Keep a line for later when it is of a known series, and cannot open a string over its end."""
        head, _, text = raw.partition(" ")
        opened = self._opened.get(head) or self._reopened(head)
        if opened is None or opened.gathered is None:
            return False
        gathered = opened.gathered
        if '"' in text and not gathered.layout.fits(text):
            return False
        gathered.texts.append(text)
        gathered.places.append(opened.place)
        gathered.lines.append((number, raw))
        return True

    def _settle(self, gathered: _Gathered) -> None:
        """Read gathered lines together; those that are not as expected go to the strict reader."""
        layout, texts, places = gathered.layout, gathered.texts, gathered.places
        columns = self._columns(layout, texts)
        if columns is None:
            fit = [self._columns(layout, [text]) is not None for text in texts]
            texts, places = list(compress(texts, fit)), list(compress(places, fit))
            columns = self._columns(layout, texts)
            odd = compress(gathered.lines, map(not_, fit)) if columns else gathered.lines
            for number, raw in odd:
                self._take(next(read_lines(raw, first=number)))
        if columns:
            *values, times_ns = columns
            group = Group(gathered.measurement, layout.fields, False, values, times_ns, places)
            self._groups.append(group)

    def _columns(self, layout: Layout, texts: list[str]) -> list[list[Any]] | None:
        columns = layout.columns(texts) if texts else None
        times_ns = self._dating.times_ns(columns.pop()) if columns else None
        return [*columns, times_ns] if columns and times_ns else None

    def _reopened(self, head: str) -> _Opened | None:
        """Open a series that an earlier body brought."""
        found = self._heads.known(head, others=self._others)
        return None if found is None else self._open(head, found)

    def _open(self, text: str, head: Head) -> _Opened:
        opened = self._opened[text] = _Opened(head, len(self.series), None)
        self._expect(opened, head.layout)
        self.series.append(head.series)
        return opened

    def _expect(self, opened: _Opened, layout: Layout | None) -> None:
        """The next line of a series is gathered with others of this layout."""
        opened.head.layout = layout
        opened.gathered = None
        if layout is not None:
            place = (opened.head.series.measurement, layout)
            found = self._gathered.get(place)
            if found is None:
                found = self._gathered[place] = _Gathered(*place, [], [], [])
            opened.gathered = found

    def _take(self, line: Line | BadLine) -> None:
        """One line that was read strictly."""
        if isinstance(line, BadLine):
            self.refused.append(Refused(line.number, Reason.SYNTAX, line.reason, line.text))
            return
        try:
            refusal = self._point(line)
        except LineError as error:
            refusal = (Reason.SYNTAX, str(error))
        if refusal is not None:
            self.refused.append(Refused(line.number, *refusal, f"{line.head} {line.fields}"))

    def _point(self, line: Line) -> tuple[Reason, str] | None:
        opened = self._opened.get(line.head)
        if opened is None:
            head = self._heads.head(line.head, others=self._others)
            if head.refusal is not None:
                return head.refusal
            opened = self._open(line.head, head)
        time_ns = self._dating.time_ns(line.time)
        refusal = self._dating.refusal(time_ns) or self._misfit(opened.head.series, line.fields)
        if refusal is None:
            self._keep(opened, line.fields, time_ns)
        return refusal

    def _misfit(self, series: Series, fields: dict[str, FieldValue]) -> tuple[Reason, str] | None:
        if not series.other:
            try:
                self._declared.check_fields(series.measurement, fields)
            except Misfit as misfit:
                return Reason.MISFIT, str(misfit)
        return None

    def _keep(self, opened: _Opened, fields: dict[str, FieldValue], time_ns: int) -> None:
        """Add a row, and expect the next line of this series to be laid out as this one, which fits."""
        series = opened.head.series
        shape = (series.measurement, tuple(fields), series.other)
        self._rows.setdefault(shape, []).append([*fields.values(), time_ns, opened.place])
        if not series.other:
            self._expect(opened, self._layout(series.measurement, fields))

    def _layout(self, measurement: str, fields: dict[str, FieldValue]) -> Layout | None:
        known = self._layouts.known(measurement, fields)
        if known is None and self._learned < MAX_LEARNED:
            self._learned += 1
            known = self._layouts.learn(measurement, fields)
        return known
