"""Whose turn it is to make windows, where several collectors write to one InfluxDB.

Points are read, then their windows written. One who is slow between would put an older window in place of the
newer that another made meanwhile, and nobody would make it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.registry import Registry
from collector.store.interface import StoreUnavailable

SECTION = 7823643
"""Of PostgreSQL's advisory locks; 7823641 is that of the migrations, 7823642 of capacity tests."""
LONGEST_SECONDS = 300
"""Of a turn: PostgreSQL ends that of a machine that went away or stands still."""

WAIT_SECONDS = 2
"""For a turn, in PostgreSQL's line: who only looked in now and then would find a collector that works off
days of windows at it each time. New points wait meanwhile, so it is not for long.
"""
_TAKE = sa.text(
    "SELECT set_config('idle_in_transaction_session_timeout', :longest, true), "
    "set_config('lock_timeout', :wait, true), pg_advisory_xact_lock(:section, hashtext(:work))"
)
_WAITED_IN_VAIN = "55P03"
"""PostgreSQL's lock_not_available."""


class Turns:
    """Of the collectors that share a registry in PostgreSQL. One in SQLite, or none, has one collector."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry

    @contextmanager
    def take(self, work: str) -> Iterator[bool]:
        """Whether a kind of work is ours until the block ends; False when another was at it for too long.

        Raises StoreUnavailable when the database is away, or ended the turn before the block did: another may
        have begun meanwhile, and the work must be done again.
        """
        if self._registry is None:
            yield True
            return
        try:
            with self._registry.reading() as connection:
                yield connection.dialect.name != "postgresql" or _taken(connection, work)
        except sa.exc.SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise StoreUnavailable(f"no turn to make windows: registry: {reason}") from None


def _taken(connection: Connection, work: str) -> bool:
    bounds = {"longest": f"{LONGEST_SECONDS}s", "wait": f"{WAIT_SECONDS}s"}
    try:
        connection.execute(_TAKE, {**bounds, "section": SECTION, "work": work})
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _WAITED_IN_VAIN:
            raise
        return False
    return True
