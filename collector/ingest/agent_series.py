"""The series that each agent writes: who it is, which heads of lines it used before, and how many it may."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

from collector.batch import Series
from collector.ingest.layouts import Layout
from collector.ingest.line_protocol import LineError, parse_head
from collector.ingest.set_aside import Reason
from config.measurements import Declared, Misfit


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


MAX_HEAD_CHARACTERS = 2048
"""Of a line's measurement and tags: every head that is remembered takes so much memory."""

SeriesName: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


class Head:
    """What stands before the fields of a line: its series, or why it is refused.

    ``layout`` is how the last line of this series was laid out: the next one is expected to be so.
    """

    __slots__ = ("layout", "refusal", "series")

    def __init__(self, series: Series, refusal: tuple[Reason, str] | None) -> None:
        self.series = series
        self.refusal = refusal
        self.layout: Layout | None = None


class AgentSeries:
    """The series that one agent writes: a cache of heads, and the cap on how many series there are."""

    def __init__(
        self, identity: AgentIdentity, declared: Declared, max_series: int, known: Iterable[SeriesName] = ()
    ) -> None:
        self._given = {"school": identity.school_id, "agent": identity.agent_id}
        self._may_write_others = identity.may_write_others
        self._declared = declared
        self._max_series = max_series
        self._heads: dict[str, Head] = {}
        self._known: set[SeriesName] = set(known)

    def __len__(self) -> int:
        """How many series."""
        return len(self._known)

    def head(self, text: str, *, others: bool) -> Head:
        """The series of a line's head, or why it is refused. Raises LineError."""
        key = f"{text}\n" if others else text
        found = self._heads.get(key)
        if found is None:
            found = self._judged(text, others)
            if len(self._heads) >= 4 * self._max_series:
                self._heads.clear()
            self._heads[key] = found
        return found

    def known(self, text: str, *, others: bool) -> Head | None:
        """A head that came before and was taken."""
        found = self._heads.get(f"{text}\n" if others else text)
        return None if found is None or found.refusal else found

    def _judged(self, text: str, others: bool) -> Head:
        if len(text) > MAX_HEAD_CHARACTERS:
            raise LineError(f"measurement and tags are longer than {MAX_HEAD_CHARACTERS} characters")
        measurement, tags = parse_head(text)
        tags.update(self._given)
        series = Series(measurement, tags, other=others or measurement not in self._declared)
        return Head(series, self._refusal(series))

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
            return {agent: len(series) for agent, (_, series) in self._agents.items()}
