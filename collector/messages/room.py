"""The messages room: takes what happened to incidents into the outbox, and sends what it holds."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.incidents.book import IncidentBook
from collector.incidents.model import Change, Incident
from collector.messages.bodies import Body
from collector.messages.channels import Channel, Letter, NotDelivered
from collector.messages.channels.alertmanager import Alertmanager
from collector.messages.channels.opening import open_channels
from collector.messages.choosing import Batch
from collector.messages.digest import digest_entry, digest_of, digests_due
from collector.messages.outbox import Outbox, insert
from collector.messages.rendering import Reader, incident_letter, letter_of
from collector.messages.routing import entries_of
from collector.messages.sender import Sender
from collector.messages.settings import MessageSettings, channel_names
from collector.messages.tables import ChannelRow, MessageRow
from collector.registry import Registry
from collector.verdicts.ticker import Ticker
from config.clock import Clock, SystemClock

log = logging.getLogger(__name__)

UPKEEP_EVERY = timedelta(minutes=1)
TICK_SECONDS = 10.0


class MessageRoom:
    """Safe to share between threads; collectors may share its database."""

    def __init__(
        self,
        registry: Registry,
        settings: MessageSettings,
        zone: tzinfo,
        *,
        public_url: str = "",
        clock: Clock | None = None,
    ) -> None:
        """Raises SettingsError where a channel's secret cannot be read."""
        self.settings = settings
        self._registry, self._zone, self._public_url = registry, zone, public_url
        self._clock = clock or SystemClock()
        self.channels = open_channels(settings.channels, lambda: self._clock.wall_ns() / 1e9)
        self._machines = frozenset(
            name for kind, name in channel_names(settings.channels) if kind == "alertmanager"
        )
        self.outbox = Outbox(registry, settings, f"collector-{secrets.token_hex(8)}")
        self.outbox.know(list(self.channels))
        self._book = IncidentBook(registry)
        poll = settings.poll
        self.senders = [
            Sender(
                name, channel, outbox=self.outbox, render=self.letter, clock=self._clock, poll_seconds=poll
            )
            for name, channel in self.channels.items()
        ]
        self._kept_up_at: datetime | None = None
        self._told_at: dict[str, datetime] = {}
        shortest = min(
            [each.repeat for each in settings.channels.alertmanager.values()], default=TICK_SECONDS
        )
        self._ticker = Ticker([self.tick], min(TICK_SECONDS, max(0.2, shortest / 2)))

    def start(self) -> None:
        """Begin to send."""
        for sender in self.senders:
            sender.start()
        self._ticker.start()

    def stop(self) -> None:
        """End. What is not sent stays in the outbox."""
        self._ticker.stop()
        for sender in self.senders:
            sender.stop()

    def on_change(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Put what is to be told into the outbox, in the transaction that writes the incidents."""
        entries = list(
            entries_of(
                changes, self.settings.recipients, self._registry.schools(), self._zone, self._machines
            )
        )
        insert(connection, entries, self._now())
        reached = {entry.key.removesuffix(f"-{entry.recipient}") for entry in entries}
        for change in changes:
            if change.what == "opened" and change.send and not change.digest and change.key not in reached:
                log.warning("nobody is told key=%s whom=%s", change.key, ",".join(change.whom))

    def tick(self) -> None:
        """What is due by time: digests, upkeep of the outbox, open alerts told again."""
        now = self._now()
        self._send_digests(now)
        if self._kept_up_at is None or not timedelta() <= now - self._kept_up_at < UPKEEP_EVERY:
            self._kept_up_at = now
            for each in self.outbox.give_up_old(now):
                log.error("message given up key=%s channel=%s error=%s", each.key, each.channel, each.error)
            self.outbox.forget_old(now)
        for name, channel in self.channels.items():
            if isinstance(channel, Alertmanager):
                self._tell_again(name, channel, now)

    def letter(self, channel: Channel, batch: Batch, bodies: list[tuple[str, str, Body]]) -> Letter:
        """A batch in the words of its recipient."""
        return letter_of(batch.key, bodies, self.reader(channel, batch.recipient))

    def reader(self, channel: Channel, recipient: str) -> Reader:
        """Whoever a message is put into words for; a recipient that was taken out reads Chinese."""
        known = self.settings.recipients.get(recipient)
        language = known.language if known else "zh_CN"
        return Reader(language, self._zone, channel.plain, self._registry.schools(), self._public_url)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many messages there are by channel and state."""
        counted = sa.select(MessageRow.channel, MessageRow.state, sa.func.count())
        with self._registry.reading() as connection:
            rows = connection.execute(counted.group_by(MessageRow.channel, MessageRow.state))
            return {(channel, state): count for channel, state, count in rows}

    def failures(self) -> dict[str, int]:
        """How often in a row each channel took nothing."""
        with self._registry.reading() as connection:
            rows = connection.execute(sa.select(ChannelRow.name, ChannelRow.failures))
            return {name: failures for name, failures in rows if name in self.channels}

    def _send_digests(self, now: datetime) -> None:
        for key, recipient in digests_due(self.settings, self._zone, now):
            if not self.outbox.has(key):
                channel = self.settings.recipients[recipient].channel
                entry = digest_entry(key, recipient, channel, digest_of(self._registry, self._zone, now), now)
                self.outbox.put([entry], now)

    def _tell_again(self, name: str, channel: Alertmanager, now: datetime) -> None:
        before = self._told_at.get(name)
        if before is not None and timedelta() <= now - before < timedelta(seconds=channel.repeat_seconds):
            return
        self._told_at[name] = now
        recipients = [r for r, each in self.settings.recipients.items() if each.channel == name]
        incidents = [each for each in self._book.open_now() if each.parent is None]
        letters = [self._again(channel, r, each, now) for r in recipients[:1] for each in incidents]
        try:
            channel.post(letters)
        except NotDelivered as why:
            log.warning("alerts not told again channel=%s why=%s", name, why)

    def _again(self, channel: Channel, recipient: str, incident: Incident, now: datetime) -> Letter:
        change = Change(incident, "opened", now)
        return incident_letter(f"{change.key}-{recipient}", change, self.reader(channel, recipient))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)
