"""The spool's file: batches as rows of one SQLite database, each with a checksum of its own.

``journal_mode=WAL`` with ``synchronous=FULL``: one sync of the write-ahead log for each commit, so that
what was committed survives a power cut. ``NORMAL`` would sync only at checkpoints, and a power cut would
take every batch since the last one. The price is small because a commit holds all batches of one flush
interval, and because a batch that the collector takes at once is never written. Exclusive locking keeps a
second agent out and needs no shared-memory file.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

SEQUENCE_BLOCK = 1024
ROW_OVERHEAD_BYTES = 160
PAGE_BYTES = 4096
FILE_SLACK_BYTES = 2**18

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, points INTEGER NOT NULL, boot_id TEXT NOT NULL, wall_ns INTEGER NOT NULL,
    monotonic_ns INTEGER NOT NULL, checksum INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS set_aside (
    sequence INTEGER PRIMARY KEY, points INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL
);
"""
_MOST_SEQUENCE = 2**63 - 1
_COLUMNS = "sequence, points, boot_id, wall_ns, monotonic_ns, checksum, body"


class DamagedError(Exception):
    """The file, or a part of it, does not hold what was written."""


class Batch(msgspec.Struct, frozen=True):
    """Points that travel together. ``body`` is line protocol, gzipped; ``sequence`` is never used twice."""

    sequence: int
    points: int
    boot_id: str
    wall_ns: int
    monotonic_ns: int
    body: bytes
    spool_id: str = ""

    @property
    def cost_bytes(self) -> int:
        """What the batch counts for against the bounds."""
        return len(self.body) + ROW_OVERHEAD_BYTES

    @property
    def offset_ns(self) -> int:
        """The wall clock minus the monotonic one when it was recorded."""
        return self.wall_ns - self.monotonic_ns

    def checksum(self) -> int:
        """CRC-32 over every column."""
        head = f"{self.sequence}|{self.points}|{self.boot_id}|{self.wall_ns}|{self.monotonic_ns}|"
        return zlib.crc32(self.body, zlib.crc32(head.encode()))


class SpoolFile:
    """One open spool file. Every method may raise sqlite3.Error; ``is_damage`` tells which kind."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or make the file. Raises DamagedError, sqlite3.Error."""
        self.damaged_rows = 0
        self._connection = _connected(path)
        try:
            self._prepare(max_bytes)
            self.spool_id = self._about("spool_id") or self._new_id()
            self.next_sequence = self._reserved_sequences()
            self.batches, self.bytes = self._totals()
        except UnicodeDecodeError:
            self._connection.close()
            raise DamagedError("schema") from None
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Give back the sequence numbers not used, and close."""
        try:
            self._set_about("next_sequence", str(self.next_sequence))
            self.checkpoint()
        finally:
            self._connection.close()

    def abandon(self) -> None:
        """Close without writing."""
        self._connection.close()

    def take_sequence(self) -> int:
        """The next sequence number: reserved on disk before it is used, so no crash gives it out again."""
        if self.next_sequence >= self._reserved:
            self.next_sequence = self._reserved_sequences()
        self.next_sequence += 1
        return self.next_sequence - 1

    def insert(self, batches: Sequence[Batch]) -> None:
        """Write batches in one commit."""
        rows = [
            (b.sequence, b.points, b.boot_id, b.wall_ns, b.monotonic_ns, b.checksum(), b.body)
            for b in batches
        ]
        with self._connection:
            self._connection.executemany(f"INSERT INTO batch ({_COLUMNS}) VALUES (?,?,?,?,?,?,?)", rows)  # noqa: S608
        self.batches += len(batches)
        self.bytes += sum(batch.cost_bytes for batch in batches)

    def in_order(self, without: Set[int], *, newest_first: bool = False) -> Iterator[Batch]:
        """The batches that are not in ``without``; damaged rows are deleted and counted on the way."""
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        query = f"SELECT sequence FROM batch WHERE sequence {beyond} ? ORDER BY sequence {order} LIMIT 1"  # noqa: S608
        sequence = _MOST_SEQUENCE if newest_first else -1
        while (row := self._connection.execute(query, (sequence,)).fetchone()) is not None:
            sequence = row[0]
            if sequence in without:
                continue
            batch = self._read(sequence)
            if batch is not None:
                yield batch
                continue
            self.damaged_rows += 1
            log.error("damaged batch skipped sequence=%d", sequence)
            self.delete([sequence])

    def delete(self, sequences: Iterable[int]) -> None:
        """Delete batches in one commit."""
        query = "DELETE FROM batch WHERE sequence = ? RETURNING length(body)"
        with self._connection:
            deleted = [self._connection.execute(query, (sequence,)).fetchone() for sequence in sequences]
        sizes = [row[0] for row in deleted if row is not None]
        self.batches -= len(sizes)
        self.bytes -= sum(sizes) + len(sizes) * ROW_OVERHEAD_BYTES

    def evict(self, bytes_to_free: int, batches_to_free: int) -> int:
        """Delete the oldest batches until so much is free. Returns the number of points lost."""
        chosen: list[int] = []
        points = freed = 0
        for sequence, row_points, size in self._connection.execute(
            "SELECT sequence, points, length(body) FROM batch ORDER BY sequence"
        ):
            if freed >= bytes_to_free and len(chosen) >= batches_to_free:
                break
            chosen.append(sequence)
            points += row_points
            freed += size + ROW_OVERHEAD_BYTES
        if chosen:
            self.delete(chosen)
        return points

    def expire(self, boot_id: str, before_monotonic_ns: int, before_wall_ns: int) -> int:
        """Delete batches older than that: by the monotonic clock when of this boot, else by the wall clock.
        Returns the number of points lost.
        """
        too_old = "CASE WHEN boot_id = ? THEN monotonic_ns < ? ELSE wall_ns < ? END"
        arguments = (boot_id, before_monotonic_ns, before_wall_ns)
        query = f"SELECT sequence, points FROM batch WHERE {too_old}"  # noqa: S608
        rows = self._connection.execute(query, arguments).fetchall()
        if rows:
            self.delete([sequence for sequence, _ in rows])
        return sum(points for _, points in rows)

    def set_aside(self, batch: Batch, reason: str, keep: int) -> None:
        """Move a batch to the side table, which keeps the last ``keep``."""
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO set_aside VALUES (?,?,?,?)",
                (batch.sequence, batch.points, reason, batch.body),
            )
            self._connection.execute(
                "DELETE FROM set_aside WHERE sequence NOT IN "
                "(SELECT sequence FROM set_aside ORDER BY sequence DESC LIMIT ?)",
                (keep,),
            )
        self.delete([batch.sequence])

    def set_aside_batches(self) -> list[tuple[int, str]]:
        """Sequence and reason of what stands aside, oldest first."""
        query = "SELECT sequence, reason FROM set_aside ORDER BY sequence"
        return [(sequence, _text(reason)) for sequence, reason in self._connection.execute(query)]

    def _prepare(self, max_bytes: int) -> None:
        self._connection.executescript(_SCHEMA)
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict is None or verdict[0] not in ("ok", b"ok"):
            raise DamagedError(f"quick_check: {verdict}")
        self._most_pages = (max_bytes * 5 // 4 + FILE_SLACK_BYTES) // PAGE_BYTES
        self.let_grow(allowed=True)

    def _reserved_sequences(self) -> int:
        written = self._about("next_sequence") or "1"
        row = self._connection.execute("SELECT max(sequence) FROM batch").fetchone()
        if not written.isdigit() or not isinstance(row[0] or 0, int):
            raise DamagedError("next_sequence")
        start = max(int(written), (row[0] or 0) + 1)
        self._reserved = start + SEQUENCE_BLOCK
        self._set_about("next_sequence", str(self._reserved))
        self.checkpoint()  # a rotten log must not take the reservation back
        return start

    def _new_id(self) -> str:
        spool_id = secrets.token_hex(16)
        self._set_about("spool_id", spool_id)
        return spool_id

    def _about(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value, checksum FROM about WHERE key = ?", (key,)).fetchone()
        if row is None:
            empty = self._connection.execute(
                "SELECT (SELECT count(*) FROM about) + (SELECT count(*) FROM batch)"
            ).fetchone()[0]
            if empty and key == "spool_id":
                raise DamagedError(f"{key} is missing")
            return None
        if zlib.crc32(key.encode() + b"=" + bytes(row[0])) != row[1]:
            raise DamagedError(key)
        return _text(row[0])

    def _set_about(self, key: str, value: str) -> None:
        checksum = zlib.crc32(f"{key}={value}".encode())
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO about VALUES (?,?,?)", (key, value, checksum))

    def _totals(self) -> tuple[int, int]:
        query = f"SELECT count(*), coalesce(sum(length(body) + {ROW_OVERHEAD_BYTES}), 0) FROM batch"  # noqa: S608
        count, size = self._connection.execute(query).fetchone()
        return int(count), int(size)

    def _read(self, sequence: int) -> Batch | None:
        query = f"SELECT {_COLUMNS} FROM batch WHERE sequence = ?"  # noqa: S608
        row = self._connection.execute(query, (sequence,)).fetchone()
        return None if row is None else _sound(row, self.spool_id)

    def let_grow(self, *, allowed: bool) -> None:
        """Let the file grow up to its bound, or not at all: then only what was evicted makes room."""
        if not allowed:
            self.checkpoint()  # so that the pages counted next are on disk, not in the log alone
        pages = self._most_pages if allowed else self._connection.execute("PRAGMA page_count").fetchone()[0]
        self._connection.execute(f"PRAGMA max_page_count={pages}").fetchall()

    def checkpoint(self) -> None:
        """Bring the log into the file, so that the log's room is used again."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def readable(path: Path) -> Iterator[Batch]:
    """Every sound batch that can still be read from a damaged file, from both of its ends."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        connection = None
        try:
            connection = _connected(path)
            for row in connection.execute(f"SELECT {_COLUMNS} FROM batch ORDER BY sequence {order}"):  # noqa: S608
                batch = _sound(row)
                if batch is not None and batch.sequence not in seen:
                    seen.add(batch.sequence)
                    yield batch
        except (sqlite3.Error, DamagedError, UnicodeDecodeError) as error:
            log.warning("damaged spool read up to here order=%s error=%s", order, error)
        finally:
            if connection is not None:
                connection.close()


def is_full(error: sqlite3.Error) -> bool:
    """The disk, or the size allowed to the file, is exhausted."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF == sqlite3.SQLITE_FULL


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """The file does not hold what was written; not: locked, full, on a read-only disk.

    A rotten header makes SQLite call a file read-only that can well be written.
    """
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=1.0)
    connection.text_factory = bytes  # a rotten text must not raise before its checksum is looked at
    try:
        for pragma in (
            f"page_size={PAGE_BYTES}",
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=64",
            "cache_size=-256",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    except UnicodeDecodeError:  # Python could not read SQLite's message: it quotes a rotten schema
        connection.close()
        raise DamagedError("schema") from None
    return connection


def _sound(row: Sequence[object], spool_id: str = "") -> Batch | None:
    """A row as a batch, None when its checksum does not fit."""
    sequence, points, boot_id, wall_ns, monotonic_ns, checksum, body = row
    try:
        batch = msgspec.convert(
            {
                "sequence": sequence,
                "points": points,
                "boot_id": _text(boot_id),
                "wall_ns": wall_ns,
                "monotonic_ns": monotonic_ns,
                "body": body,
                "spool_id": spool_id,
            },
            Batch,
        )
    except (msgspec.ValidationError, UnicodeDecodeError, TypeError):
        return None
    return batch if batch.checksum() == checksum else None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
