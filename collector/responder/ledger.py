"""What was granted, ordered, suppressed and noticed: in the registry's database, one for all collectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.registry import Registry
from collector.registry.tables import UtcTime
from collector.responder.needs import Trigger
from collector.responder.slots import Reserved, Suppression
from collector.responder.tables import (
    CapacityOrderRow,
    CapacityPortRow,
    CapacityTestRow,
    CapacityTriggerRow,
    SuppressionRow,
)

KEPT = timedelta(days=400)
"""Of tests, orders and suppressions that are over."""
UNBEGUN_KEPT = timedelta(days=2)
"""Of tests that never began."""
SECTION = 7823642
"""PostgreSQL's advisory lock under which tests are granted; 7823641 is that of the migrations."""

RESERVED = "reserved"
"""``bytes`` are set aside, and its responder would have told that it began."""
BEGUN = "begun"
"""They are set aside, and may be moving."""
SETTLED = "settled"
"""So many were moved."""

# built once: agents ask often, and building takes longer than the database's answer
_SUPPRESSIONS = (
    sa.select(SuppressionRow.starts, SuppressionRow.ends, SuppressionRow.why, SuppressionRow.school_id)
    .where(SuppressionRow.school_id.in_((sa.literal(""), sa.bindparam("school"))))
    .where(SuppressionRow.ends > sa.bindparam("now", type_=UtcTime()))
    .order_by(SuppressionRow.id)
)
_ORDERS = (
    sa.select(*(getattr(CapacityOrderRow, name) for name in ("id", "line", "forced", "at", "tests_left")))
    .where(CapacityOrderRow.school_id == sa.bindparam("school"), CapacityOrderRow.tests_left > 0)
    .where(CapacityOrderRow.at >= sa.bindparam("since", type_=UtcTime()))
    .order_by(CapacityOrderRow.id)
)
_TRIGGERS = (
    sa.select(CapacityTriggerRow.line, CapacityTriggerRow.at, CapacityTriggerRow.why)
    .where(CapacityTriggerRow.school_id == sa.bindparam("school"))
    .order_by(CapacityTriggerRow.line)
)


Also = Callable[[Connection], object]


def _nothing(_: Connection) -> None:
    pass


class GrantedTest(msgspec.Struct, frozen=True):
    """One test as it was granted. ``bits_per_second`` is what it takes of its responder's line."""

    id: str
    school: str
    line: str
    responder: str
    direction: str
    family: str
    mode: str
    bits_per_second: int
    bytes: int
    granted_at: datetime
    until: datetime


class Order(msgspec.Struct, frozen=True):
    """An admin's «now»: how many tests of it are still to be granted."""

    id: int
    line: str
    forced: bool
    at: datetime
    left: int


class Standing(msgspec.Struct, frozen=True):
    """What holds for one school now: suppressions (those of all schools too), open orders, triggers."""

    suppressions: Sequence[Suppression]
    orders: Sequence[Order]
    triggers: Sequence[Trigger]


class Decision:
    """What is read here still holds when it is written: no other collector decides meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def drop_unused(self, now: datetime) -> None:
        """Tickets that are over and that their responder never saw moved nothing."""
        unused = (CapacityTestRow.until <= now, CapacityTestRow.state == RESERVED)
        self._connection.execute(sa.update(CapacityTestRow).where(*unused).values(state=SETTLED, bytes=0))

    def reserved(self, now: datetime) -> list[Reserved]:
        """Tests that may still run."""
        row = CapacityTestRow
        asked = sa.select(row.school_id, row.responder, row.bits_per_second, row.until)
        return [Reserved(*found) for found in self._connection.execute(asked.where(row.until > now))]

    def bytes_since(self, school: str, start: datetime) -> int:
        """What a school's tests moved, or may still."""
        row = CapacityTestRow
        asked = sa.select(sa.func.coalesce(sa.func.sum(row.bytes), 0))
        found = self._connection.scalar(asked.where(row.school_id == school, row.granted_at >= start))
        return int(found or 0)

    def grant(self, test: GrantedTest, order: Order | None = None, *, heard: bool = False) -> None:
        """Write down a test, and one less of the order that it answers; forget what nobody asks about.

        ``heard``: its responder tells one of the collectors when it begins.
        """
        self._forget(test.school, test.granted_at)
        values = msgspec.structs.asdict(test) | {"state": RESERVED if heard else BEGUN}
        values["school_id"] = values.pop("school")
        self._connection.execute(sa.insert(CapacityTestRow).values(values))
        if order is not None:
            less = sa.update(CapacityOrderRow).where(CapacityOrderRow.id == order.id)
            self._connection.execute(less.values(tests_left=CapacityOrderRow.tests_left - 1))

    def _forget(self, school: str, now: datetime) -> None:
        """Old tests, and sooner those of the school that never began: a gateway may be busy for a year."""
        row = CapacityTestRow
        of_no_use = (row.school_id == school, row.granted_at < now - UNBEGUN_KEPT)
        self._connection.execute(sa.delete(row).where(row.granted_at < now - KEPT))
        self._connection.execute(sa.delete(row).where(*of_no_use, row.state == SETTLED, row.bytes == 0))


class Ledger:
    """The tests of a county, safe to share between threads and between collectors."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @contextmanager
    def deciding(self) -> Iterator[Decision]:
        """One at a time among all collectors. SQLite's writers are one at a time anyway."""
        with self._registry.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SECTION})")
            yield Decision(connection)

    def begun(self, test_id: str) -> None:
        """The responder took its ticket: what it moves is not known until somebody says so."""
        self._change(test_id, CapacityTestRow.state == RESERVED, state=BEGUN)

    def moved(self, test_id: str, moved_bytes: int, now: datetime) -> None:
        """The responder ended it, after so many bytes; its agent may have told of more, which stands."""
        row = CapacityTestRow
        more = sa.and_(row.state == SETTLED, row.bytes > moved_bytes)
        told = sa.case((more, row.bytes), else_=moved_bytes)
        self._change(test_id, state=SETTLED, bytes=told, until=_at_latest(now))

    def over(self, school: str, test_id: str, moved_bytes: int | None, now: datetime) -> None:
        """Its agent says that it is over or never began, after so many bytes (None: it cannot tell).

        What the responder said of the bytes stands.
        """
        row = CapacityTestRow
        values: dict[str, Any] = {"until": _at_latest(now)}
        if moved_bytes is not None:
            told = sa.case((row.state == SETTLED, row.bytes), else_=moved_bytes)
            values |= {"state": SETTLED, "bytes": told}
        self._change(test_id, row.school_id == school, **values)

    def tests_since(self, school: str, start: datetime) -> list[GrantedTest]:
        """A school's tests, the oldest first."""
        row = CapacityTestRow
        columns = [getattr(row, name) for name in GrantedTest.__struct_fields__ if name != "school"]
        asked = sa.select(*columns).where(row.school_id == school, row.granted_at >= start)
        with self._registry.reading() as connection:
            found = connection.execute(asked.order_by(row.granted_at)).mappings().all()
        return [GrantedTest(school=school, **values) for values in found]

    def standing(self, school: str, now: datetime, orders_since: datetime) -> Standing:
        """What holds for a school, all of one moment."""
        with self._registry.reading() as connection:
            return Standing(
                _suppressions(connection, school, now),
                _orders(connection, school, orders_since),
                _triggers(connection, school),
            )

    def order(self, school: str, line: str, at: datetime, *, forced: bool, tests: int) -> None:
        """An admin wants tests of a school (``line`` empty: of every line) now."""
        values = {"school_id": school, "line": line, "forced": forced, "at": at, "tests_left": tests}
        with self._registry.writing() as connection:
            connection.execute(sa.delete(CapacityOrderRow).where(CapacityOrderRow.at < at - KEPT))
            connection.execute(sa.insert(CapacityOrderRow).values(values))

    def notice(self, school: str, trigger: Trigger) -> None:
        """Something asks for a verify of a line at once; what is older than the last that did, does not."""
        values = {"school_id": school, "line": trigger.line, "at": trigger.at, "why": trigger.why}
        with self._registry.writing() as connection:
            insert = _insert(connection, CapacityTriggerRow).values(values)
            new = insert.excluded
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["school_id", "line"],
                    set_={"at": new.at, "why": new.why},
                    where=CapacityTriggerRow.at < new.at,
                )
            )

    def note_port(self, school: str, line: str, bits_per_second: int) -> int | None:
        """The speed that a line's port has now; what it had when any collector last heard, None before."""
        row = CapacityPortRow
        place = (row.school_id == school, row.line == line)
        before = sa.select(row.bits_per_second).where(*place)
        with self._registry.reading() as connection:
            known = connection.scalar(before)
        if known == bits_per_second:
            return known
        with self._registry.writing() as connection:
            known = connection.scalar(before.with_for_update())
            values = {"school_id": school, "line": line, "bits_per_second": bits_per_second}
            insert = _insert(connection, row).values(values)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["school_id", "line"], set_={"bits_per_second": bits_per_second}
                )
            )
        return known

    def suppress(self, suppression: Suppression, also: Also = _nothing) -> None:
        """No tests for a time; of every school when it names none. ``also`` is done in the transaction."""
        rows = [
            {"school_id": school, "starts": suppression.starts, "ends": suppression.ends,
             "why": suppression.why}
            for school in suppression.schools or ("",)
        ]  # fmt: skip
        with self._registry.writing() as connection:
            old = SuppressionRow.ends < suppression.starts - KEPT
            connection.execute(sa.delete(SuppressionRow).where(old))
            connection.execute(sa.insert(SuppressionRow), rows)
            also(connection)

    def suppressions(self, now: datetime) -> list[Suppression]:
        """Those of every school that are not over."""
        row = SuppressionRow
        asked = sa.select(row.starts, row.ends, row.why, row.school_id).where(row.ends > now)
        with self._registry.reading() as connection:
            return [_suppression(each) for each in connection.execute(asked.order_by(row.id))]

    def resume(self, now: datetime, also: Also = _nothing) -> int:
        """End every suppression that holds now or later; how many. ``also`` is done in the transaction."""
        ended = sa.delete(SuppressionRow).where(SuppressionRow.ends > now).returning(SuppressionRow.id)
        with self._registry.writing() as connection:
            also(connection)
            return len(connection.scalars(ended).all())

    def _change(self, test_id: str, *only: sa.ColumnElement[bool], **values: Any) -> None:
        change = sa.update(CapacityTestRow).where(CapacityTestRow.id == test_id, *only)
        with self._registry.writing() as connection:
            connection.execute(change.values(**values))


def _at_latest(now: datetime) -> sa.ColumnElement[datetime]:
    """``until``, or now if that is earlier: the clocks of two collectors may differ."""
    return sa.case((CapacityTestRow.until > now, sa.literal(now, UtcTime())), else_=CapacityTestRow.until)


def _suppressions(connection: Connection, school: str, now: datetime) -> list[Suppression]:
    found = connection.execute(_SUPPRESSIONS, {"school": school, "now": now})
    return [_suppression(row) for row in found]


def _suppression(row: Any) -> Suppression:
    return Suppression(row.starts, row.ends, row.why, (row.school_id,) if row.school_id else ())


def _orders(connection: Connection, school: str, since: datetime) -> list[Order]:
    return [Order(*found) for found in connection.execute(_ORDERS, {"school": school, "since": since})]


def _triggers(connection: Connection, school: str) -> list[Trigger]:
    return [Trigger(*found) for found in connection.execute(_TRIGGERS, {"school": school})]


def _insert(connection: Connection, table: Any) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
