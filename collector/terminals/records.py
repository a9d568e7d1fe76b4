"""Where browsers' tests are written down, and how many there were."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from collector.registry import Registry
from collector.terminals.result import Result
from collector.terminals.running import Test
from collector.terminals.tables import TerminalTestRow

KEPT_OF_RESULT = (
    "down_bits_per_second", "up_bits_per_second", "idle_rtt_seconds", "down_rtt_seconds", "up_rtt_seconds",
)  # fmt: skip


class Records:
    """The table of tests in the registry's database."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def count_since(self, since: datetime, *, school_id: str = "", address: str = "") -> int:
        """Tests that began since then: of a school, of an address, or all."""
        chosen = sa.select(sa.func.count()).select_from(TerminalTestRow)
        chosen = chosen.where(TerminalTestRow.started_at >= since)
        if school_id:
            chosen = chosen.where(TerminalTestRow.school_id == school_id)
        if address:
            chosen = chosen.where(TerminalTestRow.address == address)
        with self._registry.reading() as connection:
            return int(connection.scalar(chosen) or 0)

    def begin(self, test: Test, now: datetime, oldest: datetime) -> None:
        """Write that a test begins; what is older than ``oldest`` goes."""
        values = {
            "id": test.id, "school_id": test.school_id, "address": str(test.caller.address),
            "family": test.caller.family, "place": test.place, "started_at": now,
        }  # fmt: skip
        with self._registry.writing() as connection:
            connection.execute(sa.delete(TerminalTestRow).where(TerminalTestRow.started_at < oldest))
            connection.execute(sa.insert(TerminalTestRow).values(values))

    def finish(self, test_id: str, result: Result, now: datetime) -> None:
        """Write what came of it."""
        values = {name: getattr(result, name) for name in KEPT_OF_RESULT}
        change = sa.update(TerminalTestRow).where(TerminalTestRow.id == test_id)
        with self._registry.writing() as connection:
            connection.execute(change.values(**values, finished_at=now))

    def between(self, start: datetime, end: datetime, school_id: str | None = None) -> list[sa.Row[Any]]:
        """Finished tests of [start, end), by time; rows of TerminalTestRow's columns."""
        table = TerminalTestRow
        chosen = sa.select(table.__table__).where(table.started_at >= start, table.started_at < end)
        chosen = chosen.where(table.finished_at.is_not(None)).order_by(table.started_at)
        if school_id is not None:
            chosen = chosen.where(table.school_id == school_id)
        with self._registry.reading() as connection:
            return list(connection.execute(chosen))
