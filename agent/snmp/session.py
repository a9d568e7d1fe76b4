"""Devices asked by SNMP: how one is reached, and the walks that a poll is made of.

How octets travel is another file's: ``v2c`` and ``v3``. One request is in flight a device.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from agent.snmp.ber import NO_SUCH_NAME, TOO_BIG, Oid, Pairs, Value

__all__ = ["Access", "Asker", "Columns", "Failed", "Oid", "Session", "Value", "read_secret", "rows"]

Columns: TypeAlias = dict[Oid, dict[Oid, Value]]
"""Column → index of the row → its value."""

MOST_SECRET_BYTES = 1024
PAIRS_ASKED = 100
"""Values asked for at once: about 2 kB of an answer, which devices cut where they cannot send so much."""


class Failed(Exception):
    """A device did not answer, or refused. The text holds no secret."""


class Access(msgspec.Struct, frozen=True):
    """How a device is reached. Secrets are named by their files, of mode 0600."""

    host: str
    port: int
    version: Literal["2c", "3"]
    timeout_seconds: float
    retries: int
    community_file: Path | None = None
    user: str | None = None
    auth: str = "sha"
    auth_file: Path | None = None
    priv: str = "aes"
    priv_file: Path | None = None


class Asker(Protocol):
    """One device by one version of the protocol."""

    async def ask(self, oids: Sequence[Oid], repetitions: int | None) -> tuple[int, Pairs]:
        """Error status and pairs of a GET, or of a GETBULK when ``repetitions`` is given. Raises Failed."""
        ...


def read_secret(path: Path | None) -> str:
    """The one line of a secret's file. Raises Failed where others may read it, or it is empty."""
    if path is None:
        raise Failed("a file with the secret is not named")
    try:
        status = path.stat()
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Failed(f"{path}: others may read it; allowed is mode 0600")
        if not 0 < status.st_size <= MOST_SECRET_BYTES:
            raise Failed(f"{path}: holds no secret of 1 to {MOST_SECRET_BYTES} bytes")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path}: cannot be read: {type(error).__name__}") from None


class Session:
    """One device's values and columns."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._pairs_asked = PAIRS_ASKED

    async def get(self, oids: Sequence[Oid]) -> dict[Oid, Value]:
        """The values that the device has of those asked for. Raises Failed."""
        status, pairs = await self._asker.ask(oids, None)
        if status not in (0, NO_SUCH_NAME):
            raise Failed(f"refused with error status {status}")
        wanted = set(oids)
        return {oid: value for oid, value in pairs if value is not None and oid in wanted}

    async def columns(self, wanted: Sequence[Oid], most_rows: int) -> Columns:
        """Whole columns by GETBULK, side by side. Raises Failed.

        A column ends where its answers leave it or do not grow, at the latest after ``most_rows``. A device
        that finds an answer too big is asked for less.
        """
        walks = [_Walk(column, most_rows) for column in wanted]
        while going := [walk for walk in walks if not walk.ended]:
            going = going[: self._pairs_asked]
            pairs = await self._bulk([walk.last for walk in going])
            if not pairs:
                break
            for place, (oid, value) in enumerate(pairs):
                going[place % len(going)].take(oid, value)
        return {walk.column: walk.found for walk in walks}

    async def _bulk(self, after: Sequence[Oid]) -> Pairs:
        while True:
            status, pairs = await self._asker.ask(after, max(1, self._pairs_asked // len(after)))
            if status == 0:
                return pairs
            if status == NO_SUCH_NAME:
                return []
            if status != TOO_BIG or self._pairs_asked <= len(after):
                raise Failed(f"refused with error status {status}")
            self._pairs_asked = max(len(after), self._pairs_asked // 2)


class _Walk:
    """One column as its rows come in. It ends where answers leave it or do not grow, so it always ends."""

    def __init__(self, column: Oid, most_rows: int) -> None:
        self.column = column
        self.last = column
        self.found: dict[Oid, Value] = {}
        self.ended = False
        self._most_rows = most_rows

    def take(self, oid: Oid, value: Value | None) -> None:
        """One answered pair: a row, or the column's end."""
        size = len(self.column)
        full = len(self.found) >= self._most_rows
        if self.ended or full or value is None or oid[:size] != self.column or oid <= self.last:
            self.ended = True
            return
        self.found[oid[size:]] = value
        self.last = oid


def rows(columns: Columns, names: Mapping[str, Oid]) -> dict[Oid, dict[str, Value]]:
    """Columns → rows by index, with the names given."""
    table: dict[Oid, dict[str, Value]] = {}
    for name, column in names.items():
        for index, value in columns.get(column, {}).items():
            table.setdefault(index, {})[name] = value
    return table
