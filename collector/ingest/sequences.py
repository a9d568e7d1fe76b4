"""Which batches were taken before: the sequence numbers seen of each spool, as ranges."""

from __future__ import annotations

import bisect
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from collector.ingest.segment_files import save

log = logging.getLogger(__name__)

MAX_SPOOLS = 50_000
MAX_RANGES = 1_000


class BatchKey(msgspec.Struct, frozen=True, array_like=True):
    """What names a batch for ever: the agent, its spool file, the number in it."""

    agent_id: str
    spool_id: str
    sequence: int


_decode_key = msgspec.msgpack.Decoder(BatchKey).decode


class SeenSequences:
    """A bounded set of BatchKeys. The least recent spool, and a spool's lowest ranges, are forgotten first;
    what is forgotten is still one point in the store, by its identity.
    """

    def __init__(self) -> None:
        self._spools: OrderedDict[tuple[str, str], list[list[int]]] = OrderedDict()

    def __contains__(self, key: BatchKey) -> bool:
        ranges = self._spools.get((key.agent_id, key.spool_id), [])
        place = bisect.bisect_right(ranges, [key.sequence, 2**64]) - 1
        return place >= 0 and key.sequence <= ranges[place][1]

    def add(self, key: BatchKey) -> None:
        """Remember a batch."""
        spool = (key.agent_id, key.spool_id)
        ranges = self._spools.setdefault(spool, [])
        self._spools.move_to_end(spool)
        if ranges and ranges[-1][1] + 1 == key.sequence:
            ranges[-1][1] = key.sequence
            return
        if key in self:
            return
        place = bisect.bisect_right(ranges, [key.sequence, 2**64])
        ranges.insert(place, [key.sequence, key.sequence])
        _join(ranges, place)
        _join(ranges, place - 1)
        del ranges[:-MAX_RANGES]
        while len(self._spools) > MAX_SPOOLS:
            self._spools.popitem(last=False)

    def dump(self) -> bytes:
        """All of it as bytes, for ``load``."""
        return msgspec.msgpack.encode(list(self._spools.items()))

    @classmethod
    def load(cls, data: bytes) -> SeenSequences:
        """The reverse of dump. Raises msgspec.DecodeError."""
        seen = cls()
        items = msgspec.msgpack.decode(data, type=list[tuple[tuple[str, str], list[list[int]]]])
        seen._spools.update(items)
        return seen


class SavedSequences:
    """The batches taken, in a file: ``known_to`` is the last segment of the journal whose keys are all in it.

    Safe to use from any thread.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seen, self.known_to = _load(file)

    def __contains__(self, key: BatchKey) -> bool:
        with self._lock:
            return key in self._seen

    def add(self, keys: Iterable[BatchKey]) -> None:
        """Remember batches."""
        with self._lock:
            for key in keys:
                self._seen.add(key)

    def learn(self, key: bytes) -> None:
        """Remember the batch of a record, if it has a key."""
        if not key:
            return
        try:
            self.add([_decode_key(key)])
        except msgspec.DecodeError:
            log.warning("journal key unreadable bytes=%d", len(key))

    def save(self, known_to: int) -> None:
        """Keep the keys of all segments up to ``known_to``: none of these is read at the start."""
        with self._lock:
            known_to = self.known_to = max(self.known_to, known_to)
            save(self._file, msgspec.msgpack.encode((known_to, self._seen.dump())), durable=True)


def _load(file: Path) -> tuple[SeenSequences, int]:
    try:
        known_to, seen = msgspec.msgpack.decode(file.read_bytes(), type=tuple[int, bytes])
        return SeenSequences.load(seen), known_to
    except FileNotFoundError:
        return SeenSequences(), -1
    except (OSError, msgspec.DecodeError) as error:
        log.warning("journal forgets old sequence numbers file=%s reason=%s", file, error)
        return SeenSequences(), -1


def _join(ranges: list[list[int]], place: int) -> None:
    """Make one of a range and the next when they touch."""
    if 0 <= place < len(ranges) - 1 and ranges[place][1] + 1 == ranges[place + 1][0]:
        ranges[place][1] = ranges[place + 1][1]
        del ranges[place + 1]
