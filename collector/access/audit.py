"""The log of who did what. A change writes its line in its own transaction: both are there, or neither.

``detail`` is for what changed, by name; it never holds a secret, not even one that was typed wrongly.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access.tables import AuditRow
from collector.access.who import Via, Who

PIECE = 1000


class Entry(msgspec.Struct, frozen=True):
    """One line of the log."""

    id: int
    at: datetime
    who: str
    via: str
    address: str
    action: str
    subject: str
    detail: dict[str, Any]


def record(
    connection: Connection, who: Who, action: str, subject: str = "", *, at: datetime, **detail: object
) -> None:
    """Write one line: who did ``action`` («user.add») to ``subject``, with what changed."""
    line = {
        "at": at, "who": who.name[:80], "via": who.via.value, "address": who.address[:64],
        "action": action, "subject": subject[:120], "detail": msgspec.json.encode(detail).decode("utf-8"),
    }  # fmt: skip
    connection.execute(sa.insert(AuditRow).values(line))


def entries(
    connection: Connection, *, before: int | None = None, since: datetime | None = None, limit: int = PIECE
) -> list[Entry]:
    """Lines, the newest first: at most ``limit`` with an id below ``before``, not older than ``since``."""
    wanted = sa.select(*(getattr(AuditRow, name) for name in Entry.__struct_fields__))
    if before is not None:
        wanted = wanted.where(AuditRow.id < before)
    if since is not None:
        wanted = wanted.where(AuditRow.at >= since)
    return _read(connection, wanted.order_by(AuditRow.id.desc()).limit(limit))


def every(connection: Connection, since: datetime | None = None) -> Iterator[Entry]:
    """All lines, the oldest first, read in pieces."""
    last = 0
    while True:
        wanted = sa.select(*(getattr(AuditRow, name) for name in Entry.__struct_fields__))
        wanted = wanted.where(AuditRow.id > last)
        if since is not None:
            wanted = wanted.where(AuditRow.at >= since)
        found = _read(connection, wanted.order_by(AuditRow.id).limit(PIECE))
        if not found:
            return
        yield from found
        last = found[-1].id


def forget(connection: Connection, before: datetime) -> int:
    """Drop what is older than it is kept. Gives the number of lines."""
    return connection.execute(sa.delete(AuditRow).where(AuditRow.at < before)).rowcount


def command_line() -> Who:
    """Whoever runs a command on the collector's host, by the name of his login."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = str(os.getuid())
    return Who(f"command line ({login})", via=Via.COMMAND)


def _read(connection: Connection, wanted: sa.Select[Any]) -> list[Entry]:
    rows: Sequence[Any] = connection.execute(wanted).all()
    return [Entry(**{**row._mapping, "detail": msgspec.json.decode(row.detail)}) for row in rows]
