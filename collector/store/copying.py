"""The embedded store, with a copy of every raw point sent to an InfluxDB that is never asked: experimental.

InfluxDB 3 Core limits a query to 432 files: it can take the points of a county, not answer its pages.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from collector.batch import Batch
from collector.store.embedded import EmbeddedStore
from collector.store.influxdb.lines import Lines
from collector.store.interface import PointsRefused
from config.measurements import schema

if TYPE_CHECKING:
    from collector.store.influxdb.connection import Connection


log = logging.getLogger(__name__)


class CopyingStore:
    """A ``Store``: reads are the embedded one's; writes go to the copy first: nothing is left out of it but
    what it will never take.
    """

    def __init__(self, embedded: EmbeddedStore, copy: Connection, bucket: str) -> None:
        self._embedded = embedded
        self._copy = copy
        self._bucket = bucket
        self._lines = Lines(schema())

    def write(self, batches: Sequence[Batch]) -> None:
        """See Store.write."""
        lines = (
            line
            for batch in batches
            for other in (False, True)
            for line in self._lines.of(batch, other=other)
        )
        try:
            self._copy.write(self._bucket, lines)
        except PointsRefused as refusal:
            log.warning("the copy lacks points that it refuses reason=%s", refusal)
        self._embedded.write(batches)

    def close(self) -> None:
        """See Store.close."""
        self._copy.close()
        self._embedded.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the embedded store's."""
        return getattr(self._embedded, name)
