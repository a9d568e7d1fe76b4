"""What the rooms say of one condition at one look."""

from __future__ import annotations

from datetime import datetime

import msgspec

from collector.incidents.model import Facts, Key


class Seen(msgspec.Struct, frozen=True):
    """Whether a condition holds (None: not known) and since when.

    ``carriers`` are those that could be its cause; ``centre`` tells that the collector's own network is the
    cause by what is known; ``within`` is the key of what it is a consequence of, when that holds too.
    """

    key: Key
    holds: bool | None
    since: datetime
    facts: Facts = Facts()
    carriers: tuple[str, ...] = ()
    centre: bool = False
    within: Key | None = None
