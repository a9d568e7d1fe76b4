"""How good things were before: what «worse than before» is told by. Kept in the registry's database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.incidents.model import Key, Kind
from collector.incidents.tables import BaselineRow

IPV6_LEVEL = "ipv6_level"
COMPARED: tuple[Kind, ...] = ("ipv6_fell", "port_slower")
"""Kinds that compare with what was before; what is now may be accepted as their new normal."""


class Place(NamedTuple):
    """What is compared: a school's IPv6 level, or the speed of one of its ports («port/NAME»)."""

    school_id: str
    name: str


Baselines: TypeAlias = dict[Place, int]


def place_of(key: Key) -> Place:
    """What an incident of a compared kind is compared by."""
    return Place(key.school_id, IPV6_LEVEL if key.kind == "ipv6_fell" else key.subject)


def key_of(place: Place) -> Key:
    """The incident that something worse than this is."""
    if place.name == IPV6_LEVEL:
        return Key("ipv6_fell", place.school_id, "school")
    return Key("port_slower", place.school_id, place.name)


def read(connection: Connection, since: datetime | None = None) -> Baselines:
    """All baselines, or those that were written since."""
    chosen = sa.select(BaselineRow.school_id, BaselineRow.name, BaselineRow.value)
    if since is not None:
        chosen = chosen.where(BaselineRow.at >= since)
    return {Place(row.school_id, row.name): row.value for row in connection.execute(chosen)}


def put(connection: Connection, baselines: Mapping[Place, int], now: datetime) -> None:
    """Keep these, in the place of those before."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(BaselineRow)
    changed = {"value": insert.excluded.value, "at": insert.excluded.at}
    rows = [{**place._asdict(), "value": value, "at": now} for place, value in baselines.items()]
    if rows:
        connection.execute(
            insert.on_conflict_do_update(index_elements=["school_id", "name"], set_=changed), rows
        )
