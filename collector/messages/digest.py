"""The digest of the day: what is open, what ended within a day, what nobody knows."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo

import sqlalchemy as sa

from collector.incidents.book import IncidentBook
from collector.messages.bodies import DigestBody, encode
from collector.messages.outbox import Entry
from collector.messages.settings import MessageSettings
from collector.messages.tables import MessageRow
from collector.registry import Registry
from collector.registry.tables import StandingRow

LATEST = timedelta(hours=6)
"""A collector that starts later than this after the digest's time waits for the next day."""
MOST_INCIDENTS = 500


def digests_due(settings: MessageSettings, zone: tzinfo, now: datetime) -> list[tuple[str, str]]:
    """Key and recipient of each digest of this day, from its time on. Sent once: the key is the day's."""
    local = now.astimezone(zone)
    due = datetime.combine(local.date(), time.fromisoformat(settings.digest_at), zone)
    if not due <= local < due + LATEST:
        return []
    names = [name for name, each in settings.recipients.items() if each.daily_digest]
    return [(f"digest-{local.date()}-{name}", name) for name in names]


def digest_entry(key: str, recipient: str, channel: str, digest: DigestBody, now: datetime) -> Entry:
    """A digest for one recipient."""
    return Entry(key, channel, recipient, "info", encode(digest), now)


def digest_of(registry: Registry, zone: tzinfo, now: datetime) -> DigestBody:
    """The digest as it stands at ``now``."""
    day_ago = now - timedelta(days=1)
    found = IncidentBook(registry).find(since=day_ago, limit=MOST_INCIDENTS)
    told = [each for each in found if each.parent is None]
    unknown = StandingRow.answer == "unknown"
    undelivered = sa.and_(MessageRow.state == "given_up", MessageRow.done_at >= day_ago)
    with registry.reading() as connection:
        targets = connection.scalar(sa.select(sa.func.count()).select_from(StandingRow).where(unknown))
        schools = connection.scalar(
            sa.select(sa.func.count(sa.distinct(StandingRow.school_id))).where(unknown)
        )
        lost = connection.scalar(sa.select(sa.func.count()).select_from(MessageRow).where(undelivered))
    return DigestBody(
        day=now.astimezone(zone).date(),
        open=tuple(each for each in told if each.resolved_at is None),
        resolved=tuple(each for each in told if each.resolved_at is not None),
        unknown_targets=int(targets or 0),
        unknown_schools=int(schools or 0),
        undelivered=int(lost or 0),
    )
