"""The outbox: what is to be told stands in the database until a channel has said that it took it.

A channel belongs to one collector at a time, by a lease in its row: so the order of its messages holds, its
limits are kept by all collectors together, and after a crash at most the one letter on its way is sent again,
under the same key. Work is claimed by row locks (PostgreSQL: SKIP LOCKED; SQLite: one writer at a time).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from collector.access import Who, audit
from collector.messages.channels import Failure, Limit, NotDelivered
from collector.messages.choosing import (
    MOST_LOOKED_AT,
    Batch,
    Waiting,
    chosen,
    lies_ahead,
    recent_uses,
    uses_left,
)
from collector.messages.settings import MessageSettings
from collector.messages.tables import ChannelRow, MessageRow
from collector.registry import Registry

log = logging.getLogger(__name__)

LEAST_LONGEST_WAIT_SECONDS = 3600.0
"""A channel that asks to be left alone for longer is asked again after that, or after the longest retry."""


class Entry(msgspec.Struct, frozen=True):
    """A message to be put in: for whom, when at the earliest, and what it says (JSON)."""

    key: str
    channel: str
    recipient: str
    severity: str
    body: str
    due_at: datetime


NOT_DONE = ("waiting", "sending", "given_up")
"""The states of messages that somebody may have to look at."""


def insert(connection: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Put messages in within the caller's transaction, but for keys that are there. Gives how many."""
    rows = [
        {
            "key": each.key, "channel": each.channel, "recipient": each.recipient, "severity": each.severity,
            "body": each.body, "created_at": now, "due_at": each.due_at, "state": "waiting", "batch": "",
            "alone": False, "tries": 0, "error": "", "done_at": None,
        }
        for each in entries
    ]  # fmt: skip
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    put = dialect.insert(MessageRow).on_conflict_do_nothing(index_elements=["key"])
    # PostgreSQL's driver gives no count of rows for an INSERT
    return sum(len(connection.scalars(put.values(row).returning(MessageRow.key)).all()) for row in rows)


class Outbox:
    """The messages of one collector among several. ``holder`` is its name in the leases."""

    def __init__(self, registry: Registry, settings: MessageSettings, holder: str) -> None:
        self._registry = registry
        self._settings = settings
        self._holder = holder

    def know(self, channels: Sequence[str]) -> None:
        """Make the rows of channels that have none yet."""
        with self._registry.writing() as connection:
            known = set(connection.scalars(sa.select(ChannelRow.name)))
            rows = [
                {"name": name, "holder": "", "failures": 0, "error": "", "used_at": "[]"}
                for name in channels
                if name not in known
            ]
            if rows:
                connection.execute(sa.insert(ChannelRow), rows)

    def put(self, entries: Sequence[Entry], now: datetime) -> int:
        """Put messages in, in a transaction of their own."""
        with self._registry.writing() as connection:
            return insert(connection, entries, now)

    def claim(self, channel: str, limits: Sequence[Limit], now: datetime) -> Batch | None:
        """The next letter of a channel, now on its way; None when there is none, or it is not to be used."""
        if not self._has_work(channel, now):
            return None
        with self._registry.writing() as connection:
            row = connection.execute(
                sa.select(*_columns(ChannelRow))
                .where(ChannelRow.name == channel)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None or not self._is_free(row, now):
                return None
            used = recent_uses(row.used_at, limits, now)
            batch = self._next(connection, channel, uses_left(used, limits, now), now)
            if batch is None:
                return None
            self._mark_sending(connection, channel, batch, [*used, now.timestamp()], now)
            return batch

    def delivered(self, channel: str, batch: Batch, now: datetime, remark: str = "") -> None:
        """The channel took it."""
        with self._registry.writing() as connection:
            self._finish(connection, batch, "sent", remark, now)
            self._release(connection, channel, failures=0, error="", not_before=None, delivered_at=now)

    def failed(self, channel: str, batch: Batch, why: NotDelivered, now: datetime) -> None:
        """The channel did not take it: try again later, or give it up."""
        settings = self._settings
        with self._registry.writing() as connection:
            failures = int(
                connection.scalar(sa.select(ChannelRow.failures).where(ChannelRow.name == channel)) or 0
            )
            if why.failure is Failure.CONTENT:
                self._back_alone(connection, batch, str(why), now)
                wait, failures = float(settings.first_retry), failures + 1
            else:
                self._back(connection, batch, str(why))
                failures += 1
                wait = min(
                    why.wait_seconds or settings.first_retry * 2 ** min(failures - 1, 20),
                    self._longest_wait if why.wait_seconds else settings.longest_retry,
                )
            until = now + timedelta(seconds=wait)
            self._release(connection, channel, failures=failures, error=str(why), not_before=until)

    def give_up_old(self, now: datetime) -> list[Waiting]:
        """Give up what has waited too long, or beyond what a channel may hold; gives these."""
        oldest = now - timedelta(seconds=self._settings.give_up_after)
        late = MessageRow.due_at < oldest
        with self._registry.writing() as connection:
            found = _read(connection, MessageRow.state.in_(("waiting", "sending")), late)
            found += self._too_many(connection, {each.id for each in found})
            for each in found:
                self._end(connection, [each.id], "given_up", each.error or "waited too long", now)
        return found

    def forget_old(self, now: datetime) -> int:
        """Drop what has been done with for longer than it is kept."""
        oldest = now - timedelta(seconds=self._settings.keep)
        with self._registry.writing() as connection:
            done = sa.delete(MessageRow).where(MessageRow.done_at.is_not(None), MessageRow.done_at < oldest)
            return connection.execute(done).rowcount

    def listed(self, states: Sequence[str], most: int = MOST_LOOKED_AT) -> list[Waiting]:
        """Messages in these states, the oldest first."""
        with self._registry.reading() as connection:
            return _read(connection, MessageRow.state.in_(states), most=most)

    def retry(self, ids: Sequence[int], by: Who, now: datetime) -> int:
        """Let messages that were given up or dropped wait again, as from now; gives how many."""
        ended = MessageRow.state.in_(("given_up", "dropped"))
        values = {"state": "waiting", "batch": "", "tries": 0, "due_at": now, "done_at": None}
        with self._registry.writing() as connection:
            return _changed(connection, ids, ended, values, by=by, action="messages.retry", now=now)

    def drop(self, ids: Sequence[int], by: Who, now: datetime) -> int:
        """Send these no more; gives how many."""
        waits = MessageRow.state.in_(("waiting", "sending"))
        values = {"state": "dropped", "done_at": now}
        with self._registry.writing() as connection:
            return _changed(connection, ids, waits, values, by=by, action="messages.drop", now=now)

    def has(self, key: str) -> bool:
        """True when there is or was a message of that key."""
        with self._registry.reading() as connection:
            return connection.scalar(sa.select(MessageRow.id).where(MessageRow.key == key)) is not None

    def _has_work(self, channel: str, now: datetime) -> bool:
        """A look without a lock: most rounds find nothing."""
        with self._registry.reading() as connection:
            work = sa.select(MessageRow.id).where(
                MessageRow.channel == channel,
                MessageRow.state.in_(("waiting", "sending")),
                MessageRow.due_at <= now,
            )
            return connection.scalar(work.limit(1)) is not None

    def _is_free(self, row: Any, now: datetime) -> bool:
        """Nobody holds it, and it is not left alone. What lies too far ahead is of a clock that stepped."""
        lease = timedelta(seconds=self._settings.lease)
        longest = timedelta(seconds=self._longest_wait)
        held = lies_ahead(row.held_until, now, lease)
        return not lies_ahead(row.not_before, now, longest) and not (held and row.holder != self._holder)

    @property
    def _longest_wait(self) -> float:
        return max(self._settings.longest_retry, LEAST_LONGEST_WAIT_SECONDS)

    def _next(self, connection: Connection, channel: str, left: int, now: datetime) -> Batch | None:
        if left <= 0:
            return None
        here = MessageRow.channel == channel
        on_its_way = _read(connection, here, MessageRow.state == "sending")
        if on_its_way:
            key = on_its_way[0].batch
            return Batch(key, tuple(each for each in on_its_way if each.batch == key))
        due = _read(connection, here, MessageRow.state == "waiting", MessageRow.due_at <= now)
        return chosen(due, left) if due else None

    def _mark_sending(
        self, connection: Connection, channel: str, batch: Batch, used: Sequence[float], now: datetime
    ) -> None:
        ids = [each.id for each in batch.messages]
        connection.execute(
            sa.update(MessageRow)
            .where(MessageRow.id.in_(ids))
            .values(state="sending", batch=batch.key, tries=MessageRow.tries + 1)
        )
        connection.execute(
            sa.update(ChannelRow)
            .where(ChannelRow.name == channel)
            .values(
                holder=self._holder,
                held_until=now + timedelta(seconds=self._settings.lease),
                used_at=msgspec.json.encode(list(used)).decode(),
            )
        )

    def _finish(self, connection: Connection, batch: Batch, state: str, remark: str, now: datetime) -> None:
        self._end(connection, [each.id for each in batch.messages], state, remark, now)

    def _end(
        self, connection: Connection, ids: Sequence[int], state: str, remark: str, now: datetime
    ) -> None:
        change = sa.update(MessageRow).where(MessageRow.id.in_(ids), MessageRow.done_at.is_(None))
        connection.execute(change.values(state=state, error=remark, done_at=now))

    def _back(self, connection: Connection, batch: Batch, error: str) -> None:
        """It stays «sending»: the next try is the same letter under the same key, for it may have arrived."""
        ids = [each.id for each in batch.messages]
        connection.execute(sa.update(MessageRow).where(MessageRow.id.in_(ids)).values(error=error))

    def _back_alone(self, connection: Connection, batch: Batch, error: str, now: datetime) -> None:
        """It was refused, so nothing of it arrived: its messages go again one by one, a few times."""
        tries = self._settings.content_tries
        tired = [each.id for each in batch.messages if len(batch.messages) == 1 and each.tries + 1 >= tries]
        self._end(connection, tired, "given_up", error, now)
        others = [each.id for each in batch.messages if each.id not in tired]
        connection.execute(
            sa.update(MessageRow)
            .where(MessageRow.id.in_(others))
            .values(state="waiting", batch="", alone=True, error=error)
        )
        if tired:
            log.error("message given up key=%s tries=%d error=%s", batch.key, tries, error)

    def _release(self, connection: Connection, channel: str, **values: object) -> None:
        connection.execute(
            sa.update(ChannelRow)
            .where(ChannelRow.name == channel, ChannelRow.holder == self._holder)
            .values(holder="", held_until=None, **values)
        )

    def _too_many(self, connection: Connection, gone: set[int]) -> list[Waiting]:
        found: list[Waiting] = []
        counted = sa.select(MessageRow.channel, sa.func.count()).where(MessageRow.state == "waiting")
        for channel, count in connection.execute(counted.group_by(MessageRow.channel)).all():
            if count > self._settings.max_waiting:
                waiting = _read(
                    connection, MessageRow.channel == channel, MessageRow.state == "waiting", most=count
                )
                ranked = sorted(waiting, key=lambda each: (_RANKS.get(each.severity, 1), each.id))
                found += ranked[: count - self._settings.max_waiting]
        return [each for each in found if each.id not in gone]


_RANKS = {"info": 0, "warning": 1, "critical": 2}


def _changed(
    connection: Connection, ids: Sequence[int], state: sa.ColumnElement[bool], values: dict[str, Any], *,
    by: Who, action: str, now: datetime,
) -> int:  # fmt: skip
    """Change those of the messages that are in this state, and write down who did; gives how many."""
    change = sa.update(MessageRow).where(MessageRow.id.in_(ids), state).values(values)
    changed = list(connection.scalars(change.returning(MessageRow.id)))
    for each in changed:
        audit.record(connection, by, action, str(each), at=now)
    return len(changed)


def _columns(table: type[MessageRow] | type[ChannelRow]) -> list[sa.Column[object]]:
    return list(table.__table__.columns)  # type: ignore[arg-type]


def _read(
    connection: Connection, *conditions: sa.ColumnElement[bool], most: int = MOST_LOOKED_AT
) -> list[Waiting]:
    columns = [getattr(MessageRow, name) for name in Waiting.__struct_fields__]
    rows = connection.execute(sa.select(*columns).where(*conditions).order_by(MessageRow.id).limit(most))
    return [Waiting(*row) for row in rows]
