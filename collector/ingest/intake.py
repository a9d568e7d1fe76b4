"""From the body of a write to a batch and the lines that were refused. Pure: no network, no disk."""

from __future__ import annotations

from typing import NamedTuple

from collector.batch import Batch
from collector.ingest.agent_series import AgentIdentity, Agents, SeriesBook
from collector.ingest.layouts import Layouts
from collector.ingest.line_protocol import PRECISIONS
from collector.ingest.reading import Dating, Reading
from collector.ingest.set_aside import Refused
from config.measurements import Declared

__all__ = ["AgentIdentity", "Agents", "Intake", "Window"]


class Window(NamedTuple):
    """Times, in nanoseconds since 1970 UTC, between which points are taken."""

    oldest_ns: int
    newest_ns: int


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
        dating = Dating(PRECISIONS[precision], moved_ns, received_ns, *window)
        reading = Reading(self.series.of(identity), self._declared, self._layouts, dating, others=others)
        reading.read(_text_of(body))
        if moved_ns:
            reading.mark_moved(identity)
        batch = Batch(
            identity.school_id, identity.agent_id, received_ns, reading.series, reading.groups(), moved_ns
        )
        return batch, reading.refused


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode(errors="surrogateescape")
