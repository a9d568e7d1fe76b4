"""How records stand in a segment file of the journal, and how what is damaged is passed over.

A record is marker (4 bytes), lengths of key and body, crc32 of lengths, key and body, key, body. The
marker lets a
reader find the next record behind a rotten length. All numbers are little-endian.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MARKER = b"\xf5xtJ"
_FRAME = struct.Struct("<4sIII")
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""What claims to be longer is damage, so that a rotten length costs no memory."""
MAX_BODY_BYTES = MAX_RECORD_BYTES - 4096
"""Beside it stands its key."""


class Record(NamedTuple):
    """One whole record; ``end`` is the offset behind it in its segment."""

    key: bytes
    body: bytes
    end: int


class Damage(NamedTuple):
    """Bytes that are no record. ``torn`` when nothing whole follows: the tail of a write that was cut
    short."""

    start: int
    end: int
    torn: bool


def frame(key: bytes, body: bytes) -> bytes:
    """One record as it stands in a segment."""
    return _FRAME.pack(MARKER, len(key), len(body), _checksum(key, body)) + key + body


def scan(data: bytes | mmap.mmap, start: int = 0) -> Iterator[Record | Damage]:
    """Read records from ``start`` on. Whatever the bytes are, it ends and raises nothing."""
    with memoryview(data) as view:
        position = start
        while position < len(data):
            record = _record_at(view, position)
            if record is not None:
                yield record
                position = record.end
                continue
            resume = _next_record(data, view, position + 1)
            yield Damage(position, resume, torn=resume == len(data))
            position = resume


def _next_record(data: bytes | mmap.mmap, view: memoryview, position: int) -> int:
    while True:
        position = data.find(MARKER, position)
        if position < 0:
            return len(data)
        if _record_at(view, position) is not None:
            return position
        position += 1


def _record_at(view: memoryview, position: int) -> Record | None:
    start = position + _FRAME.size
    if start > len(view):
        return None
    marker, key_length, body_length, checksum = _FRAME.unpack_from(view, position)
    middle = start + key_length
    end = middle + body_length
    if marker != MARKER or key_length + body_length > MAX_RECORD_BYTES or end > len(view):
        return None
    found = zlib.crc32(view[start:end], zlib.crc32(view[position + 4 : position + 12]))
    return Record(bytes(view[start:middle]), bytes(view[middle:end]), end) if found == checksum else None


def _checksum(key: bytes, body: bytes) -> int:
    """Of the two lengths, the key and the body as they stand in a record."""
    return zlib.crc32(body, zlib.crc32(key, zlib.crc32(struct.pack("<II", len(key), len(body)))))
