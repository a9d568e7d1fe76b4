"""The journal: a batch is acknowledged when it is on disk, and leaves when the store has it.

One thread writes and syncs all batches that wait (group commit); one reader takes them in order.
Segments that
were taken whole are deleted. What is damaged is skipped and counted.
"""

from __future__ import annotations

import logging
import mmap
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec

from collector.ingest.segments import Damage, Record, frame, scan
from collector.ingest.sequences import BatchKey, SeenSequences

log = logging.getLogger(__name__)

_SEEN_FILE = "seen"
_CURSOR_FILE = "cursor"
_GROUP_BYTES = 8 * 1024 * 1024


class JournalFull(Exception):
    """The batch was not taken: the journal's bound is reached, or the disk is nearly full or fails."""


class Position(NamedTuple):
    """A place in the journal: the segment's number and the offset in it."""

    segment: int
    offset: int


class JournalCounts(msgspec.Struct):
    """What happened since the journal was opened."""

    appended: int = 0
    duplicates: int = 0
    refused: int = 0
    damaged: int = 0
    syncs: int = 0


class _Waiting(NamedTuple):
    key: BatchKey | None
    body: bytes
    done: Future[bool]


class Journal:
    """A bounded durable queue of batches in ``folder``.

    ``append`` may be called from any thread; ``read`` and ``taken`` from one consumer.
    """

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int, reserve_bytes: int) -> None:
        self.counts = JournalCounts()
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._changed = threading.Condition()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._seen = _load_seen(folder / _SEEN_FILE)
        self._seen_lock = threading.Lock()
        self._sizes = _segments(folder)
        saved = _load_cursor(folder / _CURSOR_FILE)
        self._learn_keys()
        self._cursor = self._next = self._start_after(saved)
        self._number = self._first_own = max(saved.segment, *self._sizes, 0) + 1
        self._file = -1
        self._open_segment()
        self._thread = threading.Thread(target=self._write_loop, name="journal", daemon=True)
        self._thread.start()

    def append(self, key: BatchKey | None, body: bytes) -> Future[bool]:
        """Queue a batch. The future gives True when it is on disk, False when ``key`` was on disk
        already, and
        raises JournalFull when it was not taken.
        """
        done: Future[bool] = Future()
        with self._changed:
            if self._closed:
                done.set_exception(JournalFull("the collector is stopping"))
            else:
                self._queue.put(_Waiting(key, body, done))
        return done

    def read(self, max_bytes: int, timeout_seconds: float) -> list[bytes]:
        """The next batches in order, at most about ``max_bytes``; empty when none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._reading_ahead(), timeout_seconds)
            sizes = dict(self._sizes)
        bodies: list[bytes] = []
        total = 0
        for record, position in self._records_from(self._cursor, sizes):
            bodies.append(record.body)
            self._next = position
            total += len(record.body)
            if total >= max_bytes:
                break
        else:
            self._next = max([self._cursor, *(Position(*item) for item in sizes.items())])
        return bodies

    def taken(self) -> None:
        """All that ``read`` gave last is in the store: move the cursor, drop segments that were taken whole.

        Without a readable cursor file the journal is read again from its first segment: points are
        idempotent.
        """
        if self._next == self._cursor:
            return
        with self._changed:
            self._cursor = self._next
            finished = [number for number in self._sizes if number < self._cursor.segment]
        self._save(_CURSOR_FILE, msgspec.msgpack.encode(self._cursor), durable=False)
        if finished:
            self._drop(finished)

    def waiting_bytes(self) -> int:
        """Bytes on disk that the store does not have yet."""
        with self._changed:
            return sum(self._sizes.values()) - self._cursor.offset

    def close(self) -> None:
        """Write what waits, then stop. Idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
            self._changed.notify_all()
        self._thread.join()
        self._close_segment()

    # --- starting

    def _start_after(self, saved: Position) -> Position:
        if saved.segment not in self._sizes:
            return Position(min(self._sizes, default=0), 0)
        return Position(saved.segment, min(saved.offset, self._sizes[saved.segment]))

    def _learn_keys(self) -> None:
        """Read every segment once: remember the keys, count what is damaged, cut the torn tail."""
        for number in sorted(self._sizes):
            path = _path(self._folder, number)
            for found in _scan_file(path, 0, self._sizes[number]):
                if isinstance(found, Record):
                    self._remember(found.key)
                else:
                    self._count_damage(number, found)
                    self._sizes[number] = found.start if found.torn else self._sizes[number]
            os.truncate(path, self._sizes[number])

    def _remember(self, key: bytes) -> None:
        if not key:
            return
        try:
            self._seen.add(msgspec.msgpack.decode(key, type=BatchKey))
        except msgspec.DecodeError:
            log.warning("journal key unreadable bytes=%d", len(key))

    def _count_damage(self, segment: int, found: Damage) -> None:
        self.counts.damaged += 1
        log.warning(
            "journal damaged segment=%d start=%d end=%d torn=%s", segment, found.start, found.end, found.torn
        )

    # --- writing, in the journal's own thread

    def _write_loop(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                self._commit(group)

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Everything that waits now, at most about _GROUP_BYTES; True when it is the last."""
        group: list[_Waiting] = []
        size = 0
        waiting = self._queue.get()
        while waiting is not None:
            group.append(waiting)
            size += len(waiting.body)
            if size >= _GROUP_BYTES or self._queue.empty():
                return group, False
            waiting = self._queue.get()
        return group, True

    def _commit(self, group: list[_Waiting]) -> None:
        fresh, repeated = self._split(group)
        data = b"".join(frame(_key_bytes(each.key), each.body) for each in fresh)
        try:
            if data:
                self._write(data)
        except (OSError, JournalFull) as error:
            self.counts.refused += len(group)
            log.warning("journal refuses batches=%d reason=%s", len(group), error)
            for each in group:
                each.done.set_exception(JournalFull(str(error)))
            return
        with self._seen_lock:
            for each in fresh:
                if each.key is not None:
                    self._seen.add(each.key)
        self.counts.appended += len(fresh)
        self.counts.duplicates += len(repeated)
        for each in fresh:
            each.done.set_result(True)
        for each in repeated:
            each.done.set_result(False)

    def _split(self, group: list[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
        fresh: list[_Waiting] = []
        repeated: list[_Waiting] = []
        keys: set[BatchKey] = set()
        for each in group:
            known = each.key is not None and (each.key in self._seen or each.key in keys)
            (repeated if known else fresh).append(each)
            if each.key is not None:
                keys.add(each.key)
        return fresh, repeated

    def _write(self, data: bytes) -> None:
        """Append and sync. Raises OSError or JournalFull, and then nothing of ``data`` stays."""
        self._need_room(len(data))
        if self._file < 0:
            self._number += 1
            self._open_segment()
        size = self._sizes[self._number]
        try:
            _write_all(self._file, data)
            os.fdatasync(self._file)
        except OSError:
            self._abandon_segment(size)
            raise
        self.counts.syncs += 1
        with self._changed:
            self._sizes[self._number] = size + len(data)
            self._changed.notify_all()
        if size + len(data) >= self._segment_bytes:
            self._close_segment()

    def _need_room(self, length: int) -> None:
        with self._changed:
            total = sum(self._sizes.values())
        if total + length > self._max_bytes:
            raise JournalFull(f"the journal holds {total} of the {self._max_bytes} bytes allowed")
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + length:
            raise JournalFull("the disk is nearly full")

    def _abandon_segment(self, size: int) -> None:
        """After a failed write: cut what was not acknowledged, go on in a new file."""
        try:
            os.ftruncate(self._file, size)
        finally:
            self._close_segment()

    def _close_segment(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _open_segment(self) -> None:
        path = _path(self._folder, self._number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _sync_folder(self._folder)
        with self._changed:
            self._sizes[self._number] = 0

    # --- reading

    def _reading_ahead(self) -> bool:
        return any(Position(number, size) > self._cursor for number, size in self._sizes.items() if size)

    def _records_from(self, start: Position, sizes: dict[int, int]) -> Iterator[tuple[Record, Position]]:
        for number in sorted(sizes):
            if number < start.segment or not sizes[number]:
                continue
            offset = start.offset if number == start.segment else 0
            for found in _scan_file(_path(self._folder, number), offset, sizes[number]):
                if isinstance(found, Record):
                    yield found, Position(number, found.end)
                elif number >= self._first_own:  # older segments were counted when the journal was opened
                    self._count_damage(number, found)

    def _drop(self, finished: list[int]) -> None:
        """Delete segments; what they taught about sequence numbers is saved first."""
        with self._seen_lock:
            seen = self._seen.dump()
        self._save(_SEEN_FILE, seen, durable=True)
        for number in finished:
            _path(self._folder, number).unlink(missing_ok=True)
        with self._changed:
            for number in finished:
                del self._sizes[number]

    def _save(self, name: str, data: bytes, *, durable: bool) -> None:
        """Replace a file in one step. A full disk must not keep the journal from shrinking: told, not
        raised."""
        try:
            _replace(self._folder / name, data, durable=durable)
        except OSError as error:
            log.warning("journal cannot save file=%s reason=%s", name, error)


def _key_bytes(key: BatchKey | None) -> bytes:
    return b"" if key is None else msgspec.msgpack.encode(key)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:012d}.journal"


def _segments(folder: Path) -> dict[int, int]:
    """Sizes of the segments found, by number."""
    return {int(path.stem): path.stat().st_size for path in folder.glob("*.journal") if path.stem.isdecimal()}


def _scan_file(path: Path, start: int, end: int) -> Iterator[Record | Damage]:
    if start >= end:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as data:
        yield from scan(data, start)


def _load_cursor(path: Path) -> Position:
    try:
        return Position(*msgspec.msgpack.decode(path.read_bytes(), type=tuple[int, int]))
    except (OSError, msgspec.DecodeError):
        return Position(0, 0)


def _load_seen(path: Path) -> SeenSequences:
    try:
        return SeenSequences.load(path.read_bytes())
    except FileNotFoundError:
        return SeenSequences()
    except (OSError, msgspec.DecodeError) as error:
        log.warning("journal forgets old sequence numbers file=%s reason=%s", path, error)
        return SeenSequences()


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _replace(path: Path, data: bytes, *, durable: bool) -> None:
    """Put ``data`` in place of a file in one step."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
