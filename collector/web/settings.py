"""What the pages may use, and how fresh they are."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.units import Bytes, Seconds

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pages for people."""

    map: str = ""
    """GeoJSON with the county's outline and townships, drawn under the schools; empty: only they are."""
    map_bytes: Bytes = Bytes(8 * 1024 * 1024)
    """Of that file; a larger one is refused."""
    rows: Count = 100
    """Schools on one page of the county."""
    refresh: Seconds = Seconds(5)
    """How often the county is looked at again while somebody looks at it, at most; without, once a minute."""
    streams: Count = 200
    """Pages that are told at once when something changed; further ones ask by themselves."""
    keep_alive: Seconds = Seconds(15)
    """How often such a page hears that its connection stands."""
    old_after: Seconds = Seconds(90)
    """From then on the wall says that what it shows is old."""
    turn: Seconds = Seconds(12)
    """How long the wall shows each of its faces."""
