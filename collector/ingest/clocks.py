"""What an agent's clocks were worth: true time is told by its monotonic clock, never by its wall clock.

Source: ARCHITECTURE.md, «Wire». An anchor is the collector's time when a boot's monotonic clock stood at 0.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

TOLERANCE_NS = 2 * 10**9
MAX_BOOTS = 100_000
OLD_NS = 120 * 10**9
"""A batch that was in its agent's spool for longer is of a backlog."""


class HeaderError(ValueError):
    """A header that is there and cannot be read."""


class Clocks(msgspec.Struct, frozen=True):
    """Both clocks of a host at one moment."""

    boot_id: str
    wall_ns: int
    monotonic_ns: int


class PushHeaders(msgspec.Struct, frozen=True):
    """What our agent says about a batch beside the lines."""

    sequence: int | None = None
    spool_id: str = ""
    sent: Clocks | None = None
    recorded: Clocks | None = None

    @property
    def is_old(self) -> bool:
        """It is of a backlog: long in the spool by the monotonic clock, or of another boot."""
        if self.sent is None or self.recorded is None:
            return False
        waited_ns = self.sent.monotonic_ns - self.recorded.monotonic_ns
        return self.sent.boot_id != self.recorded.boot_id or waited_ns > OLD_NS


class ClockBook:
    """Remembers, for each boot of each agent, where its monotonic clock stands in the collector's time."""

    def __init__(self, file: Path | None = None) -> None:
        """``file`` keeps what was learned over a restart: a batch may be of a boot that is long over."""
        self._file = file
        self._anchors: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = threading.Lock()
        if file is not None:
            self._anchors.update(_read(file))

    def learn(self, agent_id: str, sent: Clocks, received_ns: int) -> None:
        """Take the clocks that a push or a heartbeat brought."""
        key = (agent_id, sent.boot_id)
        with self._lock:
            self._anchors[key] = received_ns - sent.monotonic_ns
            self._anchors.move_to_end(key)
            while len(self._anchors) > MAX_BOOTS:
                self._anchors.popitem(last=False)

    def save(self) -> None:
        """Write the file. One that cannot be written is told, not raised."""
        if self._file is None:
            return
        with self._lock:
            data = msgspec.msgpack.encode(list(self._anchors.items()))
        new = self._file.with_suffix(".new")
        try:
            new.write_bytes(data)
            new.replace(self._file)
        except OSError as error:
            log.warning("clocks not saved file=%s reason=%s", self._file, error)

    def correction_ns(self, agent_id: str, recorded: Clocks | None) -> int:
        """What to add to the times of a batch; 0 within the tolerance, and for a boot never heard of."""
        if recorded is None:
            return 0
        with self._lock:
            anchor = self._anchors.get((agent_id, recorded.boot_id))
        if anchor is None:
            return 0
        difference = anchor + recorded.monotonic_ns - recorded.wall_ns
        return difference if abs(difference) > TOLERANCE_NS else 0


def _read(file: Path) -> list[tuple[tuple[str, str], int]]:
    """What was saved; nothing of a file that is not there or is damaged."""
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=list[tuple[tuple[str, str], int]])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        log.warning("clocks forgotten file=%s reason=%s", file, error)
        return []


def read_headers(headers: Mapping[str, str]) -> PushHeaders:
    """The X-Xiaotong headers of a request. Raises HeaderError."""
    sequence = _integer(headers, "x-xiaotong-sequence")
    return PushHeaders(
        sequence=sequence,
        spool_id=_text(headers, "x-xiaotong-spool-id") or "",
        sent=_clocks(headers, "x-xiaotong-"),
        recorded=_clocks(headers, "x-xiaotong-recorded-"),
    )


def _clocks(headers: Mapping[str, str], prefix: str) -> Clocks | None:
    boot_id = _text(headers, f"{prefix}boot-id")
    wall_ns = _integer(headers, f"{prefix}wall-ns")
    monotonic_ns = _integer(headers, f"{prefix}monotonic-ns")
    if not boot_id or wall_ns is None or monotonic_ns is None:
        return None
    return Clocks(boot_id, wall_ns, monotonic_ns)


def _text(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    if value is not None and not (0 < len(value) <= 64 and value.isascii() and value.isprintable()):
        raise HeaderError(f"{name}: 1 to 64 printable ASCII characters are allowed")
    return value


def _integer(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 19):
        raise HeaderError(f"{name}: a whole number of at most 19 digits is allowed")
    return int(value)
