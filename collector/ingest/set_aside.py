"""Points that were not taken: counted by reason, and kept in a bounded file so that a person can look
at them."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

log = logging.getLogger(__name__)

MAX_KEPT_CHARACTERS = 500


class Reason(enum.Enum):
    """Why a point was set aside."""

    SYNTAX = "syntax"
    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    SERIES_CAP = "series_cap"
    UNDECLARED = "undeclared"
    MISFIT = "misfit"
    STORE = "store"


class Refused(NamedTuple):
    """One line that was not taken; ``number`` counts from 1."""

    number: int
    reason: Reason
    detail: str
    text: str


class SetAside:
    """Counts by reason, and the newest refused lines as JSON lines in ``file`` and one older file
    beside it."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, Reason]] = Counter()
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, agent_id: str, refused: list[Refused]) -> None:
        """Count and keep refused lines of one batch. A file that cannot be written is told, not raised."""
        if not refused:
            return
        told = _told(agent_id, refused, self._max_bytes)
        with self._lock:
            self._counts.update((agent_id, each.reason) for each in refused)
            try:
                self._append(told)
            except OSError as error:
                log.warning(
                    "set aside but not kept agent=%s lines=%d reason=%s", agent_id, len(refused), error
                )

    def counts(self) -> dict[Reason, int]:
        """Points set aside since the collector started, by reason."""
        with self._lock:
            total: Counter[Reason] = Counter()
            for (_, reason), count in self._counts.items():
                total[reason] += count
            return dict(total)

    def counts_of(self, agent_id: str) -> dict[Reason, int]:
        """The same of one agent."""
        with self._lock:
            return {reason: count for (agent, reason), count in self._counts.items() if agent == agent_id}

    def _append(self, data: bytes) -> None:
        if self._file.exists() and self._file.stat().st_size + len(data) > self._max_bytes:
            self._file.replace(self._file.with_suffix(".old"))
        with self._file.open("ab") as file:
            file.write(data)


def _told(agent_id: str, refused: Iterable[Refused], max_bytes: int) -> bytes:
    """The first refused lines as JSON lines, whole ones, as many as a file may hold."""
    told = bytearray()
    for line in (_as_json(agent_id, each) for each in refused):
        if len(told) + len(line) > max_bytes:
            break
        told += line
    return bytes(told)


def _as_json(agent_id: str, refused: Refused) -> bytes:
    return (
        msgspec.json.encode(
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "agent": agent_id,
                "line": refused.number,
                "reason": refused.reason.value,
                "detail": refused.detail,
                "text": refused.text[:MAX_KEPT_CHARACTERS],
            }
        )
        + b"\n"
    )
