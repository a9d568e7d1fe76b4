"""From the body of a write to a batch and the lines that were refused. Pure: no network, no disk."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from collector.batch import Batch, Group, Series
from collector.ingest.layouts import Layout, Layouts
from collector.ingest.line_protocol import PRECISIONS, BadLine, Line, LineError, parse_head, read_lines
from collector.ingest.set_aside import Reason, Refused
from config.measurements import Declared, Misfit
from config.points import FieldValue

Rows: TypeAlias = list[list[Any]]

MAX_LEARNED = 16
"""Layouts learned of one body: making one takes about a millisecond."""


class AgentIdentity(Protocol):
    """Whom a token belongs to."""

    @property
    def agent_id(self) -> str: ...
    @property
    def school_id(self) -> str: ...
    @property
    def may_write_others(self) -> bool: ...


class Agents(Protocol):
    """What ingest asks of the registry."""

    def agent_by_token(self, token: str) -> AgentIdentity | None:
        """The agent that a token was given to; None for a token that is unknown or revoked."""
        ...


class Window(NamedTuple):
    """Times, in nanoseconds since 1970 UTC, between which points are taken."""

    oldest_ns: int
    newest_ns: int


SeriesName: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


class _Head(NamedTuple):
    series: Series
    refusal: tuple[Reason, str] | None


class AgentSeries:
    """The series that one agent writes: a cache of heads, and the cap on how many series there are."""

    def __init__(
        self, identity: AgentIdentity, declared: Declared, max_series: int, known: Iterable[SeriesName] = ()
    ) -> None:
        self._given = {"school": identity.school_id, "agent": identity.agent_id}
        self._may_write_others = identity.may_write_others
        self._declared = declared
        self._max_series = max_series
        self._heads: dict[str, _Head] = {}
        self._known: set[SeriesName] = set(known)

    def head(self, text: str, *, others: bool) -> _Head:
        """The series of a line's head, or why it is refused. Raises LineError."""
        key = f"{text}\n" if others else text
        found = self._heads.get(key)
        if found is None:
            found = self._judged(text, others)
            if len(self._heads) >= 4 * self._max_series:
                self._heads.clear()
            self._heads[key] = found
        return found

    def known(self, text: str, *, others: bool) -> Series | None:
        """The series of a head that came before and was taken."""
        found = self._heads.get(f"{text}\n" if others else text)
        return None if found is None or found.refusal else found.series

    def _judged(self, text: str, others: bool) -> _Head:
        measurement, tags = parse_head(text)
        tags.update(self._given)
        series = Series(measurement, tags, other=others or measurement not in self._declared)
        return _Head(series, self._refusal(series))

    def _refusal(self, series: Series) -> tuple[Reason, str] | None:
        if series.other and not self._may_write_others:
            return Reason.UNDECLARED, f"measurement {series.measurement} is not declared"
        if not series.other:
            try:
                self._declared.check_tags(series.measurement, series.tags)
            except Misfit as misfit:
                return Reason.MISFIT, str(misfit)
        name = (series.measurement, frozenset(series.tags.items()))
        if name not in self._known and len(self._known) >= self._max_series:
            return Reason.SERIES_CAP, f"the agent writes {self._max_series} series already"
        self._known.add(name)
        return None


class SeriesBook:
    """AgentSeries by agent. A changed identity starts anew."""

    def __init__(self, declared: Declared, max_series: int) -> None:
        self._declared = declared
        self._max_series = max_series
        self._lock = threading.Lock()
        self._agents: dict[str, tuple[tuple[str, bool], AgentSeries]] = {}
        self._remembered: dict[str, set[SeriesName]] = {}

    def remember(self, measurement: str, tags: Mapping[str, str]) -> None:
        """A series that was written before the collector started counts as one of its agent."""
        with self._lock:
            names = self._remembered.setdefault(tags.get("agent", ""), set())
            names.add((measurement, frozenset(tags.items())))

    def of(self, identity: AgentIdentity) -> AgentSeries:
        """The series of an agent."""
        rights = (identity.school_id, identity.may_write_others)
        with self._lock:
            found = self._agents.get(identity.agent_id)
            if found is None or found[0] != rights:
                known = self._remembered.pop(identity.agent_id, set())
                found = (rights, AgentSeries(identity, self._declared, self._max_series, known))
                self._agents[identity.agent_id] = found
            return found[1]

    def count(self) -> dict[str, int]:
        """Series by agent."""
        with self._lock:
            return {agent: len(series._known) for agent, (_, series) in self._agents.items()}


class Intake:
    """Turns bodies into batches by one schema and one set of limits. Safe to use from several threads."""

    def __init__(self, declared: Declared, max_series_per_agent: int) -> None:
        self.series = SeriesBook(declared, max_series_per_agent)
        self._declared = declared
        self._layouts = Layouts()

    def batch(
        self,
        body: bytes,
        identity: AgentIdentity,
        *,
        precision: str,
        others: bool,
        received_ns: int,
        moved_ns: int,
        window: Window,
    ) -> tuple[Batch, list[Refused]]:
        """Read a body. ``others`` sends everything to the bucket of undeclared measurements."""
        dating = _Dating(PRECISIONS[precision], moved_ns, received_ns, *window)
        reading = _Reading(self.series.of(identity), self._declared, self._layouts, dating, others=others)
        reading.read(_text_of(body))
        if moved_ns and reading.series:
            reading.mark_moved(identity)
        groups = [Group(*shape, rows) for shape, rows in reading.groups.items() if rows]
        batch = Batch(identity.school_id, identity.agent_id, received_ns, reading.series, groups, moved_ns)
        return batch, reading.refused


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode(errors="surrogateescape")


class _Dating(NamedTuple):
    """How the times of one body are read: a line's time is in units, then moved; without one, received_ns."""

    unit_ns: int
    moved_ns: int
    received_ns: int
    oldest_ns: int
    newest_ns: int

    def time_ns(self, time: int | None) -> int:
        return self.received_ns if time is None else time * self.unit_ns + self.moved_ns

    def refusal(self, time_ns: int) -> tuple[Reason, str] | None:
        if time_ns < self.oldest_ns:
            return Reason.TOO_OLD, f"{time_ns} is before {self.oldest_ns}, the oldest that is taken"
        if time_ns > self.newest_ns:
            return Reason.TOO_NEW, f"{time_ns} is after {self.newest_ns}, the newest that is taken"
        return None


class _Opened(NamedTuple):
    """A series of one body: its index in the batch, and the rows of its measurement by layout."""

    series: Series
    place: int
    rows_by_layout: dict[Layout, Rows]


class _Reading:
    """One body on its way to a batch."""

    def __init__(
        self, heads: AgentSeries, declared: Declared, layouts: Layouts, dating: _Dating, *, others: bool
    ) -> None:
        self.series: list[Series] = []
        self.groups: dict[tuple[str, tuple[str, ...], bool], Rows] = {}
        self.refused: list[Refused] = []
        self._heads = heads
        self._declared = declared
        self._layouts = layouts
        self._dating = dating
        self._others = others
        self._opened: dict[str, _Opened] = {}
        self._rows_by_layout: dict[str, dict[Layout, Rows]] = {}
        self._learned = 0

    def read(self, text: str) -> None:
        """Take every line: its row, or why it is refused."""
        for line in read_lines(text, self._known):
            if isinstance(line, BadLine):
                self.refused.append(Refused(line.number, Reason.SYNTAX, line.reason, line.text))
                continue
            try:
                refusal = self._take(line)
            except LineError as error:
                refusal = (Reason.SYNTAX, str(error))
            if refusal is not None:
                self.refused.append(Refused(line.number, *refusal, f"{line.head} {line.fields}"))

    def mark_moved(self, identity: AgentIdentity) -> None:
        """Say in the store that the times of this batch were moved: by a point at its newest time."""
        times = [row[-2] for rows in self.groups.values() for row in rows]
        if times:
            series = Series("clock", {"school": identity.school_id, "agent": identity.agent_id})
            fields = ("moved_seconds", "points")
            self._rows(series, fields).append(
                [self._dating.moved_ns / 1e9, len(times), max(times), len(self.series)]
            )
            self.series.append(series)

    def _known(self, text: str) -> bool:
        """Take a line of a series and a layout that are known. False for any other."""
        head, _, rest = text.partition(" ")
        opened = self._opened.get(head) or self._reopened(head)
        if opened is None:
            return False
        for layout, rows in opened.rows_by_layout.items():
            row = layout.row(rest)
            if row is not None:
                dating = self._dating
                time_ns = row[-1] * dating.unit_ns + dating.moved_ns
                if not dating.oldest_ns <= time_ns <= dating.newest_ns:
                    return False
                row[-1] = time_ns
                row.append(opened.place)
                rows.append(row)
                return True
        return False

    def _reopened(self, head: str) -> _Opened | None:
        """Open a series that an earlier body brought."""
        found = self._heads.known(head, others=self._others)
        return None if found is None else self._open(head, found)

    def _open(self, head: str, series: Series) -> _Opened:
        opened = self._opened[head] = _Opened(series, len(self.series), self._rows_of_layouts(series))
        self.series.append(series)
        return opened

    def _rows_of_layouts(self, series: Series) -> dict[Layout, Rows]:
        if series.other:
            return {}
        found = self._rows_by_layout.get(series.measurement)
        if found is None:
            found = {
                layout: self._rows(series, layout.fields) for layout in self._layouts.of(series.measurement)
            }
            self._rows_by_layout[series.measurement] = found
        return found

    def _rows(self, series: Series, fields: tuple[str, ...]) -> Rows:
        return self.groups.setdefault((series.measurement, fields, series.other), [])

    def _take(self, line: Line) -> tuple[Reason, str] | None:
        opened = self._opened.get(line.head)
        if opened is None:
            found = self._heads.head(line.head, others=self._others)
            if found.refusal is not None:
                return found.refusal
            opened = self._open(line.head, found.series)
        time_ns = self._dating.time_ns(line.time)
        refusal = self._dating.refusal(time_ns) or self._misfit(opened.series, line.fields)
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
        """Add a row, and learn the layout of its line: it fits the schema, so the next one does."""
        series = opened.series
        rows = self._rows(series, tuple(fields))
        rows.append([*fields.values(), time_ns, opened.place])
        if not series.other and self._learned < MAX_LEARNED:
            self._learned += 1
            layout = self._layouts.learn(series.measurement, fields)
            if layout is not None:
                opened.rows_by_layout[layout] = rows
