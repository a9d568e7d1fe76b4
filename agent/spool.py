"""The durable queue between probes and collector: a point is acknowledged or on disk within ``flush``.

Points gather in memory and are cut into a batch every ``flush - hold``. A batch waits ``hold`` in memory for
the collector to take it: while all is well nothing is written to flash. What was not taken by then is
written, one commit for all; while the collector is away, one commit each ``flush_away``. Acknowledged rows
are deleted in groups; a batch whose delete a crash forgot is sent again, alone or with others: the same point
twice is one point.
"""

from __future__ import annotations

import gzip
import itertools
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.disk import keep_reserve, move_away
from agent.settings import SpoolSettings
from agent.spool_file import (
    Batch,
    DamagedError,
    SpoolFile,
    is_damage,
    is_full,
    readable,
)
from config.clock import Clock

log = logging.getLogger(__name__)

DELETE_GROUP = 64
FILE_NAME = "spool.sqlite"
RESERVE_NAME = "spool.reserve"

LINES_IN_MEMORY = 4
COMMIT_BYTES = 64 * 1024
STEP_NS = 10**9
"""The wall clock stepped when it moved by more against the monotonic one."""

T = TypeVar("T")


def lines_of(batch: Batch) -> list[str]:
    """The points of a batch, as lines of line protocol. A string may hold other ends of lines than ours."""
    return gzip.decompress(batch.body).decode().removesuffix("\n").split("\n")


def _alike(one: Batch, other: Batch) -> bool:
    """What is to be corrected in the times of one is so in those of the other."""
    same_file_and_boot = (one.spool_id, one.boot_id) == (other.spool_id, other.boot_id)
    return same_file_and_boot and abs(one.offset_ns - other.offset_ns) <= STEP_NS


class SpoolState(msgspec.Struct, frozen=True):
    """What waits, and what was lost since the start."""

    batches: int
    bytes: int
    dropped_points: int
    damaged: int


class Spool:
    """The queue. Safe to use from several threads."""

    def __init__(self, directory: Path, settings: SpoolSettings, clock: Clock, boot_id: str) -> None:
        """Open or make the spool in ``directory``; what is damaged there is moved away, and what can be read
        of it is kept. Raises OSError or sqlite3.Error when the directory cannot be used at all.
        """
        self._settings = settings
        self._clock = clock
        self._boot_id = boot_id
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._held: deque[Batch] = deque()
        self._gone: set[int] = set()
        self._dropped_points = 0
        self._damaged = 0
        self._cut_ns = clock.monotonic_ns()
        self._offset_ns = 0
        self._news = threading.Event()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / FILE_NAME
        self._reserve = directory / RESERVE_NAME
        self._file = self._opened()
        self._tight = False
        self._renew_reserve()

    @property
    def spool_id(self) -> str:
        """The random id of this spool; a new file has a new one."""
        with self._lock:
            return self._file.spool_id

    def add(self, lines: Sequence[str]) -> None:
        """Take points as lines of line protocol. Touches no disk, but for a sequence number now and then."""
        with self._lock:
            self._begin_batch()
            self._lines.extend(lines)
            if len(self._lines) >= self._settings.batch_points:
                self._cut()

    def hasten(self) -> None:
        """Cut what has gathered now: something in it shall not wait."""
        with self._lock:
            self._cut()

    def turn(self) -> float:
        """Cut, write what was not taken, as it is due. Returns seconds until the next turn."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            cut_every_ns = round((self._settings.flush - self._settings.hold) * 1e9)
            if now_ns - self._cut_ns >= cut_every_ns:
                self._cut()
            hold_ns = self._hold_ns()
            if self._held and now_ns - self._held[0].monotonic_ns >= hold_ns:
                self._write_held()
            hold_ns = self._hold_ns()
            due_ns = [self._cut_ns + cut_every_ns, *(b.monotonic_ns + hold_ns for b in list(self._held)[:1])]
            return max(0.05, (min(due_ns) - now_ns) / 1e9)

    def _hold_ns(self) -> int:
        """How long a batch waits in memory: longer while others wait on disk, as the collector is away."""
        away = self._file.batches > len(self._gone)
        longer = max(0.0, self._settings.flush_away - self._settings.flush) if away else 0.0
        return round((self._settings.hold + longer) * 1e9)

    def newest(self) -> Batch | None:
        """The batch that was cut last and is not acknowledged."""
        with self._lock:
            if self._held:
                return self._held[-1]
            return self._on_file(lambda file: next(file.in_order(self._gone, newest_first=True), None), None)

    def oldest(
        self, most_points: int = 0, most_batches: int = 1, alone: Set[tuple[str, int]] = frozenset()
    ) -> list[Batch]:
        """The batches that wait longest and may travel as one: of one boot, and with no step of the wall
        clock between them, as a correction is for all of it. At least one, where any waits; those of which
        spool and number are in ``alone`` travel with no other.
        """
        with self._lock:
            return self._on_file(lambda file: self._together(file, most_points, most_batches, alone), [])

    def _together(
        self, file: SpoolFile, most_points: int, most_batches: int, alone: Set[tuple[str, int]]
    ) -> list[Batch]:
        found: list[Batch] = []
        points = 0
        for batch in itertools.chain(file.in_order(self._gone), self._held):
            points += batch.points
            is_alone = (batch.spool_id, batch.sequence) in alone
            fits = points <= most_points and len(found) < most_batches and not is_alone
            if found and not (fits and _alike(found[0], batch)):
                break
            found.append(batch)
            if is_alone:
                break
        return found

    def joined(self, batches: Sequence[Batch]) -> Batch | None:
        """Batches as one, under a number of its own: no number ever names two different batches. They stay in
        the spool until each of them is acknowledged. None while no number can be reserved.
        """
        with self._lock:
            return self._made([line for batch in batches for line in lines_of(batch)], like=batches[0])

    def acknowledge(self, *batches: Batch) -> None:
        """Forget batches: the collector has them on disk."""
        with self._lock:
            for batch in batches:
                if not self._drop_held(batch) and batch.spool_id == self._file.spool_id:
                    self._gone.add(batch.sequence)
            if len(self._gone) >= DELETE_GROUP:
                self._delete_gone()

    def set_aside(self, batch: Batch, reason: str) -> None:
        """Take a batch that the collector will never take out of the queue; the last ones are kept."""
        with self._lock:
            self._drop_held(batch)
            self._dropped_points += batch.points
            keep = self._settings.set_aside_batches
            self._on_file(lambda file: file.set_aside(batch, reason, keep), None)

    def split(self, batch: Batch) -> None:
        """Replace a batch by its two halves; one that is a single point is set aside."""
        lines = lines_of(batch)
        with self._lock:
            if len(lines) < 2:
                self.set_aside(batch, "one point is too large for the collector")
                return
            middle = len(lines) // 2
            halves = [self._made(part, like=batch) for part in (lines[:middle], lines[middle:])]
            if None not in halves:
                self.acknowledge(batch)
                self._held.extend(half for half in halves if half)
                self._write_held()

    def set_aside_batches(self) -> list[tuple[int, str]]:
        """Sequence and reason of the batches that stand aside."""
        with self._lock:
            return self._on_file(lambda file: file.set_aside_batches(), [])

    def state(self) -> SpoolState:
        """What waits, and what was lost since the start."""
        with self._lock:
            return SpoolState(
                batches=self._file.batches - len(self._gone) + len(self._held),
                bytes=self._file.bytes + sum(batch.cost_bytes for batch in self._held),
                dropped_points=self._dropped_points,
                damaged=self._damaged + self._file.damaged_rows,
            )

    def wait_for_news(self, seconds: float) -> None:
        """Wait until a batch was cut, at most so long."""
        self._news.wait(seconds)
        self._news.clear()

    def wake(self) -> None:
        """End every wait for news."""
        self._news.set()

    def run(self, stop: threading.Event, promise: Callable[[float], None] = lambda _seconds: None) -> None:
        """Take turns until ``stop``; the thread of the spool. ``promise`` hears when it will be back."""
        pause = self.turn()
        promise(pause)
        while not stop.wait(pause):
            pause = self.turn()
            promise(pause)

    def close(self) -> None:
        """Write all that was not acknowledged, and close."""
        with self._lock:
            self._cut()
            self._write_held()
            self._delete_gone()
            try:
                self._file.close()
            except sqlite3.Error as error:
                log.warning("spool closed with error=%s", error)

    def _begin_batch(self) -> None:
        """Points before and after a step of the wall clock share no batch: a correction is for all of it."""
        offset_ns = self._clock.wall_ns() - self._clock.monotonic_ns()
        if self._lines and abs(offset_ns - self._offset_ns) > STEP_NS:
            self._cut()
        if not self._lines:
            self._offset_ns = offset_ns

    def _cut(self) -> None:
        self._cut_ns = self._clock.monotonic_ns()
        if not self._lines:
            return
        batch = self._made(self._lines)
        if batch is None:
            self._forget_lines(keep=LINES_IN_MEMORY * self._settings.batch_points)
            return
        self._lines = []
        self._hold(batch)
        self._news.set()

    def _made(self, lines: list[str], like: Batch | None = None) -> Batch | None:
        """Lines as a batch recorded now, or when ``like`` was; None while no number can be reserved."""
        sequence = self._on_file(lambda file: file.take_sequence(), None)
        if sequence is None:
            return None
        return Batch(
            sequence=sequence,
            points=len(lines),
            boot_id=like.boot_id if like else self._boot_id,
            wall_ns=like.wall_ns if like else self._cut_ns + self._offset_ns,
            monotonic_ns=like.monotonic_ns if like else self._cut_ns,
            body=gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0),
            spool_id=self._file.spool_id,
        )

    def _forget_lines(self, keep: int) -> None:
        self._lose(max(0, len(self._lines) - keep), "memory is full")
        self._lines = self._lines[-keep:]

    def _hold(self, batch: Batch) -> None:
        self._held.append(batch)
        while len(self._held) > 1 and sum(b.cost_bytes for b in self._held) > self._settings.memory_max_bytes:
            self._write_held()
            if len(self._held) > 1:
                self._lose(self._held.popleft().points, "memory is full")

    def _drop_held(self, batch: Batch) -> bool:
        key = (batch.spool_id, batch.sequence)
        held = len(self._held)
        self._held = deque(b for b in self._held if (b.spool_id, b.sequence) != key)
        return len(self._held) < held

    def _write_held(self) -> None:
        self._delete_gone()
        self._make_room_within_bounds()
        written: bool = bool(self._held) and self._on_file(self._insert_held, otherwise=False)
        while written and self._held:
            written = self._on_file(self._insert_held, otherwise=False)
        self._renew_reserve()

    def _insert_held(self, file: SpoolFile) -> bool:
        """Write the oldest that are held, a commit's worth of them: the log must fit into the reserve."""
        some: list[Batch] = []
        size = 0
        for batch in self._held:
            if some and size + batch.cost_bytes > COMMIT_BYTES:
                break
            some.append(batch)
            size += batch.cost_bytes
        file.insert(some)
        for _ in some:
            self._held.popleft()
        return True

    def _renew_reserve(self) -> None:
        """Hold the reserve again; while there is no room for it the file may not grow either."""
        tight = not keep_reserve(self._reserve, self._settings.reserve)
        if tight != self._tight:
            self._tight = tight
            self._on_file(lambda file: file.let_grow(allowed=not tight), None)

    def _delete_gone(self) -> None:
        if self._gone:
            self._on_file(lambda file: file.delete(self._gone), None)
            self._gone.clear()

    def _make_room_within_bounds(self) -> None:
        self._lose(self._on_file(self._expire, 0), "too old")
        too_many_bytes = self._file.bytes + self._held_bytes() - self._settings.max_bytes
        too_many = self._file.batches + len(self._held) - self._settings.max_batches
        if too_many_bytes > 0 or too_many > 0:
            self._lose(self._on_file(lambda file: file.evict(too_many_bytes, too_many), 0), "spool is full")

    def _expire(self, file: SpoolFile) -> int:
        age_ns = round(self._settings.max_age * 1e9)
        return file.expire(self._boot_id, self._clock.monotonic_ns() - age_ns, self._clock.wall_ns() - age_ns)

    def _held_bytes(self) -> int:
        return sum(batch.cost_bytes for batch in self._held)

    def _lose(self, points: int, why: str) -> None:
        if points:
            self._dropped_points += points
            log.warning("oldest points dropped points=%d why=%s", points, why)

    def _on_file(self, operation: Callable[[SpoolFile], T], otherwise: T) -> T:
        """Do something on the file; when it is full or damaged, do what helps and try once more."""
        for _ in range(2):
            try:
                return operation(self._file)
            except (DamagedError, UnicodeDecodeError) as error:
                self._start_anew(error)
            except sqlite3.Error as error:
                if not self._helped(error):
                    break
        return otherwise

    def _helped(self, error: sqlite3.Error) -> bool:
        log.warning("spool error=%s", error)
        if is_full(error):
            self._evict_from_reserve()
        elif is_damage(error, self._path) or isinstance(error, sqlite3.ProgrammingError):
            self._start_anew(error)
        else:
            return False
        return True

    def _evict_from_reserve(self) -> None:
        """A full disk refuses deletes as well, and the log cannot come into a file that must grow for it: so
        give the reserve back, empty the log, then delete.
        """
        self._reserve.unlink(missing_ok=True)
        try:
            self._file.checkpoint()
            self._lose(self._file.evict(4 * self._held_bytes() + 16384, 1), "disk is full")
        except sqlite3.Error as error:
            log.warning("spool cannot evict error=%s", error)

    def _start_anew(self, error: Exception) -> None:
        """Open another file in place of a damaged one; what is held gets numbers of the new one."""
        log.error("spool is damaged error=%s", error)
        self._file.abandon()
        self._damaged += self._file.damaged_rows
        self._gone.clear()
        try:
            self._file = self._salvaged(move_away(self._path))
        except (sqlite3.Error, OSError) as trouble:
            log.warning("spool cannot be made anew, points stay in memory error=%s", trouble)
            return
        self._held = deque(
            msgspec.structs.replace(b, sequence=self._file.take_sequence(), spool_id=self._file.spool_id)
            for b in self._held
        )

    def _opened(self) -> SpoolFile:
        try:
            return SpoolFile(self._path, self._settings.max_bytes)
        except DamagedError as error:
            log.warning("spool is damaged error=%s", error)
        except sqlite3.Error as error:
            if is_full(error):
                self._reserve.unlink(missing_ok=True)
                return SpoolFile(self._path, self._settings.max_bytes)
            if not is_damage(error, self._path):
                raise
            log.warning("spool is damaged error=%s", error)
        return self._salvaged(move_away(self._path))

    def _salvaged(self, damaged: Path) -> SpoolFile:
        """A new spool with what can be read of the damaged one, under new sequence numbers."""
        file = SpoolFile(self._path, self._settings.max_bytes)
        kept = 0
        self._damaged += 1
        try:
            for batch in readable(damaged):
                if file.bytes + batch.cost_bytes <= self._settings.max_bytes:
                    file.insert([msgspec.structs.replace(batch, sequence=file.take_sequence())])
                    kept += 1
        except sqlite3.Error as error:
            log.warning("spool salvage ended early error=%s", error)
        log.warning("spool started anew batches_kept=%d damaged_file=%s", kept, damaged)
        return file
