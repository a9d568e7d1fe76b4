"""Which batches were taken before: the sequence numbers seen of each spool, as ranges."""

from __future__ import annotations

import bisect
from collections import OrderedDict

import msgspec

MAX_SPOOLS = 50_000
MAX_RANGES = 1_000


class BatchKey(msgspec.Struct, frozen=True, array_like=True):
    """What names a batch for ever: the agent, its spool file, the number in it."""

    agent_id: str
    spool_id: str
    sequence: int


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


def _join(ranges: list[list[int]], place: int) -> None:
    """Make one of a range and the next when they touch."""
    if 0 <= place < len(ranges) - 1 and ranges[place][1] + 1 == ranges[place + 1][0]:
        ranges[place][1] = ranges[place + 1][1]
        del ranges[place + 1]
