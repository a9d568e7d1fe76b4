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

AGAIN_SECONDS = 0.1
"""So soon changes are asked for again for a key that is not known; no sooner, however many are guessed."""

T = TypeVar("T")


def count_change(connection: Connection, kind: str) -> None:
    """Tell every process that its copy of this kind is old, with the transaction that makes it so."""
    change = sa.update(RevisionRow).where(RevisionRow.kind == kind)
    connection.execute(change.values(number=RevisionRow.number + 1))


class Copy(Generic[T]):
    """All things of one kind by key. Asks for changes at most once a ``refresh_seconds``, and a little sooner
    for who looks for what may be new.
    """

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
        self._asked_at = float("-inf")

    def get(self) -> Mapping[str, T]:
        """The copy, as old as ``refresh_seconds`` at most; never changes once given."""
        return self._at_most(self._refresh_seconds)

    def find(self, key: str) -> T | None:
        """One thing; None for a key that is not known, nor was a moment ago."""
        found = self.get().get(key)
        if found is None:
            found = self._at_most(min(AGAIN_SECONDS, self._refresh_seconds)).get(key)
        return found

    def forget(self) -> None:
        """Ask for changes at the next look: this process made one."""
        self._asked_at = float("-inf")

    @property
    def _is_unread(self) -> bool:
        """True until the first reading is whole: who asks meanwhile waits for it."""
        return self._number < 0

    def _at_most(self, seconds: float) -> Mapping[str, T]:
        """The copy, so old at most."""
        if self._is_older(seconds):
            with self._lock:
                if self._is_older(seconds):
                    self._refresh()
        return self._content

    def _is_older(self, seconds: float) -> bool:
        return self._is_unread or time.monotonic() >= self._asked_at + seconds

    def _refresh(self) -> None:
        self._asked_at = time.monotonic()
        try:
            self._read_if_changed()
        except BaseException:
            self._asked_at = float("-inf")
            raise

    def _read_if_changed(self) -> None:
        number_of = sa.select(RevisionRow.number).where(RevisionRow.kind == self._kind)
        with self._reader.begin() as connection:
            number = connection.scalar(number_of) or 0
            if number != self._number:
                self._content = MappingProxyType(dict(self._read(connection)))
                self._number = number
