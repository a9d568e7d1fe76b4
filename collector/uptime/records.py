"""Where the uptime room writes: minutes by day, outages with corrections, its own runs, maintenance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.registry import Registry
from collector.uptime.causes import Cause
from collector.uptime.history import Change, Correction, Outage
from collector.uptime.minutes import pack, unpack
from collector.uptime.tables import CollectorRunRow, CorrectionRow, DayRow, MaintenanceRow, OutageRow

Days = dict[int, bytes]
"""A subject's minutes by UTC day."""


class Maintenance(msgspec.Struct, frozen=True):
    """Announced maintenance; ``school_id`` None is every school."""

    school_id: str | None
    starts_at: datetime
    ends_at: datetime
    why: str
    announced_at: datetime
    id: int | None = None


class Records:
    """The uptime room's tables in the registry's database."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def days(self, school_id: str, first_day: int, last_day: int) -> dict[str, Days]:
        """The minutes of a school's subjects, by subject and day, both days included."""
        return self.days_of_all(first_day, last_day, [school_id]).get(school_id, {})

    def days_of_all(
        self,
        first_day: int,
        last_day: int,
        school_ids: Sequence[str] | None = None,
        subject: str | None = None,
    ) -> dict[str, dict[str, Days]]:
        """The same of many schools, by school; of one subject when it is named."""
        table = DayRow.__table__
        chosen = sa.select(table.c.school_id, table.c.subject, table.c.day, table.c.minutes).where(
            table.c.day.between(first_day, last_day)
        )
        if school_ids is not None:
            chosen = chosen.where(table.c.school_id.in_(school_ids))
        if subject is not None:
            chosen = chosen.where(table.c.subject == subject)
        found: dict[str, dict[str, Days]] = defaultdict(lambda: defaultdict(dict))
        with self._registry.reading() as connection:
            for school_id, which, day, packed in connection.execute(chosen):
                found[school_id][which][day] = unpack(packed)
        return found

    def put_days(self, changed: Mapping[tuple[str, str, int], bytes]) -> None:
        """Write whole days, by school, subject and day, in that order, as every collector does."""
        if not changed:
            return
        rows = [
            {"school_id": school_id, "subject": subject, "day": day, "minutes": pack(codes)}
            for (school_id, subject, day), codes in sorted(changed.items())
        ]
        with self._registry.writing() as connection:
            insert = _insert(connection, DayRow)
            same_place = ["day", "school_id", "subject"]
            upsert = insert.on_conflict_do_update(
                index_elements=same_place, set_={"minutes": insert.excluded.minutes}
            )
            connection.execute(upsert, rows)

    def outages(
        self,
        start: datetime,
        end: datetime,
        *,
        school_ids: Sequence[str] | None = None,
        subject: str | None = None,
        withdrawn: bool = False,
    ) -> list[Outage]:
        """Outages that share a moment with [start, end), by start; those withdrawn only when asked for."""
        table = OutageRow
        until = sa.func.coalesce(table.ended_at, sa.literal(end, table.__table__.c.ended_at.type))
        wanted = [table.started_at < end, sa.or_(table.ended_at.is_(None), until > start)]
        if school_ids is not None:
            wanted.append(table.school_id.in_(school_ids))
        if subject is not None:
            wanted.append(table.subject == subject)
        if not withdrawn:
            wanted.append(table.withdrawn_at.is_(None))
        chosen = sa.select(table.__table__).where(*wanted).order_by(table.started_at, table.id)
        with self._registry.reading() as connection:
            return [_outage(row) for row in connection.execute(chosen)]

    def write(self, changed: Iterable[Change]) -> list[Outage]:
        """Write outages and their corrections together; gives them with their ids."""
        found = []
        with self._registry.writing() as connection:
            for change in changed:
                outage = _put_outage(connection, change.outage)
                found.append(outage)
                for correction in change.corrections:
                    values = {**msgspec.structs.asdict(correction), "outage_id": outage.id}
                    connection.execute(sa.insert(CorrectionRow).values(values))
        return found

    def corrections(self, outage_ids: Sequence[int]) -> dict[int, list[Correction]]:
        """The corrections of outages, the oldest first."""
        found: dict[int, list[Correction]] = defaultdict(list)
        chosen = sa.select(CorrectionRow.__table__).order_by(CorrectionRow.id)
        with self._registry.reading() as connection:
            for row in connection.execute(chosen.where(CorrectionRow.outage_id.in_(outage_ids))):
                found[row.outage_id].append(Correction(row.at, row.what, row.was, row.became, row.why))
        return found

    def begin_run(self, now: datetime) -> int:
        """Write that a collector started; gives the run's number."""
        with self._registry.writing() as connection:
            values = {"started_at": now, "seen_at": now}
            return _inserted(connection, CollectorRunRow, values)

    def see_run(self, run: int, now: datetime) -> None:
        """Write that it still runs."""
        with self._registry.writing() as connection:
            connection.execute(
                sa.update(CollectorRunRow).where(CollectorRunRow.id == run).values(seen_at=now)
            )

    def runs(self, since: datetime) -> list[tuple[datetime, datetime]]:
        """When collectors ran, from the last run that ended before ``since`` on, by start."""
        table = CollectorRunRow
        before = sa.select(sa.func.max(table.seen_at)).where(table.seen_at < since).scalar_subquery()
        chosen = sa.select(table.started_at, table.seen_at).where(
            sa.or_(table.seen_at >= since, table.seen_at == before)
        )
        with self._registry.reading() as connection:
            rows = connection.execute(chosen.order_by(table.started_at))
            return [(row.started_at, row.seen_at) for row in rows]

    def announce(
        self, maintenance: Maintenance, also: Callable[[Connection], None] = lambda _connection: None
    ) -> int:
        """Write an announced maintenance, and do ``also`` in the same transaction; gives its number."""
        values = msgspec.structs.asdict(maintenance)
        del values["id"]
        with self._registry.writing() as connection:
            also(connection)
            return _inserted(connection, MaintenanceRow, values)

    def maintenances(self, start: datetime, end: datetime) -> list[Maintenance]:
        """Announced maintenance of any school that shares a moment with [start, end)."""
        table = MaintenanceRow
        chosen = sa.select(table.__table__).where(table.starts_at < end, table.ends_at > start)
        with self._registry.reading() as connection:
            rows = connection.execute(chosen.order_by(table.starts_at))
            return [
                Maintenance(r.school_id, r.starts_at, r.ends_at, r.why, r.announced_at, r.id) for r in rows
            ]


def _insert(connection: Connection, table: Any) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _inserted(connection: Connection, table: Any, values: Mapping[str, Any]) -> int:
    return int(connection.scalars(sa.insert(table).values(values).returning(table.id)).one())


def _put_outage(connection: Connection, outage: Outage) -> Outage:
    values = {**msgspec.structs.asdict(outage), "cause": outage.cause.value}
    del values["id"]
    if outage.id is None:
        return msgspec.structs.replace(outage, id=_inserted(connection, OutageRow, values))
    connection.execute(sa.update(OutageRow).where(OutageRow.id == outage.id).values(values))
    return outage


def _outage(row: sa.Row[Any]) -> Outage:
    return Outage(
        row.school_id, row.subject, row.started_at, row.ended_at, row.down_until, row.state, Cause(row.cause),
        row.why, row.live, row.id, row.recorded_at, row.withdrawn_at,
    )  # fmt: skip
