"""Copies of the database in memory, read again when its own count of changes grew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from collector.registry.tables import RevisionRow

T = TypeVar("T")


def count_change(connection: Connection, kind: str) -> None:
    """Tell every process that its copy of this kind is old, with the transaction that makes it so."""
    change = sa.update(RevisionRow).where(RevisionRow.kind == kind)
    connection.execute(change.values(number=RevisionRow.number + 1))


class Copy(Generic[T]):
    """All things of one kind by key. Asks for changes at most once a ``refresh_seconds``."""

    def __init__(
        self,
        kind: str,
        reader: Engine,
        read: Callable[[Connection], Mapping[str, T]],
        refresh_seconds: float,
    ) -> None:
        self._kind = kind
        self._reader = reader
        self._read = read
        self._refresh_seconds = refresh_seconds
        self._lock = threading.Lock()
        self._content: Mapping[str, T] = MappingProxyType({})
        self._number = -1
        self._due = float("-inf")

    def get(self) -> Mapping[str, T]:
        """The copy, as old as ``refresh_seconds`` at most; never changes once given."""
        if self._is_unread or time.monotonic() >= self._due:
            self._refresh()
        return self._content

    def forget(self) -> None:
        """Ask for changes at the next look: this process made one."""
        self._due = float("-inf")

    @property
    def _is_unread(self) -> bool:
        """True until the first reading is whole: who asks meanwhile waits for it."""
        return self._number < 0

    def _refresh(self) -> None:
        with self._lock:
            asked_at = time.monotonic()
            if asked_at < self._due and not self._is_unread:
                return
            self._due = asked_at + self._refresh_seconds
            try:
                self._read_if_changed()
            except BaseException:
                self._due = float("-inf")
                raise

    def _read_if_changed(self) -> None:
        number_of = sa.select(RevisionRow.number).where(RevisionRow.kind == self._kind)
        with self._reader.begin() as connection:
            number = connection.scalar(number_of) or 0
            if number != self._number:
                self._content = MappingProxyType(dict(self._read(connection)))
                self._number = number
