"""Connections to the embedded store's file: one that writes, some that read."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.store.interface import StoreUnavailable

BUSY_SECONDS = 10.0


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes: WAL, synced at each commit. Raises StoreUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = _connect(path)
        try:
            _prepare(connection)
            path.chmod(0o600)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{path}: {error}") from None
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


class Readers:
    """A bounded pool of connections that cannot write. Safe to use from any thread."""

    def __init__(self, path: Path, count: int) -> None:
        self._free: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._count = count
        for _ in range(count):
            connection = _connect(path)
            connection.execute("PRAGMA query_only = ON")
            self._free.put(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction of its own: one consistent view. Raises StoreUnavailable."""
        try:
            connection = self._free.get(timeout=BUSY_SECONDS)
        except queue.Empty:
            raise StoreUnavailable("too many queries at one time") from None
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.DatabaseError as error:
            raise unavailable(error) from None
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._free.put(connection)

    def close(self) -> None:
        """Close every connection, waiting for the queries that run."""
        for _ in range(self._count):
            self._free.get(timeout=BUSY_SECONDS).close()


def unavailable(error: sqlite3.DatabaseError) -> Exception:
    """What an error of SQLite means: the file cannot be used now (its disk is full, it is busy or damaged),
    or a value is at fault.
    """
    the_file = type(error) in {sqlite3.OperationalError, sqlite3.DatabaseError}
    return StoreUnavailable(str(error)) if the_file else error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512
    )
