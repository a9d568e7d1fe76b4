"""What was granted, ordered, suppressed and noticed: an SQLite file beside the key, shared by processes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from collector.responder.needs import Trigger
from collector.responder.slots import Reserved, Suppression
from collector.responder.ticket import TicketError

LEDGER_FILE = "tests.db"
KEPT = timedelta(days=400)
BUSY_SECONDS = 5.0
_RESERVED, _SETTLED, _BEGUN = 0, 1, 2
"""Column ``settled``: bytes set aside, bytes moved, bytes set aside for a test that may be moving them."""
_TABLES = """
CREATE TABLE IF NOT EXISTS tests (
  nonce TEXT PRIMARY KEY, school TEXT NOT NULL, line TEXT NOT NULL, direction TEXT NOT NULL,
  family TEXT NOT NULL, mode TEXT NOT NULL, rate INTEGER NOT NULL, bytes INTEGER NOT NULL,
  granted_at REAL NOT NULL, until REAL NOT NULL, settled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS tests_by_school ON tests (school, granted_at);
CREATE INDEX IF NOT EXISTS tests_by_until ON tests (until);
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY, school TEXT NOT NULL, line TEXT NOT NULL, forced INTEGER NOT NULL, at REAL NOT NULL,
  left INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS triggers (
  school TEXT NOT NULL, line TEXT NOT NULL, at REAL NOT NULL, why TEXT NOT NULL, PRIMARY KEY (school, line));
CREATE TABLE IF NOT EXISTS ports (
  school TEXT NOT NULL, line TEXT NOT NULL, bits_per_second INTEGER NOT NULL, PRIMARY KEY (school, line));
CREATE TABLE IF NOT EXISTS suppressions (
  id INTEGER PRIMARY KEY, school TEXT NOT NULL, starts REAL NOT NULL, ends REAL NOT NULL, why TEXT NOT NULL);
"""


class GrantedTest(msgspec.Struct, frozen=True):
    """One test as it was granted."""

    nonce: str
    school: str
    line: str
    direction: str
    family: str
    mode: str
    bits_per_second: int
    bytes: int
    granted_at: datetime
    until: datetime


class Order(msgspec.Struct, frozen=True):
    """An admin's «now»: how many tests of it are still to be granted."""

    id: int
    line: str
    forced: bool
    at: datetime
    left: int


class Ledger:
    """One file; safe to share between threads, and between processes on one machine."""

    def __init__(self, file: Path | str) -> None:
        """Raises TicketError, one line, when the file cannot be used."""
        self._lock = threading.RLock()
        try:
            _make_private(file)
            self._database = sqlite3.connect(
                file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise TicketError(f"{file}: cannot be used as the ledger of tests: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """One at a time, among all processes: what is read inside still holds when it is written."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def grant(self, test: GrantedTest) -> None:
        """Write down a test; forget those that no question is asked about any more."""
        row = (
            test.nonce, test.school, test.line, test.direction, test.family, test.mode,
            test.bits_per_second, test.bytes, test.granted_at.timestamp(), test.until.timestamp(),
        )  # fmt: skip
        with self._lock:
            self._database.execute("INSERT INTO tests VALUES (?,?,?,?,?,?,?,?,?,?,0)", row)
            oldest = (test.granted_at - KEPT).timestamp()
            self._database.execute("DELETE FROM tests WHERE granted_at < ?", (oldest,))

    def settle(self, school: str, direction: str, family: str, at: datetime, moved_bytes: int) -> None:
        """A result came: its test is over, and moved so much instead of what was set aside for it."""
        found = self._rows(
            "SELECT nonce FROM tests WHERE school=? AND direction=? AND family=? AND settled=0 "
            "AND granted_at<=? ORDER BY granted_at DESC LIMIT 1",
            school, direction, family, at.timestamp() + 60,
        )  # fmt: skip
        for (nonce,) in found:
            self._rows(
                "UPDATE tests SET settled=1, bytes=?, until=min(until, ?) WHERE nonce=?",
                moved_bytes, at.timestamp(), nonce,
            )  # fmt: skip

    def begun(self, nonce: str) -> None:
        """The responder took its ticket: what it moves is not known until the responder says so."""
        self._rows("UPDATE tests SET settled=? WHERE nonce=? AND settled=?", _BEGUN, nonce, _RESERVED)

    def moved(self, nonce: str, moved_bytes: int, now: datetime) -> None:
        """The responder ended it, after so many bytes."""
        self._rows(
            "UPDATE tests SET settled=?, bytes=?, until=min(until, ?) WHERE nonce=?",
            _SETTLED, moved_bytes, now.timestamp(), nonce,
        )  # fmt: skip

    def drop_unused(self, now: datetime) -> None:
        """Tickets that are over and that the responder never saw moved nothing."""
        self._rows(
            "UPDATE tests SET settled=?, bytes=0 WHERE settled=? AND until<=?",
            _SETTLED, _RESERVED, now.timestamp(),
        )  # fmt: skip

    def end(self, school: str, nonce: str, now: datetime) -> None:
        """A school's test is over before its time."""
        ended = "UPDATE tests SET until=min(until, ?) WHERE school=? AND nonce=?"
        self._rows(ended, now.timestamp(), school, nonce)

    def reserved(self, now: datetime) -> list[Reserved]:
        """Tests that may still run."""
        rows = self._rows("SELECT school, rate, until FROM tests WHERE until > ?", now.timestamp())
        return [Reserved(school, rate, _moment(until)) for school, rate, until in rows]

    def bytes_since(self, school: str, start: datetime) -> int:
        """What a school's tests moved, or may still."""
        asked = "SELECT coalesce(sum(bytes), 0) FROM tests WHERE school=? AND granted_at>=?"
        return int(self._rows(asked, school, start.timestamp())[0][0])

    def tests_since(self, school: str, start: datetime) -> list[GrantedTest]:
        """A school's tests, the oldest first."""
        rows = self._rows(
            "SELECT nonce, school, line, direction, family, mode, rate, bytes, granted_at, until FROM tests "
            "WHERE school=? AND granted_at>=? ORDER BY granted_at",
            school, start.timestamp(),
        )  # fmt: skip
        return [_test(row) for row in rows]

    def order(self, school: str, line: str, at: datetime, *, forced: bool, tests: int) -> None:
        """An admin wants tests of a school (``line`` empty: of every line) now."""
        row = (school, line, int(forced), at.timestamp(), tests)
        self._rows("INSERT INTO orders (school, line, forced, at, left) VALUES (?,?,?,?,?)", *row)

    def orders(self, school: str, since: datetime) -> list[Order]:
        """Orders that are not carried out yet, the oldest first."""
        rows = self._rows(
            "SELECT id, line, forced, at, left FROM orders WHERE school=? AND left>0 AND at>=? ORDER BY id",
            school, since.timestamp(),
        )  # fmt: skip
        return [
            Order(number, line, bool(forced), _moment(at), left) for number, line, forced, at, left in rows
        ]

    def carried_out(self, order: Order) -> None:
        """One test less of it is left."""
        self._rows("UPDATE orders SET left=left-1 WHERE id=?", order.id)

    def notice(self, school: str, trigger: Trigger) -> None:
        """Something asks for a verify of a line at once."""
        row = (school, trigger.line, trigger.at.timestamp(), trigger.why)
        self._rows("INSERT OR REPLACE INTO triggers VALUES (?,?,?,?)", *row)

    def triggers(self, school: str) -> list[Trigger]:
        """The latest of each line."""
        rows = self._rows("SELECT line, at, why FROM triggers WHERE school=?", school)
        return [Trigger(line, _moment(at), why) for line, at, why in rows]

    def note_port(self, school: str, line: str, bits_per_second: int) -> None:
        """The speed that a line's port has now."""
        self._rows("INSERT OR REPLACE INTO ports VALUES (?,?,?)", school, line, bits_per_second)

    def port(self, school: str, line: str) -> int | None:
        """The speed that it had when last noted; None before."""
        found = self._rows("SELECT bits_per_second FROM ports WHERE school=? AND line=?", school, line)
        return int(found[0][0]) if found else None

    def suppress(self, suppression: Suppression) -> None:
        """No tests for a time; of every school when it names none."""
        for school in suppression.schools or ("",):
            row = (school, suppression.starts.timestamp(), suppression.ends.timestamp(), suppression.why)
            self._rows("INSERT INTO suppressions (school, starts, ends, why) VALUES (?,?,?,?)", *row)

    def resume(self, now: datetime) -> int:
        """End every suppression that holds now or later; how many."""
        ended = self._rows("DELETE FROM suppressions WHERE ends > ? RETURNING id", now.timestamp())
        return len(ended)

    def suppressions(self, now: datetime) -> list[Suppression]:
        """Those that are not over."""
        rows = self._rows(
            "SELECT school, starts, ends, why FROM suppressions WHERE ends > ?", now.timestamp()
        )
        return [
            Suppression(_moment(starts), _moment(ends), why, (school,) if school else ())
            for school, starts, ends, why in rows
        ]

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()


def _make_private(file: Path | str) -> None:
    """Mode 0600; the files that SQLite puts beside it take the same."""
    if str(file) != ":memory:":
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        Path(file).chmod(0o600)


def _test(row: Any) -> GrantedTest:
    nonce, school, line, direction, family, mode, rate, size, granted_at, until = row
    return GrantedTest(
        nonce, school, line, direction, family, mode, rate, size, _moment(granted_at), _moment(until)
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
