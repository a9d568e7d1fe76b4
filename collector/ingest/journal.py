"""The journal: a batch is acknowledged when it is on disk, and leaves when the store has it.

One thread writes and syncs all batches that wait (group commit); one reader takes them in order.
Segments that
were taken whole are deleted. What is damaged is skipped and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec

from collector.ingest.segment_files import JournalFull, Position, SegmentFiles, Span, save
from collector.ingest.segments import Damage, Record, frame
from collector.ingest.sequences import BatchKey, SavedSequences

__all__ = ["Journal", "JournalFull"]

log = logging.getLogger(__name__)

_SEEN_FILE = "seen"
_CURSOR_FILE = "cursor"
_SAVED = tuple[tuple[int, int], list[tuple[tuple[int, int], tuple[int, int]]]]
MAX_BEHIND = 16
"""Outages of the store whose points are kept apart."""
_GROUP_BYTES = 8 * 1024 * 1024


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
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._files = SegmentFiles(
            folder, max_bytes=max_bytes, segment_bytes=segment_bytes, reserve_bytes=reserve_bytes
        )
        self._changed = self._files.changed
        self._seen = SavedSequences(folder / _SEEN_FILE)
        saved, behind = _load_cursor(folder / _CURSOR_FILE)
        sizes = self._files.sizes()
        self._scanned = {number for number in sizes if number > self._seen.known_to}
        self._learn_keys(sizes)
        self._cursor = self._next = self._next_behind = self._start_after(saved)
        self._behind = [span for span in behind if span.end.segment in sizes]
        self._files.begin(max(saved.segment, self._files.number) + 1)
        self._thread = threading.Thread(target=self._write_loop, name="journal", daemon=True)
        self._thread.start()

    def append(self, key: BatchKey | None, body: bytes) -> Future[bool]:
        """Queue a batch. The future gives True when it is on disk, False when ``key`` was on disk
        already, and
        raises JournalFull when it was not taken.
        """
        done: Future[bool] = Future()
        done.set_running_or_notify_cancel()  # who waits may go away, and must not stop who writes
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
            end = self._end()
        bodies, self._next = self._read(Span(self._cursor, end), max_bytes)
        return bodies

    def taken(self) -> None:
        """All that ``read`` gave last is in the store: move the cursor, drop segments that were taken whole.

        Without a readable cursor file the journal is read again from its first segment: points are
        idempotent.
        """
        if self._next != self._cursor:
            self._move(self._next, self._behind)

    def leave_behind(self) -> None:
        """What waits now is read by ``read_behind``; ``read`` goes on with what comes from now on."""
        end = self._end()
        if end > self._cursor:
            behind = [*self._behind, Span(self._cursor, end)]
            if len(behind) > MAX_BEHIND:
                behind = [Span(behind[0].start, behind[1].end), *behind[2:]]
            self._next = end
            self._move(end, behind)

    def read_behind(self, max_bytes: int) -> list[bytes]:
        """The next batches of what was left behind, the oldest first; empty when nothing is left."""
        while self._behind:
            bodies, self._next_behind = self._read(self._behind[0], max_bytes)
            if bodies:
                return bodies
            self._move(self._cursor, self._behind[1:])
        return []

    def taken_behind(self) -> None:
        """All that ``read_behind`` gave last is in the store."""
        first, *rest = self._behind
        left = [Span(self._next_behind, first.end)] if self._next_behind < first.end else []
        self._move(self._cursor, [*left, *rest])

    def is_behind(self) -> bool:
        """True while something that was left behind is not in the store."""
        return bool(self._behind)

    def waiting_bytes(self) -> int:
        """Bytes on disk that the store does not have yet."""
        with self._changed:
            spans = [*self._behind, Span(self._cursor, self._end())]
        return sum(map(self._files.bytes_in, spans))

    def oldest_ns(self) -> int | None:
        """When the file of the oldest batch that waits was begun, in nanoseconds since 1970 UTC; None when
        nothing waits. A bound: the batch itself may be younger."""
        return self._files.begun_ns(self._first_kept()) if self.waiting_bytes() else None

    def close(self) -> None:
        """Write what waits, then stop. Idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
            self._changed.notify_all()
        self._thread.join()
        self._files.close()

    def _start_after(self, saved: Position) -> Position:
        sizes = self._files.sizes()
        if saved.segment not in sizes:
            return Position(min(sizes, default=0), 0)
        return Position(saved.segment, min(saved.offset, sizes[saved.segment]))

    def _learn_keys(self, sizes: dict[int, int]) -> None:
        """Read each segment whose keys were not saved: remember them, count damage, cut the torn tail."""
        for number in sorted(self._scanned):
            whole = Span(Position(number, 0), Position(number, sizes[number]))
            for _, found in self._files.records(whole):
                if isinstance(found, Record):
                    self._seen.learn(found.key)
                else:
                    self._count_damage(number, found)
                    if found.torn:
                        self._files.cut(number, found.start)
        if self._scanned:
            self._seen.save(max(self._scanned))

    def _count_damage(self, segment: int, found: Damage) -> None:
        self.counts.damaged += 1
        log.warning(
            "journal damaged segment=%d start=%d end=%d torn=%s", segment, found.start, found.end, found.torn
        )

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
            full = self._files.append(data) if data else False
        except (OSError, JournalFull) as error:
            self.counts.refused += len(group)
            log.warning("journal refuses batches=%d reason=%s", len(group), error)
            for each in group:
                each.done.set_exception(JournalFull(str(error)))
            return
        self._seen.add(each.key for each in fresh if each.key is not None)
        self.counts.syncs += bool(data)
        self.counts.appended += len(fresh)
        self.counts.duplicates += len(repeated)
        for each in fresh:
            each.done.set_result(True)
        for each in repeated:
            each.done.set_result(False)
        if full:
            self._files.close()
            self._seen.save(self._files.number)

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

    def _reading_ahead(self) -> bool:
        return self._end() > self._cursor

    def _end(self) -> Position:
        return self._files.end(self._cursor)

    def _first_kept(self) -> int:
        return min([self._cursor, *(span.start for span in self._behind)]).segment

    def _read(self, span: Span, max_bytes: int) -> tuple[list[bytes], Position]:
        """Batches from the start of a span, and where to go on."""
        bodies: list[bytes] = []
        total = 0
        for record, position in self._records_in(span):
            bodies.append(record.body)
            total += len(record.body)
            if total >= max_bytes:
                return bodies, position
        return bodies, span.end

    def _records_in(self, span: Span) -> Iterator[tuple[Record, Position]]:
        for number, found in self._files.records(span):
            if isinstance(found, Record):
                yield found, Position(number, found.end)
            elif number not in self._scanned:  # else it was counted when the journal was opened
                self._count_damage(number, found)

    def _move(self, cursor: Position, behind: list[Span]) -> None:
        with self._changed:
            self._cursor, self._behind = cursor, behind
        finished = [number for number in self._files.sizes() if number < self._first_kept()]
        save(self._folder / _CURSOR_FILE, msgspec.msgpack.encode((cursor, behind)), durable=False)
        if finished:
            self._drop(finished)

    def _drop(self, finished: list[int]) -> None:
        """Delete segments; what they taught about sequence numbers is saved first."""
        self._seen.save(max(finished))
        self._files.drop(finished)


def _key_bytes(key: BatchKey | None) -> bytes:
    return b"" if key is None else msgspec.msgpack.encode(key)


def _load_cursor(path: Path) -> tuple[Position, list[Span]]:
    try:
        cursor, behind = msgspec.msgpack.decode(path.read_bytes(), type=_SAVED)
    except (OSError, msgspec.DecodeError):
        return Position(0, 0), []
    return Position(*cursor), [Span(Position(*start), Position(*end)) for start, end in behind]
