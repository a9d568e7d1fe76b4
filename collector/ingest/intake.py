"""From the body of a write to a batch and the lines that were refused. Pure: no network, no disk."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from collector.batch import Batch, Row, Series
from collector.ingest.line_protocol import PRECISIONS, BadLine, Line, LineError, parse_head, read_lines
from collector.ingest.set_aside import Reason, Refused
from config.measurements import Declared, Misfit
from config.points import FieldValue


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


class _Head(NamedTuple):
    series: Series
    refusal: tuple[Reason, str] | None


class AgentSeries:
    """The series that one agent writes: a cache of heads, and the cap on how many series there are."""

    def __init__(self, identity: AgentIdentity, declared: Declared, max_series: int) -> None:
        self._given = {"school": identity.school_id, "agent": identity.agent_id}
        self._may_write_others = identity.may_write_others
        self._declared = declared
        self._max_series = max_series
        self._heads: dict[str, _Head] = {}
        self._known: set[tuple[str, frozenset[tuple[str, str]]]] = set()

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

    def of(self, identity: AgentIdentity) -> AgentSeries:
        """The series of an agent."""
        rights = (identity.school_id, identity.may_write_others)
        with self._lock:
            found = self._agents.get(identity.agent_id)
            if found is None or found[0] != rights:
                found = (rights, AgentSeries(identity, self._declared, self._max_series))
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
        reading = _Reading(self.series.of(identity), self._declared, others, PRECISIONS[precision], window)
        reading.read(_lines_of(body), received_ns, moved_ns)
        batch = Batch(
            identity.school_id, identity.agent_id, received_ns, reading.series, reading.rows, moved_ns
        )
        return batch, reading.refused


def _lines_of(body: bytes) -> Iterable[Line | BadLine]:
    try:
        return read_lines(body.decode())
    except UnicodeDecodeError:
        return read_lines(body.decode(errors="surrogateescape"))


class _Reading:
    """One body on its way to a batch."""

    def __init__(
        self, heads: AgentSeries, declared: Declared, others: bool, unit_ns: int, window: Window
    ) -> None:
        self.series: list[Series] = []
        self.rows: list[Row] = []
        self.refused: list[Refused] = []
        self._heads = heads
        self._declared = declared
        self._others = others
        self._unit_ns = unit_ns
        self._window = window
        self._places: dict[str, int] = {}

    def read(self, lines: Iterable[Line | BadLine], received_ns: int, moved_ns: int) -> None:
        """Take every line: its row, or why it is refused. A line without a time is dated by its receipt."""
        for line in lines:
            if isinstance(line, BadLine):
                self.refused.append(Refused(line.number, Reason.SYNTAX, line.reason, line.text))
                continue
            time_ns = received_ns if line.time is None else line.time * self._unit_ns + moved_ns
            try:
                refusal = self._take(line, time_ns)
            except LineError as error:
                refusal = (Reason.SYNTAX, str(error))
            if refusal is not None:
                self.refused.append(Refused(line.number, *refusal, f"{line.head} {line.fields}"))

    def _take(self, line: Line, time_ns: int) -> tuple[Reason, str] | None:
        place = self._places.get(line.head)
        if place is None:
            found = self._heads.head(line.head, others=self._others)
            if found.refusal is not None:
                return found.refusal
            place = self._places[line.head] = len(self.series)
            self.series.append(found.series)
        refusal = self._judge(self.series[place], line.fields, time_ns)
        if refusal is None:
            self.rows.append((place, time_ns, line.fields))
        return refusal

    def _judge(
        self, series: Series, fields: dict[str, FieldValue], time_ns: int
    ) -> tuple[Reason, str] | None:
        if time_ns < self._window.oldest_ns:
            return Reason.TOO_OLD, f"{time_ns} is before {self._window.oldest_ns}, the oldest that is taken"
        if time_ns > self._window.newest_ns:
            return Reason.TOO_NEW, f"{time_ns} is after {self._window.newest_ns}, the newest that is taken"
        if not series.other:
            try:
                self._declared.check_fields(series.measurement, fields)
            except Misfit as misfit:
                return Reason.MISFIT, str(misfit)
        return None
