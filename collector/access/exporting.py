"""The log of who did what as CSV. Texts that a spreadsheet would run stand behind an apostrophe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from collector.access.audit import Entry

FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("id", "at", "who", "via", "address", "action", "subject", "detail")


def csv_of(entries: Iterable[Entry]) -> Iterator[str]:
    """Its lines, a heading first."""
    yield _line(COLUMNS)
    for entry in entries:
        values = (entry.who, entry.via, entry.address, entry.action, entry.subject, detail_of(entry))
        yield _line((str(entry.id), entry.at.isoformat(), *values))


def detail_of(entry: Entry) -> str:
    """What changed, as JSON; empty where nothing more is to be said."""
    return msgspec.json.encode(entry.detail).decode("utf-8") if entry.detail else ""


def _line(values: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([f"'{text}" if text.startswith(FORMULA) else text for text in values])
    return out.getvalue()
