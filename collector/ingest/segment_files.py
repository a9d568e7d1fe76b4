"""The journal's files on disk: numbered segments, appended to by one thread and read by another."""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from collector.ingest.segments import Damage, Record, scan
from config.disk import sync_directory

log = logging.getLogger(__name__)


class JournalFull(Exception):
    """The batch was not taken: the journal's bound is reached, or the disk is nearly full or fails."""


class Position(NamedTuple):
    """A place in the journal: the segment's number and the offset in it."""

    segment: int
    offset: int


class Span(NamedTuple):
    """From one place in the journal to before another."""

    start: Position
    end: Position


class SegmentFiles:
    """The segments in a folder. ``changed`` guards their sizes and is notified when one grows."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int, reserve_bytes: int) -> None:
        self.changed = threading.Condition()
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        found = {int(path.stem): path.stat() for path in folder.glob("*.journal") if path.stem.isdecimal()}
        self._sizes = {number: status.st_size for number, status in found.items()}
        self._begun = {number: status.st_mtime_ns for number, status in found.items()}  # it is older
        self.number = max(self._sizes, default=0)
        """Of the segment that is written, or was written last."""
        self._file = -1

    def sizes(self) -> dict[int, int]:
        """Bytes by segment."""
        with self.changed:
            return dict(self._sizes)

    def begun_ns(self, number: int) -> int | None:
        """When a segment was begun, at the latest, in nanoseconds since 1970 UTC."""
        with self.changed:
            return self._begun.get(number)

    def end(self, after: Position) -> Position:
        """Behind the last record on disk, or ``after`` when that is later."""
        with self.changed:
            return max([after, *(Position(*item) for item in self._sizes.items() if item[1])])

    def bytes_in(self, span: Span) -> int:
        """How many bytes of records lie in a span."""
        with self.changed:
            return sum(
                max(0, end - start)
                for number, size in self._sizes.items()
                for start, end in _part(span, number, size)
            )

    def records(self, span: Span) -> Iterator[tuple[int, Record | Damage]]:
        """What stands in a span, each with its segment's number."""
        for number, size in sorted(self.sizes().items()):
            for start, end in _part(span, number, size):
                for found in _scan_file(self._path(number), start, end):
                    yield number, found

    def begin(self, number: int) -> None:
        """Write to a new segment from now on."""
        self.close()
        self.number = number
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path(number), flags, 0o600)
        sync_directory(self._folder)
        with self.changed:
            self._sizes[number] = 0
            self._begun[number] = time.time_ns()

    def append(self, data: bytes) -> bool:
        """Append and sync; True when the segment is full now. Raises OSError or JournalFull, and then nothing
        of ``data`` stays.
        """
        self._need_room(len(data))
        if self._file < 0:
            self.begin(self.number + 1)
        size = self._sizes[self.number]
        try:
            _write_all(self._file, data)
            os.fdatasync(self._file)
        except OSError:
            self._abandon(size)
            raise
        with self.changed:
            self._sizes[self.number] = size + len(data)
            self.changed.notify_all()
        return size + len(data) >= self._segment_bytes

    def cut(self, number: int, size: int) -> None:
        """Cut what is behind ``size``: the tail of a write that was cut short."""
        os.truncate(self._path(number), size)
        with self.changed:
            self._sizes[number] = size

    def drop(self, numbers: Iterable[int]) -> None:
        """Delete segments."""
        for number in numbers:
            self._path(number).unlink(missing_ok=True)
            with self.changed:
                del self._sizes[number]
                self._begun.pop(number, None)

    def close(self) -> None:
        """Close the segment that is written; the next ``append`` begins another."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _need_room(self, length: int) -> None:
        total = sum(self.sizes().values())
        if total + length > self._max_bytes:
            raise JournalFull(f"the journal holds {total} of the {self._max_bytes} bytes allowed")
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + length:
            raise JournalFull("the disk is nearly full")

    def _abandon(self, size: int) -> None:
        """After a failed write: cut what was not acknowledged, go on in a new file."""
        try:
            os.ftruncate(self._file, size)
        finally:
            self.close()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.journal"


def save(path: Path, data: bytes, *, durable: bool) -> None:
    """Put ``data`` in place of a file in one step. A full disk must not keep the journal from shrinking: it
    is told, not raised.
    """
    new = path.with_suffix(".new")
    try:
        with new.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        log.warning("journal cannot save file=%s reason=%s", path.name, error)


def _part(span: Span, number: int, size: int) -> Iterator[tuple[int, int]]:
    """The offsets of a segment's part in a span; none when it lies outside."""
    if span.start.segment <= number <= span.end.segment:
        start = span.start.offset if number == span.start.segment else 0
        yield start, span.end.offset if number == span.end.segment else size


def _scan_file(path: Path, start: int, end: int) -> Iterator[Record | Damage]:
    if start >= end:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as data:
        yield from scan(data, start)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
